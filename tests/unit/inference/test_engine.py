"""The engine against a plain loop: whatever fails, each row comes out once, in its place, with the
right prediction.
"""

from __future__ import annotations

import json
import math
from typing import Any

import pyarrow as pa
import pytest
from fake_handlers import Doubling, Flaky, NotFinite, stream_of
from hypothesis import given, settings
from hypothesis import strategies as st
from scored_rows import SIZES, XS, failed_lines, plain_loop, scores_of

from batchinfer.errors import Interrupted, ModelError, StorageError, TooManyQuarantined
from batchinfer.inference.engine import BatchScorer
from batchinfer.inference.fingerprint import fingerprint


@settings(max_examples=100, deadline=None)
@given(
    XS,
    SIZES,
    st.sets(st.integers(0, 20)),
    st.sampled_from(["encode", "forward", "decode"]),
    st.integers(1, 70),
    st.booleans(),
)
def test_any_poison_rows_cost_only_themselves(
    xs: list[int],
    sizes: list[int],
    poison: set[int],
    stage: str,
    batch_rows: int,
    deduplicate: bool,
) -> None:
    scorer = BatchScorer(
        Doubling(sorted(poison), stage),
        batch_rows,
        columns_for_fingerprint=["x"],
        deduplicate=deduplicate,
    )
    results = list(scorer.score(stream_of(xs, sizes)))
    bad = [line for line, x in enumerate(xs, 1) if x in poison]
    assert scores_of(results) == plain_loop(xs, poison)
    assert failed_lines(results) == bad
    assert [at for scored in results for at in scored.failed_at] == [line - 1 for line in bad]
    reason = {"encode": "encode_error", "forward": "model_error", "decode": "decode_error"}[stage]
    for record in (record for scored in results for record in scored.failed):
        x = xs[(record.source_line or 0) - 1]
        assert (record.reason, record.message) == (reason, f"ValueError: cannot take {x}")
    assert (
        scorer.counts["rows_in"]
        == len(xs)
        == scorer.counts["rows_scored"] + scorer.counts["rows_failed"]
    )
    assert scorer.counts["rows_failed"] == len(bad)


@settings(max_examples=60, deadline=None)
@given(XS, SIZES, st.sets(st.integers(0, 20), max_size=5), st.integers(1, 70), st.booleans())
def test_rows_that_are_not_finite_fail_alone(
    xs: list[int], sizes: list[int], poison: set[int], batch_rows: int, deduplicate: bool
) -> None:
    scorer = BatchScorer(
        NotFinite(sorted(poison)),
        batch_rows,
        columns_for_fingerprint=["x"],
        deduplicate=deduplicate,
    )
    results = list(scorer.score(stream_of(xs, sizes)))
    assert scores_of(results) == plain_loop(xs, poison)
    assert failed_lines(results) == [line for line, x in enumerate(xs, 1) if x in poison]
    assert all(record.reason == "not_finite" for scored in results for record in scored.failed)
    assert scorer.counts["attempts"] == scorer.counts["batches"]


@settings(max_examples=60, deadline=None)
@given(SIZES, st.integers(0, 60), st.integers(1, 70))
def test_what_fails_once_and_not_again_loses_nothing(
    sizes: list[int], fails_at: int, batch_rows: int
) -> None:
    xs = list(range(60))
    results = list(BatchScorer(Flaky([fails_at]), batch_rows).score(stream_of(xs, sizes)))
    assert scores_of(results) == plain_loop(xs)


def test_isolation_costs_two_log_n_attempts_for_each_row() -> None:
    handler = Doubling(poison=[5000])
    list(BatchScorer(handler, 8192).score(stream_of(list(range(8192)), [])))
    assert len(handler.calls) <= 2 * 13 + 1


def test_stops_early_when_too_many_rows_fail() -> None:
    handler = Doubling(poison=[1])
    scorer = BatchScorer(handler, 1024, key_columns=["source_line"], max_failures=10)
    results = []
    with pytest.raises(
        TooManyQuarantined, match="11 of the first 4096 rows could not be scored; allowed: 10"
    ) as caught:
        results.extend(scorer.score(stream_of([0] * 3072 + [1] * 1024, [])))
    assert len(scores_of(results)) == 3072
    assert "model_error: ValueError: cannot take 1" in caught.value.problems
    assert [json.loads(record.key or "")["source_line"] for record in scorer.unreported] == list(
        range(3073, 3084)
    )
    assert len(handler.calls) < 60


@pytest.mark.parametrize("deduplicate", [False, True])
@pytest.mark.parametrize(("allowed", "passes"), [(4, True), (3, False)])
def test_the_limit_itself_is_allowed(deduplicate: bool, allowed: int, passes: bool) -> None:
    options: dict[str, Any] = {
        "columns_for_fingerprint": ["x"],
        "deduplicate": deduplicate,
        "max_failures": allowed,
    }
    scorer = BatchScorer(Doubling(poison=[1]), 4, **options)
    stream = stream_of([1, 1, 0, 0, 0, 0, 1, 1], [])
    if passes:
        assert failed_lines(list(scorer.score(stream))) == [1, 2, 7, 8]
    else:
        with pytest.raises(TooManyQuarantined):
            list(scorer.score(stream))


