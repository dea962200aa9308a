"""The engine on a CUDA GPU; without Spark. Where PyTorch sees none, all of these skip.

`BATCHINFER_TEST_DEVICE=cpu` runs them on the CPU, where what only a GPU can do is played, to try a
change of a test.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pyarrow as pa
import pytest
from gpu.models import ROWS, feature_table

DEVICE = os.environ.get("BATCHINFER_TEST_DEVICE", "cuda")


@pytest.fixture(scope="session", autouse=True)
def device() -> str:
    """What PyTorch calls the device."""
    import torch

    if DEVICE != "cpu" and not torch.cuda.is_available():
        pytest.skip(
            "PyTorch sees no CUDA device; BATCHINFER_TEST_DEVICE=cpu tries these tests without one"
        )
    return DEVICE


@pytest.fixture(autouse=True)
def _cached_memory_is_returned(device: str) -> Iterator[None]:
    """No test finds memory that another one left in PyTorch's cache."""
    yield
    if device != "cpu":
        import torch

        torch.cuda.empty_cache()


@pytest.fixture(scope="session")
def table() -> pa.RecordBatch:
    return feature_table(ROWS)
