"""The engine against a plain loop: whatever fails, each row comes out once, in its place, with the
right prediction.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from fake_handlers import Doubling, Flaky, GreedyRow, NotFinite, Refused, stream_of
from hypothesis import given, settings
from hypothesis import strategies as st

from batchinfer.errors import InputError, Interrupted, ModelError, StorageError, TooManyQuarantined
from batchinfer.inference.engine import BatchScorer, Scored
from batchinfer.inference.fingerprint import fingerprint

XS = st.lists(st.integers(0, 20), max_size=60)
SIZES = st.lists(st.integers(0, 25), max_size=6)


def _scores(results: list[Scored]) -> list[tuple[int, float, str]]:
    """(source_line, score, label) of all scored rows, in order."""
    rows = []
    for scored in results:
        columns = [
            scored.rows.column("source_line"),
            scored.predictions["score"],
            scored.predictions["label"],
        ]
        assert len({len(column) for column in [*columns, scored.fingerprints]}) == 1
        rows += zip(*(column.to_pylist() for column in columns), strict=True)
    return rows


def _plain_loop(xs: list[int], but: Collection[int] = ()) -> list[tuple[int, float, str]]:
    return [
        (line, 2.0 * x + 1, ("even", "odd")[x % 2]) for line, x in enumerate(xs, 1) if x not in but
    ]


def _failed_lines(results: list[Scored]) -> list[int | None]:
    return [record.source_line for scored in results for record in scored.failed]


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
    assert _scores(results) == _plain_loop(xs, poison)
    assert _failed_lines(results) == bad
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
    assert _scores(results) == _plain_loop(xs, poison)
    assert _failed_lines(results) == [line for line, x in enumerate(xs, 1) if x in poison]
    assert all(record.reason == "not_finite" for scored in results for record in scored.failed)
    assert scorer.counts["attempts"] == scorer.counts["batches"]


@settings(max_examples=60, deadline=None)
@given(XS, SIZES, st.integers(1, 70), st.integers(1, 70))
def test_memory_that_ends_loses_nothing(
    xs: list[int], sizes: list[int], batch_rows: int, most_rows: int
) -> None:
    handler = Doubling(most_rows=most_rows)
    results = list(BatchScorer(handler, batch_rows).score(stream_of(xs, sizes)))
    assert _scores(results) == _plain_loop(xs)
    assert not _failed_lines(results)


def test_the_ceiling_of_memory_is_remembered() -> None:
    handler = Doubling(most_rows=100)
    scorer = BatchScorer(handler, 256)
    list(scorer.score(stream_of([1] * 2000, [])))
    assert [rows for rows in handler.calls if rows > 100] == [256, 128, 128]
    assert handler.calls[-20:-1] == [64] * 19


def test_one_row_that_exhausts_memory_fails_and_lowers_no_ceiling() -> None:
    handler = GreedyRow()
    scorer = BatchScorer(handler, 64)
    results = list(scorer.score(stream_of([13 if i == 70 else 1 for i in range(640)], [])))
    (record,) = [record for scored in results for record in scored.failed]
    assert (record.source_line, record.reason) == (71, "out_of_memory")
    assert scorer.size.rows == 64
    assert handler.calls[-3:] == [64, 64, 64]


@settings(max_examples=60, deadline=None)
@given(SIZES, st.integers(0, 60), st.integers(1, 70))
def test_what_fails_once_and_not_again_loses_nothing(
    sizes: list[int], fails_at: int, batch_rows: int
) -> None:
    xs = list(range(60))
    results = list(BatchScorer(Flaky([fails_at]), batch_rows).score(stream_of(xs, sizes)))
    assert _scores(results) == _plain_loop(xs)


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
    assert len(_scores(results)) == 3072
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
        assert _failed_lines(list(scorer.score(stream))) == [1, 2, 7, 8]
    else:
        with pytest.raises(TooManyQuarantined):
            list(scorer.score(stream))


class Deciding(Doubling):
    def __init__(self, columns: Any, output: dict[str, str] | None = None) -> None:
        super().__init__()
        self.columns = columns
        self.output = output or self.output

    def decode(self, output: Any) -> dict[str, pa.Array]:
        return self.columns(output) if callable(self.columns) else self.columns


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"score": pa.array([1.0, 2.0])}, "gave no column 'label'"),
        (
            {"score": pa.array([1.0, 2.0]), "label": pa.array(["a"])},
            "1 values of 'label' for 2 rows",
        ),
        (
            {"score": pa.array([1.0, 2.0]), "label": pa.array([1, 2])},
            "gave int64 for the column 'label'; .* declares string",
        ),
        (
            {"score": pa.array(["1", "2"]), "label": pa.array(["a", "b"])},
            "gave string for the column 'score'; .* declares double",
        ),
        (
            {"score": np.zeros(2), "label": pa.array(["a", "b"])},
            "type ndarray for the column 'score'; allowed: a pyarrow.Array",
        ),
        (
            {"score": pa.nulls(2), "label": pa.nulls(2), "x": pa.nulls(2)},
            "the column 'x', which the handler's output does not",
        ),
        (None, "decode gave an object of type NoneType"),
    ],
)
def test_a_model_that_gives_what_it_did_not_declare_ends_the_run(
    columns: Any, message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        list(BatchScorer(Deciding(columns)).score(stream_of([1, 2], [])))


def test_outputs_get_the_declared_types() -> None:
    ddl = {
        "score": "double",
        "label": "string",
        "best": "array<struct<item: string, score: double>>",
        "scores": "map<string,double>",
        "rank": "int",
        "vector": "array<double>",
    }
    given_ = {
        "vector": pa.FixedSizeListArray.from_arrays(pa.array(np.arange(4, dtype=np.float32)), 2),
        "score": pa.chunked_array([pa.array([0.5], pa.float32()), pa.array([None], pa.float32())]),
        "label": pa.array(["a", "b"]).dictionary_encode(),
        "best": pa.array(
            [[{"item": "x", "score": 1.0}], []],
            pa.large_list(pa.struct([("item", pa.string()), ("score", pa.float32())])),
        ),
        "scores": pa.array([[("a", 1.0)], []], pa.map_(pa.string(), pa.float32())),
        "rank": pa.array([1, 2], pa.int64()),
    }
    (scored,) = BatchScorer(Deciding(given_, ddl)).score(stream_of([1, 2], []))
    assert list(scored.predictions) == list(ddl)
    found = {name: str(array.type) for name, array in scored.predictions.items()}
    assert found["score"] == "double"
    assert found["rank"] == "int32"
    assert found["label"] == "string"
    assert scored.predictions["best"].type == pa.list_(
        pa.struct([("item", pa.string()), ("score", pa.float64())])
    )
    assert scored.predictions["scores"].to_pylist() == [[("a", 1.0)], []]
    assert scored.predictions["vector"].to_pylist() == [[0.0, 1.0], [2.0, 3.0]]


@pytest.mark.parametrize(
    ("ddl", "values"),
    [
        ("array<double>", [[1.0], None, [], [2.0, math.nan]]),
        ("map<string,double>", [[("a", 1.0)], None, [], [("a", math.inf), ("b", 1.0)]]),
        (
            "array<struct<item: string, score: double>>",
            [[{"item": "a", "score": 1.0}], None, [], [{"item": "b", "score": math.nan}]],
        ),
        (
            "struct<a: double, b: int>",
            [{"a": 1.0, "b": 1}, None, {"a": None, "b": 2}, {"a": -math.inf, "b": 1}],
        ),
    ],
)
def test_not_finite_is_found_inside_nested_outputs(ddl: str, values: list[Any]) -> None:
    from batchinfer.config.types import parse_ddl

    columns = {"score": pa.array(values, parse_ddl(ddl))}
    (scored,) = BatchScorer(Deciding(columns, {"score": ddl})).score(stream_of([1, 2, 3, 4], []))
    assert scored.predictions["score"].to_pylist() == values[:3]
    assert [(record.source_line, record.reason) for record in scored.failed] == [(4, "not_finite")]
    assert "the model gave score = " in scored.failed[0].message


def test_a_value_that_the_type_cannot_hold_fails_its_row() -> None:
    def columns(x: np.ndarray) -> dict[str, pa.Array]:
        return {"score": pa.array(np.where(x == 2, 0.5, x.astype(float)))}

    (scored,) = BatchScorer(Deciding(columns, {"score": "int"})).score(stream_of([1, 2, 3], []))
    assert scored.predictions["score"].to_pylist() == [1, 3]
    assert [(record.source_line, record.reason) for record in scored.failed] == [
        (2, "decode_error")
    ]


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


def test_torch_s_own_out_of_memory_splits_the_batch() -> None:
    torch = pytest.importorskip("torch")

    class Small(Doubling):
        def forward(self, tensors: dict[str, Any]) -> Any:
            assert torch.is_inference_mode_enabled()
            if len(tensors["x"]) > 3:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return tensors["x"]

    assert _scores(
        list(BatchScorer(Small(), 16).score(stream_of(list(range(40)), [])))
    ) == _plain_loop(list(range(40)))


@pytest.mark.parametrize(
    "text",
    [
        "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported at some "
        "other API call",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: you "
        "tried to allocate 8 bytes",
    ],
)
def test_memory_that_ends_outside_torch_s_allocator_splits_the_batch(text: str) -> None:
    class Full(Doubling):
        def forward(self, tensors: dict[str, Any]) -> Any:
            if len(tensors["x"]) > 3:
                raise RuntimeError(text)
            return tensors["x"]

    scorer = BatchScorer(Full(), 16)
    assert _scores(list(scorer.score(stream_of(list(range(40)), [])))) == _plain_loop(
        list(range(40))
    )
    assert scorer.size.ceiling == 3


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
    assert _scores(results) == _plain_loop(xs)
    assert scorer.counts["rows_duplicate"] == 93
    assert scorer.counts["rows_scored"] == 200


def test_a_stream_without_duplicates_is_looked_at_now_and_then() -> None:
    handler = Doubling()
    scorer = BatchScorer(handler, 10, columns_for_fingerprint=["x"], deduplicate=True)
    xs = list(range(100)) + [1] * 100 + [2] * 100
    assert _scores(list(scorer.score(stream_of(xs, [])))) == _plain_loop(xs)
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
        "batches": 3,
        "attempts": 3,
        "largest_batch": 10,
        "smallest_batch": 5,
    }


def test_nothing_in_nothing_out() -> None:
    assert list(BatchScorer(Doubling()).score([])) == []
    assert list(BatchScorer(Doubling()).score(stream_of([], [0]))) == []


def test_a_batch_of_failures_only_still_has_its_columns() -> None:
    (scored,) = BatchScorer(Doubling([1])).score(stream_of([1, 1], []))
    assert scored.rows.num_rows == 0
    assert {name: array.type for name, array in scored.predictions.items()} == {
        "score": pa.float64(),
        "label": pa.string(),
    }


def test_says_what_is_missing() -> None:
    with pytest.raises(InputError, match="none called y"):
        list(BatchScorer(Doubling(), columns_for_fingerprint=["y"]).score(stream_of([1], [])))
    with pytest.raises(ModelError, match=r"Deciding.output\['score'\]: .*flaot"):
        BatchScorer(Deciding({}, {"score": "flaot"}))


def test_memory_of_earlier_batches_is_let_go() -> None:
    def many():
        for _ in range(50):
            yield pa.RecordBatch.from_pydict({"x": np.ones(100_000, np.int64)})

    before = pa.total_allocated_bytes()
    peak = 0
    for _ in BatchScorer(Doubling(), 50_000).score(many()):
        peak = max(peak, pa.total_allocated_bytes() - before)
    assert peak < 8_000_000


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


def test_a_kernel_that_is_refused_for_its_size_is_no_lost_device_and_the_size_is_learnt() -> None:
    handler = Refused(5)
    scorer = BatchScorer(handler, 8)
    results = list(scorer.score(stream_of([*range(12), 13, 14], [])))
    assert _scores(results) == _plain_loop([*range(12), 13, 14], but=(13,))
    [record] = [record for scored in results for record in scored.failed]
    assert (record.reason, record.message) == (
        "too_large",
        "RuntimeError: CUDA error: invalid configuration argument",
    )
    assert scorer.size.ceiling == 7
    assert not [rows for rows in handler.calls[1:] if rows > 5]
