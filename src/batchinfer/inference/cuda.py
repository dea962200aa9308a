"""A CUDA GPU as a lane: pinned memory, and streams of their own for what goes to it, what it
computes, and what is read back.

Owns the streams and the mark. Imports PyTorch where it is used, and is only used where there is a
GPU.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from batchinfer.inference.attempt import Clock


@dataclass(frozen=True)
class ComputeEvents:
    """Events around what one batch computes."""

    start: Any
    end: Any


@lru_cache(maxsize=8)
def lane_of(device: str) -> CudaLane:
    """The lane of a GPU in this process: PyTorch keeps memory for each stream, so the next task
    goes on with the same ones.

    Runs on: executor.
    """
    return CudaLane(device)


class CudaLane:
    """One GPU, used by one thread.

    Args:
        device: as PyTorch calls it, such as `cuda` or `cuda:1`.
        clock: seconds, the runner's own.

    Source: "CUDA semantics", https://docs.pytorch.org/docs/stable/notes/cuda.html: streams, and
    memory that crosses them.
    """

    def __init__(self, device: str, clock: Clock = time.perf_counter) -> None:
        import torch

        self._torch, self._device = torch, torch.device(device)
        with torch.cuda.device(self._device):
            # Weights came by the default stream, which these streams do not wait for.
            torch.cuda.synchronize()
            self._sends, self._computes, self._reads = (torch.cuda.Stream() for _ in range(3))
            self._zero = torch.cuda.Event(enable_timing=True)
            self._zero.record()
            self._zero.synchronize()
        self._zero_s = clock()

    def send(self, tensors: Mapping[str, Any], move: bool) -> Any:
        """The tensors in pinned memory, or with `move` on their way to the GPU; what are no tensors
        stay what they are.
        """
        if not isinstance(tensors, Mapping):
            return tensors
        with self._torch.cuda.stream(self._sends):
            sent = {name: self._sent(value, move) for name, value in tensors.items()}
        self._computes.wait_stream(self._sends)
        return sent

    def _sent(self, value: Any, move: bool) -> Any:
        if not isinstance(value, self._torch.Tensor) or value.device.type != "cpu":
            return value
        pinned = value if value.is_pinned() else value.pin_memory()
        if not move:
            return pinned
        moved = pinned.to(self._device, non_blocking=True)
        # Its memory must not be given to the next copy before the model has read it.
        moved.record_stream(self._computes)
        return moved

    def compute(self, work: Callable[[], Any]) -> tuple[Any, ComputeEvents]:
        mark = ComputeEvents(
            self._torch.cuda.Event(enable_timing=True), self._torch.cuda.Event(enable_timing=True)
        )
        with self._torch.cuda.stream(self._computes):
            mark.start.record()
            output = work()
            mark.end.record()
        return output, mark

    def wait(self, mark: ComputeEvents) -> None:
        mark.end.synchronize()

    def span(self, mark: ComputeEvents) -> tuple[float, float]:
        begun = self._zero_s + self._zero.elapsed_time(mark.start) / 1e3
        ended = begun + mark.start.elapsed_time(mark.end) / 1e3
        # Events tell single-precision milliseconds: hours after a fixed one they would tell no more
        # than that.
        self._zero, self._zero_s = mark.end, ended
        return begun, ended

    @contextmanager
    def reading(self) -> Generator[None]:
        with self._torch.cuda.stream(self._reads):
            yield
        # What was read lies in memory of the computing stream, which takes it back now.
        self._reads.synchronize()
