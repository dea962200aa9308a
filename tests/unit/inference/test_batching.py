"""Re-batching keeps every row in place; the batch size finds the best rate and remembers where
memory ended.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from fake_handlers import Doubling
from hypothesis import given, settings
from hypothesis import strategies as st

from batchinfer.inference.batching import (
    LARGEST_ROWS,
    LARGEST_ROWS_GPU,
    AutoSize,
    FixedSize,
    new_size,
    rebatch,
)
from batchinfer.inference.engine import BatchScorer

NO_LIMIT = 2**40


def _stream(sizes: list[int], width: int = 0) -> list[pa.RecordBatch]:
    batches, start = [], 0
    for size in sizes:
        ids = list(range(start, start + size))
        texts = [f"{i:0{width + i % 7}d}" for i in ids]
        batches.append(
            pa.RecordBatch.from_pydict(
                {"id": pa.array(ids, pa.int64()), "text": pa.array(texts, pa.string())}
            )
        )
        start += size
    return batches


def _ids(batches: list[pa.RecordBatch]) -> list[int]:
    return [i for batch in batches for i in batch.column("id").to_pylist()]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 20), max_size=12), st.integers(1, 30))
def test_every_batch_but_the_last_is_full(sizes: list[int], rows: int) -> None:
    results = list(rebatch(_stream(sizes), lambda: rows, NO_LIMIT))
    assert _ids(results) == list(range(sum(sizes)))
    assert all(batch.num_rows == rows for batch in results[:-1])
    assert all(0 < batch.num_rows <= rows for batch in results)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 20), max_size=12), st.integers(1, 30), st.integers(1, 2000))
def test_bytes_limit_holds_and_batches_are_no_smaller_than_they_must(
    sizes: list[int], rows: int, max_bytes: int
) -> None:
    results = list(rebatch(_stream(sizes), lambda: rows, max_bytes))
    assert _ids(results) == list(range(sum(sizes)))
    whole = pa.Table.from_batches(_stream(sizes), _stream([1])[0].schema).combine_chunks()
    start = 0
    for batch in results:
        assert batch.num_rows == 1 or batch.nbytes <= max_bytes
        longer = whole.slice(start, batch.num_rows + 1).combine_chunks()
        last = start + batch.num_rows == whole.num_rows
        assert last or batch.num_rows == rows or longer.nbytes > max_bytes
        start += batch.num_rows


@pytest.mark.parametrize("n", [1, 7, 256])
def test_sizes_around_one_batch(n: int) -> None:
    for rows_in, expected in [(0, []), (1, [1]), (n, [n]), (n + 1, [n, 1]), (2 * n, [n, n])]:
        assert [
            batch.num_rows for batch in rebatch(_stream([rows_in]), lambda: n, NO_LIMIT)
        ] == expected


def test_cutting_one_batch_copies_nothing() -> None:
    batch = _stream([100])[0]
    address = batch.column("id").buffers()[1].address
    results = list(rebatch([batch], lambda: 30, NO_LIMIT))
    assert [part.column("id").buffers()[1].address for part in results] == [address] * 4


def test_reads_no_further_than_it_must() -> None:
    read = []

    def source():
        for batch in _stream([10] * 5):
            read.append(batch.num_rows)
            yield batch

    stream = rebatch(source(), lambda: 15, NO_LIMIT)
    next(stream)
    assert len(read) == 2


def test_bytes_bound_what_is_read_ahead() -> None:
    batches = _stream([10] * 5)
    read = []
    next(
        rebatch(
            (read.append(batch) or batch for batch in batches),
            lambda: 10_000,
            batches[0].nbytes + 1,
        )
    )
    assert len(read) == 2


def test_a_size_that_changes_takes_effect_at_the_next_batch() -> None:
    sizes = iter([1, 2, 4, 8, 16, 32])
    assert [
        batch.num_rows for batch in rebatch(_stream([10, 10]), lambda: next(sizes), NO_LIMIT)
    ] == [1, 2, 4, 8, 5]


def test_dictionaries_that_differ_are_merged() -> None:
    parts = [
        pa.RecordBatch.from_pydict({"x": pa.array(values).dictionary_encode()})
        for values in (["a", "b"], ["c", "a", None])
    ]
    (joined,) = rebatch(parts, lambda: 10, NO_LIMIT)
    assert joined.column("x").to_pylist() == ["a", "b", "c", "a", None]


def _run(
    size: FixedSize,
    seconds_per_batch: Callable[[int], float],
    batches: int = 40,
    limit: int = NO_LIMIT,
) -> list[int]:
    tried = []
    for _ in range(batches):
        rows = size.rows
        tried.append(rows)
        if rows > limit:
            size.out_of_memory(rows)
        else:
            size.record(rows, seconds_per_batch(rows))
    return tried


def test_auto_grows_to_the_best_rate_and_stays() -> None:
    best_at_2048 = {256: 3.0, 512: 3.3, 1024: 3.5, 2048: 5.0, 4096: 4.5, 8192: 4.4, 16384: 9.0}
    tried = _run(AutoSize(256), lambda rows: rows / best_at_2048[rows] / 1e6, batches=50)
    assert tried[0] == 256
    assert all(later in (earlier, 2 * earlier) for earlier, later in pairwise(tried[:13]))
    assert tried[13:31] == [2048, 4096, 8192] * 6, "nearly as good as the best: they take turns"
    assert set(tried[31:]) == {2048}
    assert 16384 not in tried


def test_a_machine_that_is_slow_for_a_moment_does_not_decide() -> None:
    """The best size was measured at a bad moment, the next one at a good one: taking turns puts it
    right.
    """
    rates = {256: 1.0, 512: 1.5, 1024: 2.0, 2048: 1.5, 4096: 1.5}
    size, tried = AutoSize(256), list[int]()
    for number in range(60):
        # Before the sizes take turns, the machine has half of its speed while 1024 rows are
        # measured.
        slow = 1.7 if not size._turns and size.rows == 1024 else 1.0
        slow = 0.5 if number == 30 else slow
        tried.append(size.rows)
        size.record(size.rows, size.rows / rates[size.rows] * slow)
    assert size.rows == 1024
    assert {512, 2048} < set(tried)


def test_long_batches_take_fewer_turns() -> None:
    tried = _run(AutoSize(256), lambda rows: rows / {256: 900, 512: 890}.get(rows, 300), batches=30)
    assert tried[7:13] == [256, 512] * 3 and set(tried[13:]) == {256}


def test_auto_goes_to_the_largest_while_it_pays() -> None:
    assert _run(AutoSize(256), lambda rows: 1.0)[-1] == 16_384


def test_auto_prefers_the_smaller_of_equal_rates() -> None:
    assert _run(AutoSize(256), lambda rows: rows / 1000)[-1] == 256


def test_auto_does_not_stop_at_one_slow_size() -> None:
    rates = {256: 1.0, 512: 0.9, 1024: 2.0, 2048: 3.0, 4096: 1.0, 8192: 1.0}
    assert _run(AutoSize(256), lambda rows: rows / rates[rows])[-1] == 2048


@pytest.mark.parametrize(("limit", "stays"), [(1000, 512), (100, 64), (1, 1), (16_384, 16_384)])
def test_auto_keeps_below_the_size_that_ran_out_of_memory(limit: int, stays: int) -> None:
    tried = _run(AutoSize(256), lambda rows: 1.0, limit=limit)
    assert tried[-1] == stays
    failed = [rows for rows in tried if rows > limit]
    assert len(failed) == len(set(failed))


def test_auto_grows_again_below_the_ceiling_of_a_smaller_batch() -> None:
    size = AutoSize(256)
    for _ in range(3):
        size.record(256, 1.0)
    assert size.rows == 512
    size.out_of_memory(3000)
    assert size.rows == 512
    assert _run(size, lambda rows: 1.0)[-1] == 2048
    assert size.ceiling == 2999


def test_a_size_that_was_settled_stays_where_a_larger_one_runs_out_of_memory() -> None:
    rates = {512: 2e6, 1024: 1e6}
    size = AutoSize(256, known={512: 2.0, 1024: 2.1})
    _run(size, lambda rows: rows / rates[rows])
    assert size.rows == 512
    size.out_of_memory(3000)
    assert size.rows == 512


@pytest.mark.parametrize(
    ("rows", "limit", "stays"),
    [(1000, 600, 500), (1000, 1000, 1000), (1000, 3, 3), (7, 1, 1), (1, 1, 1)],
)
def test_a_fixed_size_shrinks_only_where_memory_ends(rows: int, limit: int, stays: int) -> None:
    assert _run(FixedSize(rows), lambda rows: 1.0, limit=limit)[-1] == stays


def test_batches_cut_short_say_nothing_about_a_size() -> None:
    size = AutoSize(256)
    for _ in range(10):
        size.record(3, 1.0)
    assert size.rows == 256


def test_a_remembered_size_is_where_the_next_run_begins() -> None:
    rates = {256: 1e6, 512: 2e6, 1024: 3e6, 2048: 2.9e6, 4096: 2e6}
    first = AutoSize(256)
    _run(first, lambda rows: rows / rates.get(rows, 1e6))
    assert first.curve == pytest.approx(rates)
    again = AutoSize(256, known=first.curve)
    tried = _run(again, lambda rows: rows / rates[rows])
    assert tried[:4] == [1024, 2048, 1024, 2048] and set(tried[12:]) == {1024}
    assert again.curve == pytest.approx(rates)
    # Of equal rates the smaller one; sizes that are none of ours say nothing.
    assert AutoSize(256, known={512: 2.0, 1024: 2.0, 1000: 9.0}).rows == 512
    assert AutoSize(256, known={1000: 9.0}).rows == 256


def test_a_search_that_did_not_end_is_not_remembered() -> None:
    size = AutoSize(256)
    _run(size, lambda rows: 1.0, batches=4)
    assert size.curve == {}
    anew = AutoSize(256, known={2048: 9.0})
    _run(anew, lambda rows: 1e9, batches=2)
    assert anew.curve == {2048: 9.0}  # not judged yet, and still handed on
    _run(anew, lambda rows: 1e9, batches=1)
    assert anew.rows == 256 and anew.curve == {}


def test_a_remembered_size_that_is_no_longer_good_is_searched_for_anew() -> None:
    rates = {256: 1e6, 512: 2e6, 1024: 1e6, 2048: 1e6}
    tried = _run(AutoSize(256, known={2048: 9e6, 256: 1e6}), lambda rows: rows / rates[rows])
    assert tried[:7] == [2048] * 6 + [256] and tried[-1] == 512


@pytest.mark.parametrize("limit", [1500, 100])
def test_a_remembered_size_that_memory_no_longer_holds_shrinks(limit: int) -> None:
    tried = _run(AutoSize(256, known={2048: 9.0, 1024: 8.0}), lambda rows: 1.0, limit=limit)
    assert tried[0] == 2048 and tried[-1] == (1024 if limit == 1500 else 64)


def test_a_ceiling_of_one_day_is_not_that_of_the_next() -> None:
    def rate(rows: int) -> float:
        return float(rows) if rows <= 1024 else 900.0

    poor = AutoSize(32)
    _run(poor, lambda rows: rows / rate(rows), limit=100)
    assert max(poor.curve) == 64 and poor.rows == 64
    clean = AutoSize(32, known=poor.curve)
    assert clean.rows == 64
    tried = _run(clean, lambda rows: rows / rate(rows), batches=60)
    assert tried[-1] == 1024 and clean.curve[1024] == pytest.approx(1024)
    again = AutoSize(32, known=poor.curve)
    tried = _run(again, lambda rows: rows / rate(rows), batches=60, limit=100)
    assert tried.count(128) == 1 and tried[-1] == 64, "where it still stands, it costs one batch"


def test_a_fixed_size_measures_nothing() -> None:
    size = new_size(100)
    _run(size, lambda rows: 1.0)
    assert size.curve == {} and size.rows == 100 and new_size("auto").rows == 32


def test_a_size_that_the_bytes_of_a_batch_never_allow_is_not_waited_for() -> None:
    wide = pa.record_batch({"x": np.arange(3000.0), "picture": [b"." * 1000] * 3000})
    auto = BatchScorer(Doubling(), "auto", max_bytes=102_500)
    assert sum(scored.rows.num_rows for scored in auto.score([wide])) == 3000
    assert auto.counts["largest_batch"] == 101 and auto.size.rows in (32, 64)
    assert set(auto.size.curve) == {32, 64}
    fixed = BatchScorer(Doubling(), 512, max_bytes=102_500)
    assert {scored.rows.num_rows for scored in fixed.score([wide])} <= {101, 3000 % 101}
    few = BatchScorer(Doubling(), "auto", max_bytes=102_500)
    list(few.score([wide.slice(0, 20)]))
    assert few.size.rows == 32, "few rows are not wide ones"


def test_a_gpu_may_be_given_larger_batches() -> None:
    size = new_size("auto", largest=LARGEST_ROWS_GPU)
    for _ in range(200):
        size.record(size.rows, 0.01)  # as long for any number of rows: the more the better
    assert size.rows == LARGEST_ROWS_GPU == 2**20
    assert max(new_size("auto").sizes) == LARGEST_ROWS


def test_what_was_remembered_of_a_gpu_s_large_batches_is_taken_up_again() -> None:
    size = new_size("auto", {65_536: 9e6, 131_072: 8e6}, LARGEST_ROWS_GPU)
    assert size.rows == 65_536
