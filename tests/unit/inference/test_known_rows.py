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
from batchinfer.inference.fingerprint import fingerprint
from batchinfer.inference.known_rows import KnownRows, write_part
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
    folder: Path, fingerprints: pa.Array, answers: dict[str, pa.Array], parts: int = 1
) -> KnownRows:
    """An index of rows with these fingerprints, shared out evenly; what made a row is its number in
    its part modulo two.
    """
    rows = len(fingerprints)
    paths = [folder / f"{number}.arrow" for number in range(parts)]
    for number, path in enumerate(paths):
        start, end = rows * number // parts, rows * (number + 1) // parts
        texts = [f"even in {number}", f"odd in {number}"]
        with path.open("wb") as sink:
            write_part(
                sink,
                fingerprints.slice(start, end - start).cast(pa.binary(16)),
                (np.arange(end - start) % 2).astype(np.int32),
                texts,
                {
                    name: pa.chunked_array([values.slice(start, end - start)])
                    for name, values in answers.items()
                },
            )
    return KnownRows(paths)


def known_of(folder: Path, xs: list[int], parts: int = 1) -> KnownRows:
    """What a model that gives other values than `Doubling` would have said of these rows."""
    rows = pa.RecordBatch.from_pydict({"x": pa.array(xs, pa.int64())})
    return index(
        folder,
        fingerprint(rows, ["x"]),
        {
            "score": pa.array([100.0 + x for x in xs], pa.float64()),
            "label": pa.array([f"known {x}" for x in xs], pa.string()),
        },
        parts,
    )


def expected(xs: list[int], known: set[int], but: set[int]) -> list[tuple[int, float, str]]:
    """The known answers, and of the other rows those that can be scored."""
    now = plain_loop(xs, but | known)
    return sorted(
        [*now, *((line, 100.0 + x, f"known {x}") for line, x in enumerate(xs, 1) if x in known)]
    )


@MANY
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), max_size=60),
    st.lists(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), max_size=40), max_size=3),
    st.integers(1, 5),
)
def test_a_row_is_found_by_all_its_bytes(
    tmp_path: Path,
    rows: list[tuple[int, int]],
    batches: list[list[tuple[int, int]]],
    parts: int,
) -> None:
    """Many fingerprints begin alike here, and some stand several times."""
    known = index(tmp_path, wide(rows), {"number": pa.array(range(len(rows)), pa.int64())}, parts)
    assert len(known) == len(rows)
    for asked in batches:
        check_found(known, rows, asked)


def wide(rows: list[tuple[int, int]]) -> pa.Array:
    """Fingerprints that differ in their first and in their last bits alone."""
    halves = np.array(rows, np.uint64).reshape(-1, 2)
    return fingerprint_of(halves * np.array([2**62, 1], np.uint64))


def check_found(
    known: KnownRows, rows: list[tuple[int, int]], asked: list[tuple[int, int]]
) -> None:
    at = known.find(wide(asked))
    assert [place >= 0 for place in at] == [row in rows for row in asked]
    there = at[at >= 0]
    answers = known.predictions(there, {"number": pa.int64()})["number"].to_pylist()
    assert answers == there.tolist()
    assert [rows[answer] for answer in answers] == [row for row in asked if row in rows]
    parts = len(known.makers) // 2
    starts = [len(rows) * number // parts for number in range(parts + 1)]
    for answer, maker in zip(answers, known.makers_at(there), strict=True):
        [number] = [
            number for number in range(parts) if starts[number] <= answer < starts[number + 1]
        ]
        even = "even" if (answer - starts[number]) % 2 == 0 else "odd"
        assert known.makers[maker] == f"{even} in {number}"


@MANY
@given(st.data())
def test_rows_that_come_again_in_any_order_are_found(tmp_path: Path, data: st.DataObject) -> None:
    """Whole stretches as they were, moved, with rows taken out, put in and changed."""
    count = data.draw(st.integers(1, 400))
    rows = [(row % 3, row) for row in range(count)]
    known = index(
        tmp_path,
        wide(rows),
        {"number": pa.array(range(count), pa.int64())},
        data.draw(st.integers(1, 4)),
    )
    stretch = st.tuples(st.integers(0, count - 1), st.integers(1, 200), st.integers(0, 60))
    asked: list[tuple[int, int]] = []
    for start, length, every in data.draw(st.lists(stretch, max_size=6)):
        asked += [
            (row[0], row[1] + (count if every and place % every == 0 else 0))
            for place, row in enumerate(rows[start : start + length])
        ]
    size = data.draw(st.integers(1, 300))
    for begin in range(0, len(asked), size):
        check_found(known, rows, asked[begin : begin + size])


def test_rows_that_follow_each_other_are_not_searched_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But the first, by which their place is found, and those that differ."""
    rows = [(row % 4, row) for row in range(10_000)]
    known = index(tmp_path, wide(rows), {"number": pa.array(range(10_000), pa.int64())}, 3)
    searched: list[int] = []
    search = KnownRows._search

    def counted(self: KnownRows, asked: np.ndarray) -> np.ndarray:
        searched.append(len(asked))
        return search(self, asked)

    monkeypatch.setattr(KnownRows, "_search", counted)
    changed = [row if at % 100 else (row[0], row[1] + 10_000) for at, row in enumerate(rows)]
    for start in range(0, 10_000, 1000):
        check_found(known, rows, changed[start : start + 1000])
    # A hundred rows have changed.
    assert sum(searched) <= 200
    searched.clear()
    check_found(known, rows, [*rows[5000:], *rows[:5000]])
    assert sum(searched) <= 50


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
    known = index(tmp_path, fingerprint_of(halves), answers, 2)
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
