"""Rows that were answered before: each is found by its fingerprint, and the engine takes it out
without a change to any other row.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from fake_handlers import Doubling, stream_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lanes import PlayedLane
from scored_rows import SIZES, XS, failed_lines, plain_loop, scores_of
from test_row_weights import Padding

from batchinfer.errors import TooManyQuarantined
from batchinfer.inference.batching import gather
from batchinfer.inference.engine import BatchScorer
from batchinfer.inference.fingerprint import fingerprint, words
from batchinfer.inference.known_rows import KnownRows, bucket_of, write_bucket
from batchinfer.inference.overlap import OverlapRunner

DECLARED = {"score": pa.float64(), "label": pa.string()}
MANY = settings(
    max_examples=60,
    deadline=None,
    # A folder that keeps the files of earlier examples does no harm.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def fingerprint_of(halves: np.ndarray) -> pa.Array:
    return pa.array([row.tobytes() for row in halves.astype("<u8")], pa.binary())


def index(
    folder: Path, halves: np.ndarray, answers: dict[str, pa.Array], buckets: int = 1
) -> KnownRows:
    """An index of rows with these words; what made a row is its number modulo two."""
    bucket = bucket_of(halves[:, 0], buckets)
    paths = [folder / f"{number}.arrow" for number in range(buckets)]
    for number, path in enumerate(paths):
        at = np.flatnonzero(bucket == number)
        texts = [f"even in {number}", f"odd in {number}"]
        parts = {name: pa.chunked_array([values.take(at)]) for name, values in answers.items()}
        with path.open("wb") as sink:
            write_bucket(sink, halves[at], (at % 2).astype(np.int32), texts, parts)
    return KnownRows(paths)


def known_of(folder: Path, xs: list[int], buckets: int = 1) -> KnownRows:
    """What a model that gives other values than `Doubling` would have said of these rows."""
    rows = pa.RecordBatch.from_pydict({"x": pa.array(xs, pa.int64())})
    return index(
        folder,
        words(fingerprint(rows, ["x"])).copy(),
        {
            "score": pa.array([100.0 + x for x in xs], pa.float64()),
            "label": pa.array([f"known {x}" for x in xs], pa.string()),
        },
        buckets,
    )


def expected(xs: list[int], known: set[int], but: set[int]) -> list[tuple[int, float, str]]:
    """The known answers, and of the other rows those that can be scored."""
    now = plain_loop(xs, but | known)
    return sorted(
        [*now, *((line, 100.0 + x, f"known {x}") for line, x in enumerate(xs, 1) if x in known)]
    )


@MANY
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), max_size=40),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), max_size=20),
    st.integers(1, 5),
)
def test_a_row_is_found_by_all_its_bytes(
    tmp_path: Path, rows: list[tuple[int, int]], asked: list[tuple[int, int]], buckets: int
) -> None:
    """Many fingerprints begin alike here, and some stand several times."""
    wide = np.uint64(2**62)
    halves = np.array(rows, np.uint64).reshape(-1, 2) * np.array([wide, 1], np.uint64)
    numbers = pa.array(range(len(rows)), pa.int64())
    known = index(tmp_path, halves, {"number": numbers}, buckets)
    assert len(set(rows)) <= len(known) <= len(rows)
    wanted = np.array(asked, np.uint64).reshape(-1, 2) * np.array([wide, 1], np.uint64)
    at = known.find(fingerprint_of(wanted))
    assert [place >= 0 for place in at] == [row in rows for row in asked]
    there = at[at >= 0]
    answers = known.predictions(there, {"number": pa.int64()})["number"].to_pylist()
    assert answers == [rows.index(row) for row in asked if row in rows]
    bucket = bucket_of(wanted[at >= 0, 0], buckets).tolist()
    makers = [known.makers[maker] for maker in known.makers_at(there)]
    assert makers == [
        f"{('even', 'odd')[answer % 2]} in {number}"
        for answer, number in zip(answers, bucket, strict=True)
    ]


def test_answers_of_any_type_come_back_as_declared(tmp_path: Path) -> None:
    answers = {
        "text": pa.array(["a", None, "ccc"]),
        "bytes": pa.array([b"a", b"", None]),
        "list": pa.array([[1.5], [], None], pa.list_(pa.float32())),
        "texts": pa.array([["x", None], None, []], pa.list_(pa.string())),
        "struct": pa.array([{"a": 1, "b": "x"}, None, {"a": None, "b": None}]),
        "zero": pa.array([0.0, -0.0, float("inf")], pa.float64()),
    }
    halves = np.array([[3, 0], [1, 0], [2, 0]], np.uint64) * np.uint64(2**61)
    known = index(tmp_path, halves, answers, 2)
    at = known.find(fingerprint_of(halves))
    found = known.predictions(at, {name: values.type for name, values in answers.items()})
    assert {name: values.to_pylist() for name, values in found.items()} == {
        name: values.to_pylist() for name, values in answers.items()
    }
    assert {name: values.type for name, values in found.items()} == {
        name: values.type for name, values in answers.items()
    }
    assert np.signbit(found["zero"].to_numpy()).tolist() == [False, True, False]


@MANY
@given(
    XS,
    SIZES,
    st.sets(st.integers(0, 20)),
    st.sets(st.integers(0, 20), max_size=4),
    st.integers(1, 20),
    st.sampled_from([40, 300, 2**20]),
    st.booleans(),
    st.sampled_from(["plain", "weight", "overlap"]),
)
def test_known_rows_are_taken_out_and_the_others_are_scored_as_ever(
    tmp_path: Path,
    xs: list[int],
    sizes: list[int],
    before: set[int],
    poison: set[int],
    batch_rows: int,
    max_bytes: int,
    deduplicate: bool,
    way: str,
) -> None:
    handler = (Padding if way == "weight" else Doubling)(sorted(poison))
    lane = PlayedLane()
    scorer = BatchScorer(
        OverlapRunner(handler, lane) if way == "overlap" else handler,
        batch_rows,
        max_bytes,
        columns_for_fingerprint=["x"],
        deduplicate=deduplicate,
        known=known_of(tmp_path, sorted(before), 3),
    )
    results = list(scorer.score(stream_of(xs, sizes)))
    assert scores_of(results) == expected(xs, before, poison)
    bad = [line for line, x in enumerate(xs, 1) if x in poison - before]
    assert failed_lines(results) == bad
    assert [at for scored in results for at in scored.failed_at] == [line - 1 for line in bad]
    for scored in results:
        assert scored.known_at is not None
        of_known = [x in before for x in scored.rows.column("x").to_pylist()]
        assert (scored.known_at >= 0).tolist() == of_known
        assert scored.fingerprints == fingerprint(scored.rows, ["x"])
    counts = scorer.counts
    assert counts["rows_known"] == sum(x in before for x in xs)
    assert len(xs) == counts["rows_in"]
    assert len(xs) == counts["rows_scored"] + counts["rows_failed"] + counts["rows_known"]
    assert lane.most <= 2


def test_the_model_gets_whole_batches_of_the_others(tmp_path: Path) -> None:
    """Of a stream whose rows are nearly all known, and of one of which none is."""
    handler = Doubling()
    known = known_of(tmp_path, list(range(1000)))
    scorer = BatchScorer(handler, 64, columns_for_fingerprint=["x"], known=known)
    xs = [x if x % 50 else -1 - x for x in range(1000)]
    list(scorer.score(stream_of(xs, [100])))
    assert handler.calls == [20]
    list(scorer.score(stream_of([*range(1000, 1130)], [10])))
    assert handler.calls == [20, 64, 64, 2]


def test_a_window_of_known_rows_does_not_wait_for_others(tmp_path: Path) -> None:
    """It is given out before the next one is read: a stream may be long."""
    known = known_of(tmp_path, [1, 2, 3])
    scorer = BatchScorer(
        Doubling(), 2, max_bytes=1, columns_for_fingerprint=["x"], known=known, read_ahead=False
    )
    read: list[int] = []

    def stream() -> Any:
        for number, batch in enumerate(stream_of([1, 2, 3, 1], [1, 1, 1, 1])):
            read.append(number)
            yield batch

    seen = [len(read) for _ in scorer.score(stream())]
    assert len(seen) == 4 and seen[0] <= 2


def test_rows_that_fail_beyond_the_limit_are_told_of_all_open_windows(tmp_path: Path) -> None:
    scorer = BatchScorer(
        Doubling([5]),
        1,
        max_failures=2,
        columns_for_fingerprint=["x"],
        known=known_of(tmp_path, [1]),
    )
    with pytest.raises(TooManyQuarantined, match="3 of the first 3 rows"):
        list(scorer.score(stream_of([1, 5, 5, 1, 5, 5], [6])))
    assert [record.source_line for record in scorer.unreported] == [2, 3, 5]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 9), max_size=8), st.integers(1, 12), st.sampled_from([1, 100, 10**6])
)
def test_batches_are_gathered_without_moving_a_row(
    sizes: list[int], least: int, max_bytes: int
) -> None:
    xs = list(range(sum(sizes)))
    found = list(gather(stream_of(xs, sizes), lambda: least, max_bytes))
    assert [x for batch in found for x in batch.column("x").to_pylist()] == xs
    for batch in found[:-1]:
        assert batch.num_rows >= least or max_bytes < 10**6
    assert all(batch.num_rows == 1 or batch.nbytes <= max_bytes for batch in found)


def test_large_batches_are_gathered_as_they_are() -> None:
    [*batches] = stream_of(list(range(30)), [10])
    found = list(gather(batches, lambda: 5, 10**6))
    assert [one.column(0).buffers()[1].address for one in found] == [
        one.column(0).buffers()[1].address for one in batches
    ]
