"""Memory that ends splits the batch, loses no row, and is remembered where it lasts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from fake_handlers import Doubling, GreedyRow, Refused, stream_of
from hypothesis import given, settings
from hypothesis import strategies as st
from scored_rows import SIZES, XS, failed_lines, plain_loop, scores_of

from batchinfer.inference.engine import BatchScorer


@settings(max_examples=60, deadline=None)
@given(XS, SIZES, st.integers(1, 70), st.integers(1, 70))
def test_memory_that_ends_loses_nothing(
    xs: list[int], sizes: list[int], batch_rows: int, most_rows: int
) -> None:
    handler = Doubling(most_rows=most_rows)
    results = list(BatchScorer(handler, batch_rows).score(stream_of(xs, sizes)))
    assert scores_of(results) == plain_loop(xs)
    assert not failed_lines(results)


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


def test_torch_s_own_out_of_memory_splits_the_batch() -> None:
    torch = pytest.importorskip("torch")

    class Small(Doubling):
        def forward(self, tensors: dict[str, Any]) -> Any:
            assert torch.is_inference_mode_enabled()
            if len(tensors["x"]) > 3:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return tensors["x"]

    assert scores_of(
        list(BatchScorer(Small(), 16).score(stream_of(list(range(40)), [])))
    ) == plain_loop(list(range(40)))


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
    assert scores_of(list(scorer.score(stream_of(list(range(40)), [])))) == plain_loop(
        list(range(40))
    )
    assert scorer.size.ceiling == 3


def test_memory_of_earlier_batches_is_let_go() -> None:
    def many():
        for _ in range(50):
            yield pa.RecordBatch.from_pydict({"x": np.ones(100_000, np.int64)})

    before = pa.total_allocated_bytes()
    peak = 0
    for _ in BatchScorer(Doubling(), 50_000).score(many()):
        peak = max(peak, pa.total_allocated_bytes() - before)
    assert peak < 8_000_000


def test_a_kernel_that_is_refused_for_its_size_is_no_lost_device_and_the_size_is_learnt() -> None:
    handler = Refused(5)
    scorer = BatchScorer(handler, 8)
    results = list(scorer.score(stream_of([*range(12), 13, 14], [])))
    assert scores_of(results) == plain_loop([*range(12), 13, 14], but=(13,))
    [record] = [record for scored in results for record in scored.failed]
    assert (record.reason, record.message) == (
        "too_large",
        "RuntimeError: CUDA error: invalid configuration argument",
    )
    assert scorer.size.ceiling == 7
    assert not [rows for rows in handler.calls[1:] if rows > 5]
