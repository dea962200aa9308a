"""Batches by weight: the same answers in the same order, no batch too heavy, little padding."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from fake_handlers import Doubling, stream_of
from hypothesis import given, settings
from hypothesis import strategies as st

from batchinfer.errors import ModelError, TooManyQuarantined
from batchinfer.inference.engine import BatchScorer
from batchinfer.inference.row_weights import cut, row_weights


class Padding(Doubling):
    """A row weighs as much as its value; `padded` holds rows times heaviest of each forward
    pass.
    """

    def __init__(self, *faults: Any) -> None:
        super().__init__(*faults)
        self.padded: list[int] = []

    def weight(self, batch: pa.RecordBatch) -> np.ndarray:
        return batch.column("x").to_numpy()

    def forward(self, tensors: dict[str, Any]) -> Any:
        self.padded.append(len(tensors["x"]) * int(tensors["x"].max()))
        return super().forward(tensors)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(0, 20), max_size=120),
    st.lists(st.integers(0, 25), max_size=6),
    st.sets(st.integers(0, 20), max_size=3),
    st.integers(1, 9),
    st.none() | st.integers(1, 60),
    st.booleans(),
)
def test_same_answers_in_the_same_order(
    xs: list[int],
    sizes: list[int],
    poison: set[int],
    batch_rows: int,
    most: int | None,
    deduplicate: bool,
) -> None:
    options: dict[str, Any] = {"columns_for_fingerprint": ["x"], "deduplicate": deduplicate}
    plain = BatchScorer(Doubling(sorted(poison)), batch_rows, **options)
    handler = Padding(sorted(poison))
    by_weight = BatchScorer(handler, batch_rows, max_weight=most, **options)

    def facts(scorer: BatchScorer) -> list[Any]:
        results = list(scorer.score(stream_of(xs, sizes)))
        columns: list[list[Any]] = [[], [], [], [], []]
        for scored in results:
            columns[0] += scored.rows.to_pylist()
            columns[1] += scored.predictions["score"].to_pylist()
            columns[2] += scored.fingerprints.to_pylist()
            columns[3] += scored.failed
            columns[4] += scored.failed_at
        return columns

    assert facts(by_weight) == facts(plain)
    assert {name: by_weight.counts[name] for name in ("rows_in", "rows_scored", "rows_failed")} == {
        name: plain.counts[name] for name in ("rows_in", "rows_scored", "rows_failed")
    }
    assert max(handler.calls, default=0) <= batch_rows
    if most is not None:
        assert all(
            padded <= most
            for padded, rows in zip(handler.padded, handler.calls, strict=True)
            if rows > 1
        )


def test_rows_of_a_length_come_together() -> None:
    xs = [1, 100] * 160
    handler = Padding()
    list(BatchScorer(handler, 10).score(stream_of(xs, [])))
    assert sum(handler.padded) == sum(xs), "no padding at all where lengths divide into batches"
    unsorted = [xs[start : start + 10] for start in range(0, len(xs), 10)]
    assert sum(len(batch) * max(batch) for batch in unsorted) > 1.9 * sum(xs)


@given(st.lists(st.floats(0, 1e6), max_size=50), st.integers(1, 20), st.none() | st.floats(0, 1e7))
def test_every_row_is_in_one_batch(weights: list[float], rows: int, most: float | None) -> None:
    parts = list(cut(np.array(weights), lambda: rows, most))
    assert sorted(np.concatenate([*parts, np.empty(0, int)]).tolist()) == list(range(len(weights)))
    for part in parts:
        assert 1 <= len(part) <= rows
        assert (
            most is None or len(part) == 1 or len(part) * max(weights[row] for row in part) <= most
        )


def test_too_many_failures_keep_all_that_failed_in_the_window() -> None:
    scorer = BatchScorer(Padding([3, 5]), 4, key_columns=["source_line"], max_failures=3)
    with pytest.raises(TooManyQuarantined):
        list(scorer.score(stream_of([3, 5, 1, 5, 3, 5, 5, 9], [])))
    assert {record.source_line for record in scorer.unreported} >= {1, 5}
    assert len(scorer.unreported) == 4


@pytest.mark.parametrize(
    ("gives", "says"),
    [
        ([1.0], r"\(1,\) values for 2 rows"),
        ([1.0, -2.0], "the least -2.0"),
        ([1.0, float("nan")], "allowed: one number for each row"),
    ],
)
def test_a_weight_that_is_none_is_the_models_fault(gives: list[float], says: str) -> None:
    with pytest.raises(ModelError, match=says):
        row_weights(lambda _: gives, pa.record_batch({"x": [1, 2]}))


def test_a_row_that_cannot_be_weighed_is_found_by_encode() -> None:
    class Picky(Padding):
        def weight(self, batch: pa.RecordBatch) -> np.ndarray:
            if 7 in batch.column("x").to_pylist():
                raise ValueError("cannot weigh 7")
            return super().weight(batch)

    handler = Picky([7], "encode")
    results = list(BatchScorer(handler, 4).score(stream_of([1, 7, 2, 3, 4, 5], [])))
    assert [record.source_line for scored in results for record in scored.failed] == [2]
    assert [row["source_line"] for scored in results for row in scored.rows.to_pylist()] == [
        1,
        3,
        4,
        5,
        6,
    ]
