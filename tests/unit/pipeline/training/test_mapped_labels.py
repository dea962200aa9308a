"""Which labels the steps after the model rename, so that training keeps to the words they know."""

from __future__ import annotations

from batchinfer.pipeline.training.fit_after import mapped_labels


def test_the_labels_of_every_label_map_count() -> None:
    steps = [
        {"threshold": {"value": 0.7}},
        {"label_map": {"values": {"other": "low", "yes": "high"}}},
        {"label_map": {"values": {"low": "none"}, "default": "some"}},
    ]
    assert mapped_labels(steps) == {"other", "yes", "low"}
    assert mapped_labels([{"round": {"digits": 2}}]) == mapped_labels([]) == frozenset()
