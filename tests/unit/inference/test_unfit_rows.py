"""Rows that a handler names before the model is asked: the others are one batch, unsearched."""

from __future__ import annotations

from functools import partial
from typing import Any

import pyarrow as pa
import pytest
from fake_handlers import Doubling, Naming, stream_of
from hypothesis import given, settings
from hypothesis import strategies as st
from lanes import PlayedLane
from scored_rows import SIZES, XS, failed_lines, plain_loop, scores_of

from batchinfer.errors import TooManyQuarantined, UnfitRows
from batchinfer.inference.attempt import InProcess, Runner
from batchinfer.inference.engine import BatchScorer, Scored
from batchinfer.inference.overlap import OverlapRunner
from batchinfer.inference.watchdog import ChildRunner

RUNNERS = ["in this process", "overlapping"]
KEYED: dict[str, Any] = {"columns_for_fingerprint": ["x"], "key_columns": ["source_line"]}


def runner_of(handler: Doubling, way: str) -> Runner:
    return OverlapRunner(handler, PlayedLane()) if way == "overlapping" else InProcess(handler)


def told(results: list[Scored]) -> list[tuple[int | None, str, str]]:
    """(source_line, reason, message) of the rows that failed, in order."""
    return [
        (record.source_line, record.reason, record.message)
        for scored in results
        for record in scored.failed
    ]


def unfit(xs: list[int], named: set[int]) -> list[tuple[int, str, str]]:
    return [(line, "encode_error", f"x: got {x}") for line, x in enumerate(xs, 1) if x in named]


@settings(max_examples=150, deadline=None)
@given(
    XS,
    SIZES,
    st.sets(st.integers(0, 20)),
    st.integers(1, 70),
    st.booleans(),
    st.sampled_from(RUNNERS),
)
def test_the_model_is_asked_once_a_batch_for_the_rows_that_were_not_named(
    xs: list[int], sizes: list[int], named: set[int], batch_rows: int, deduplicate: bool, way: str
) -> None:
    handler = Naming(sorted(named))
    scorer = BatchScorer(runner_of(handler, way), batch_rows, deduplicate=deduplicate, **KEYED)
    results = list(scorer.score(stream_of(xs, sizes)))
    assert scores_of(results) == plain_loop(xs, named)
    assert told(results) == unfit(xs, named)
    asked = sum(scored.rows.num_rows > 0 for scored in results)
    assert len(handler.calls) == asked, "one forward pass where any row was left"
    # The try that only named rows is none of the model.
    assert scorer.counts["attempts"] == asked
    assert scorer.counts["rows_failed"] == len(told(results))
    assert scorer.counts["rows_in"] == len(xs)


def test_where_all_rows_are_named_the_model_is_not_asked() -> None:
    handler = Naming([1, 2])
    scorer = BatchScorer(handler, 4, **KEYED)
    (scored,) = scorer.score(stream_of([1, 2, 2, 1], []))
    assert (handler.calls, scorer.counts["attempts"], scored.rows.num_rows) == ([], 0, 0)
    assert {name: array.type for name, array in scored.predictions.items()} == {
        "score": pa.float64(),
        "label": pa.string(),
    }
    assert failed_lines([scored]) == [1, 2, 3, 4] and scored.failed_at == (0, 1, 2, 3)


@pytest.mark.parametrize("way", RUNNERS)
def test_culprits_among_the_others_are_searched_for(way: str) -> None:
    xs = [1, 5, 2, 3, 5, 4, 9, 6]
    handler = Naming([5], poison=[9])
    results = list(BatchScorer(runner_of(handler, way), 8, **KEYED).score(stream_of(xs, [])))
    assert scores_of(results) == plain_loop(xs, {5, 9})
    assert told(results) == [
        (2, "encode_error", "x: got 5"),
        (5, "encode_error", "x: got 5"),
        (7, "model_error", "ValueError: cannot take 9"),
    ]
    assert handler.calls[0] == 6 and max(handler.calls[1:]) == 3


