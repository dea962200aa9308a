"""Which device a task computes on, and how it is run there; a GPU is played."""

from __future__ import annotations

import pytest
import torch

from batchinfer.errors import ModelError
from batchinfer.inference import cuda
from batchinfer.inference.attempt import InProcess
from batchinfer.inference.overlap import OverlapRunner
from batchinfer.models.handler import Regressor
from batchinfer.pipeline.scoring.devices import (
    choose_device,
    cuda_index,
    describe_device,
    runner_on,
)


@pytest.fixture
def turned_to(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """PyTorch says that there are GPUs; holds those that were made the current one."""
    turned: list[str] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_device", turned.append)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"GPU of {device}")
    monkeypatch.setattr(cuda, "lane_of", lambda device: f"lane of {device}")
    return turned


@pytest.mark.parametrize(
    ("asked", "chosen"), [("auto", "cuda"), ("cuda", "cuda"), ("cuda:1", "cuda:1"), ("cpu", "cpu")]
)
def test_the_device_that_was_asked_for(turned_to: list[str], asked: str, chosen: str) -> None:
    assert choose_device(asked) == chosen


def test_a_gpu_overlaps_and_one_with_a_number_becomes_the_current_one(turned_to: list[str]) -> None:
    handler = Regressor(torch.nn.Linear(2, 1))
    assert isinstance(runner_on("cuda", handler, 5), OverlapRunner)
    assert turned_to == []
    runner = runner_on("cuda:1", handler, 5)
    assert isinstance(runner, OverlapRunner) and runner._lane == "lane of cuda:1"  # type: ignore[comparison-overlap]
    assert turned_to == ["cuda:1"]
    assert type(runner_on("cpu", handler, 5)) is InProcess


def test_a_size_is_remembered_for_the_device_and_how_it_computes(turned_to: list[str]) -> None:
    assert describe_device("cuda:1", 1) == "GPU of cuda:1"
    assert describe_device("cuda", 1, "bf16", compile_=True) == "GPU of cuda, bf16, compiled"
    assert describe_device("cpu", 2, "bf16") == "cpu, 2 threads, bf16"


def test_a_gpu_that_is_not_there_is_a_model_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == "cpu"
    for asked in ("cuda", "cuda:1"):
        with pytest.raises(ModelError, match="this executor has no usable GPU"):
            choose_device(asked)


@pytest.mark.parametrize(
    ("address", "visible", "index"),
    [("1", None, 1), ("1", "", 1), ("3", "2,3", 1), ("GPU-8f", "GPU-1a, GPU-8f", 1)],
)
def test_pytorch_counts_the_gpus_that_a_process_may_use(
    address: str, visible: str | None, index: int
) -> None:
    assert cuda_index(address, visible, 2) == index


def test_a_gpu_that_the_process_may_not_use_is_an_error_that_names_both() -> None:
    with pytest.raises(ModelError, match="Spark gave this task the GPU 0; PyTorch sees here: 2, 3"):
        cuda_index("0", "2,3", 2)
    with pytest.raises(ModelError, match="GPU 5; PyTorch sees here: 0, 1"):
        cuda_index("5", None, 2)
