"""What a run says of its device, and what a change of precision makes of published slices."""

from __future__ import annotations

from pathlib import Path

import pytest
from spark.projects import DAY, SmallProject

from batchinfer.errors import ModelError


@pytest.fixture
def trained(small: SmallProject) -> SmallProject:
    small.extract()
    small.train()
    return small


def test_the_report_says_what_the_device_did(trained: SmallProject) -> None:
    report = trained.score()
    [(device, shares)] = report.device_use.items()
    assert device.startswith("cpu, ")
    assert 0 < shares["computing"] < 1 and 0 < sum(shares.values()) <= 1
    page = Path(report.report).read_text()
    assert f"{device}</td><td>computed {shares['computing']:.0%} of the tasks" in page


def test_another_precision_makes_a_slice_stale(trained: SmallProject) -> None:
    trained.score()
    exact = trained.predictions()
    trained.edit(
        'model: {uri: "models:/small@champion"}',
        'model: {uri: "models:/small@champion", precision: bf16}',
    )
    assert trained.states() == {DAY: "stale"}
    lowered = trained.score()
    assert (lowered.status, lowered.precision, lowered.rows_scored + lowered.rows_reused) == (
        "published",
        "bf16",
        40,
    )
    assert all(device.endswith(", bf16") for device in lowered.batch_rates)
    scores = trained.predictions()
    off = [abs(scores[key][0] - exact[key][0]) for key in exact]
    assert 0 < max(off) < 0.02
    assert (trained.states(), trained.score().status) == ({DAY: "published"}, "unchanged")
    trained.edit(", precision: bf16", "")
    assert trained.states() == {DAY: "stale"}
    trained.score()
    assert trained.predictions() == exact


def test_a_precision_that_no_device_here_has_is_a_model_error(trained: SmallProject) -> None:
    with pytest.raises(
        ModelError,
        match="got fp16, but this executor has no usable GPU; allowed there: float32, bf16",
    ):
        trained.score(DAY, "model.precision=fp16")
    with pytest.raises(ModelError, match=r"model.quantize: got int8; .* of 64 outputs"):
        trained.score(DAY, "model.quantize=int8")