@pytest.mark.parametrize("way", RUNNERS)
@pytest.mark.parametrize("deduplicate", [False, True])
@pytest.mark.parametrize(("allowed", "passes"), [(3, True), (2, False), (0, False)])
def test_named_rows_count_against_the_limit(
    way: str, deduplicate: bool, allowed: int, passes: bool
) -> None:
    xs = [1, 5, 2, 5, 1, 5, 2, 1]
    handler = Naming([5])
    scorer = BatchScorer(
        runner_of(handler, way), 8, max_failures=allowed, deduplicate=deduplicate, **KEYED
    )
    if passes:
        assert scores_of(list(scorer.score(stream_of(xs, [])))) == plain_loop(xs, {5})
        return
    said = f"3 of the first 8 rows could not be scored; allowed: {allowed}"
    with pytest.raises(TooManyQuarantined, match=said) as caught:
        list(scorer.score(stream_of(xs, [])))
    assert "encode_error: x: got 5" in caught.value.problems
    assert [record.source_line for record in scorer.unreported] == [2, 4, 6]
    if not deduplicate:
        assert handler.calls == [], "too many are known before the model is asked"


@pytest.mark.parametrize(("allowed", "passes"), [(3, True), (2, False)])
def test_the_search_has_what_the_named_rows_left_of_the_limit(allowed: int, passes: bool) -> None:
    xs = [5, 9, 1, 9]
    scorer = BatchScorer(Naming([5], poison=[9]), 4, max_failures=allowed, **KEYED)
    if passes:
        assert scores_of(list(scorer.score(stream_of(xs, [])))) == plain_loop(xs, {5, 9})
        return
    with pytest.raises(TooManyQuarantined, match="3 of the first 4 rows"):
        list(scorer.score(stream_of(xs, [])))


@pytest.mark.parametrize("off", [-8, 8])
@pytest.mark.parametrize("way", RUNNERS)
def test_rows_that_there_are_not_are_searched_for(off: int, way: str) -> None:
    """A handler that counts wrongly costs no row but those that it will not take alone."""
    xs = [1, 2, 3, 5, 4, 6, 7, 8]
    handler = Naming([5], off=off)
    results = list(BatchScorer(runner_of(handler, way), 8, **KEYED).score(stream_of(xs, [])))
    assert scores_of(results) == plain_loop(xs, {5})
    assert told(results) == [(4, "encode_error", "UnfitRows: x: got 5")]


def test_naming_no_row_is_searched_for_too() -> None:
    class Vague(Doubling):
        def encode(self, batch: pa.RecordBatch) -> dict[str, Any]:
            if 5 in batch.column("x").to_pylist():
                raise UnfitRows({})
            return super().encode(batch)

    results = list(BatchScorer(Vague(), 4, **KEYED).score(stream_of([1, 5, 2, 3], [])))
    assert scores_of(results) == plain_loop([1, 5, 2, 3], {5})
    assert failed_lines(results) == [2]


def test_a_child_process_names_them_as_well() -> None:
    xs = [x % 7 for x in range(40)]
    runner = ChildRunner(partial(Naming, [3, 5])).loaded()
    with BatchScorer(runner, 16, **KEYED) as scorer:
        results = list(scorer.score(stream_of(xs, [])))
        assert runner.starts == 1
    assert scores_of(results) == plain_loop(xs, {3, 5})
    assert told(results) == unfit(xs, {3, 5})
    assert scorer.counts["attempts"] == scorer.counts["batches"]


def test_rows_that_are_batched_by_weight_are_named_in_their_places() -> None:
    class Weighing(Naming):
        def weight(self, batch: pa.RecordBatch) -> Any:
            return batch.column("x").to_numpy()

    xs = [5, 1, 4, 2, 3, 9, 8, 7, 5]
    results = list(BatchScorer(Weighing([5, 2]), 3, **KEYED).score(stream_of(xs, [])))
    assert scores_of(results) == plain_loop(xs, {5, 2})
    assert told(results) == unfit(xs, {5, 2})