@pytest.mark.parametrize(
    "error",
    [
        KeyboardInterrupt,
        SystemExit,
        Interrupted("stop"),
        StorageError("no answer"),
        ModelError("torn"),
    ],
)
def test_what_is_no_row_s_fault_passes(error: Any) -> None:
    class Stopping(Doubling):
        def forward(self, tensors: dict[str, Any]) -> Any:
            raise error

    with pytest.raises(error if isinstance(error, type) else type(error)):
        list(BatchScorer(Stopping()).score(stream_of([1, 2], [])))


def test_a_broken_gpu_context_is_no_row_s_fault() -> None:
    class Broken(Doubling):
        def forward(self, tensors: dict[str, Any]) -> Any:
            raise RuntimeError("CUDA error: device-side assert triggered")

    with pytest.raises(RuntimeError, match="device-side"):
        list(BatchScorer(Broken()).score(stream_of([1, 2], [])))


def test_failed_rows_carry_their_key_inputs_and_slice() -> None:
    batch = pa.RecordBatch.from_pydict(
        {
            "id": [7, 8],
            "x": [1, 2],
            "note": ["ä", None],
            "weight": [math.nan, 0.5],
            "slice": ["2026-11-21"] * 2,
            "raw": [b"\xff", b""],
        }
    )
    scorer = BatchScorer(
        Doubling([1]), columns_for_fingerprint=["x", "note", "weight", "raw"], key_columns=["id"]
    )
    (scored,) = scorer.score([batch])
    (record,) = scored.failed
    assert record.raw.decode() == '{"x":1,"note":"ä","weight":"NaN","raw":"/w=="}'
    assert (record.key, record.slice, record.source_file, record.source_line) == (
        '{"id":7}',
        "2026-11-21",
        None,
        None,
    )
    assert scored.rows.column("id").to_pylist() == [8]
    assert scored.fingerprints.equals(fingerprint(batch.slice(1), ["x", "note", "weight", "raw"]))


def test_duplicates_are_scored_once_and_counted() -> None:
    handler = Doubling()
    scorer = BatchScorer(handler, 100, columns_for_fingerprint=["x"], deduplicate=True)
    xs = [i % 7 for i in range(100)] + list(range(100))
    results = list(scorer.score(stream_of(xs, [])))
    assert handler.calls == [7, 100]
    assert scores_of(results) == plain_loop(xs)
    assert scorer.counts["rows_duplicate"] == 93
    assert scorer.counts["rows_scored"] == 200


def test_a_stream_without_duplicates_is_looked_at_now_and_then() -> None:
    handler = Doubling()
    scorer = BatchScorer(handler, 10, columns_for_fingerprint=["x"], deduplicate=True)
    xs = list(range(100)) + [1] * 100 + [2] * 100
    assert scores_of(list(scorer.score(stream_of(xs, [])))) == plain_loop(xs)
    assert handler.calls == [10] * 15 + [1] * 15, (
        "looked at in vain eight times, then again at the sixteenth, and on from there"
    )


def test_times_and_counts() -> None:
    ticks = iter(range(10_000))
    scorer = BatchScorer(
        Doubling(), 10, columns_for_fingerprint=["x"], clock=lambda: float(next(ticks))
    )
    list(scorer.score(stream_of([1] * 25, [4, 9])))
    assert scorer.timings == {
        "read": 4.0,
        "fingerprint": 3.0,
        "encode": 3.0,
        "forward": 3.0,
        "decode": 3.0,
    }
    assert scorer.counts == {
        "rows_in": 25,
        "rows_scored": 25,
        "rows_failed": 0,
        "rows_duplicate": 0,
        "rows_known": 0,
        "batches": 3,
        "attempts": 3,
        "largest_batch": 10,
        "smallest_batch": 5,
    }


def test_nothing_in_nothing_out() -> None:
    assert list(BatchScorer(Doubling()).score([])) == []
    assert list(BatchScorer(Doubling()).score(stream_of([], [0]))) == []


def test_what_the_consumer_does_with_a_batch_counts_for_its_size() -> None:
    """A model that takes no time, and a consumer that takes as long for any batch: only large
    batches save anything.
    """
    now = [0.0]
    scorer = BatchScorer(Doubling(), clock=lambda: now[0])
    for _ in scorer.score(stream_of([1] * 400_000, [])):
        now[0] += 1.0
    assert scorer.size.rows == 16_384


def test_a_batch_that_failed_at_first_says_nothing_of_its_size() -> None:
    now = [0.0]
    scorer = BatchScorer(Doubling(poison=[7]), clock=lambda: now[0])
    for _ in scorer.score(stream_of([7 if i % 20 == 0 else 1 for i in range(5000)], [])):
        now[0] += 1.0
    assert scorer.size.rows == 32
