"""A runner for a device of its own: while it computes a batch, this process reads the one before
back and makes the next one.

Owns the order of what is done, whose error is whose, and how long the device computed and waited.
What the device is like, a `Lane` says (`cuda.CudaLane`): this module could be run on any, and its
tests run it on one that is played.

At most two batches are on the device at a time: `BatchScorer` submits one and then takes the result
of the one before. An attempt that fails at once is settled before another one is submitted, so that
nothing but its own rows fills the device.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import pyarrow as pa

from batchinfer.contracts import ScoringHandler
from batchinfer.inference.attempt import (
    Clock,
    Failure,
    InProcess,
    Predictions,
    Runner,
    inference_mode,
)


class Lane(Protocol):
    """One device with its queues, as a runner sees it."""

    def send(self, tensors: Mapping[str, Any], move: bool) -> dict[str, Any]:
        """Tensors where the device can fetch them by itself; with `move`, on their way to it. Does
        not wait.
        """
        ...

    def compute(self, work: Callable[[], Any]) -> tuple[Any, Any]:
        """Queues what `work` computes behind what was sent; its output, and a mark to wait for.
        Does not wait.
        """
        ...

    def wait(self, mark: Any) -> None:
        """Until the device has computed what the mark stands for; raises what went wrong there."""
        ...

    def span(self, mark: Any) -> tuple[float, float]:
        """When the device began and ended it, in seconds of this process's clock; only of what was
        waited for.
        """
        ...

    def reading(self) -> AbstractContextManager[Any]:
        """While it lasts, what is read from the device does not queue behind the next batch."""
        ...


@dataclass
class DeviceUse:
    """What a device did, in seconds: it computed, or waited for rows, or for this process to be
    done with what it gave.
    """

    computing: float = 0.0
    input: float = 0.0
    output: float = 0.0
    _free_at: float | None = None

    def add(self, asked: float, begun: float, ended: float) -> None:
        """Counts a batch: when this process turned to it, when the device began, and when it
        ended.
        """
        free_at = asked if self._free_at is None else self._free_at
        self.output += max(0.0, min(asked, begun) - free_at)
        self.input += max(0.0, begun - max(asked, free_at))
        self.computing += ended - begun
        self._free_at = ended

    def end(self, now: float) -> None:
        """Counts what is left after the last batch."""
        if self._free_at is not None:
            self.output += max(0.0, now - self._free_at)
            self._free_at = now


@runtime_checkable
class Overlapping(Runner, Protocol):
    """A runner that can begin a batch before the one before has ended."""

    def submit(self, batch: pa.RecordBatch, asked: float) -> Attempt:
        """Begins to score a batch, which this process turned to at `asked`."""
        ...


class Attempt:
    """A batch that was begun.

    Attributes:
        failure: why it failed before the device had it; None: it is under way.
        waited_s: seconds that this process waited for the device.
        device_s: seconds that the device computed.
    """

    def __init__(self, runner: OverlapRunner, rows: int, asked: float) -> None:
        self._runner, self._rows, self._asked = runner, rows, asked
        self.failure: Failure | None = None
        self.waited_s = self.device_s = 0.0
        self.output: Any = None
        self.mark: Any = None

    def result(self) -> Predictions | Failure:
        """Waits for the device; predictions, or why there are none. Asked for once, and in the
        order of submission.
        """
        return (
            self._runner.settle(self, self._rows, self._asked)
            if self.failure is None
            else self.failure
        )


class OverlapRunner(InProcess):
    """Runs a handler whose module lies on a device with a lane.

    Args:
        moves: tensors are sent to the device for the handler; otherwise its own `forward` moves
            them.

    Attributes:
        timings: seconds of this process; `forward` is what it spent on starting the model and on
            waiting for it.
        use: what the device did.
    """

    def __init__(
        self,
        handler: ScoringHandler,
        lane: Lane,
        clock: Clock = time.perf_counter,
        timeout_s: float | None = None,
        *,
        moves: bool = False,
    ) -> None:
        super().__init__(handler, clock, timeout_s)
        self._lane, self._moves = lane, moves
        self.use = DeviceUse()

    def run(self, batch: pa.RecordBatch, probing: bool = False) -> Predictions | Failure:
        """As `InProcess.run`: begins a batch and waits for it."""
        return self.submit(batch, self._clock()).result()

    def submit(self, batch: pa.RecordBatch, asked: float) -> Attempt:
        """Makes a batch's tensors and queues the model; does not wait for it.

        Runs on: executor.

        Raises:
            ModelError: the handler said so; RuntimeError: the device is lost.
        """
        attempt = Attempt(self, batch.num_rows, asked)

        def begin(enter: Callable[[str], None]) -> None:
            tensors = self._timed("encode", self.handler.encode, batch)
            enter("forward")
            with inference_mode():
                attempt.output, attempt.mark = self._timed("forward", self._queue, tensors)

        failure = self._attempted(begin, "encode")
        if isinstance(failure, Failure):
            attempt.failure = failure
        return attempt

    def settle(self, attempt: Attempt, rows: int, asked: float) -> Predictions | Failure:
        """Waits for the device and reads an attempt's output; raises as `submit` does."""

        def end(enter: Callable[[str], None]) -> Predictions:
            before = self.timings["forward"]
            self._timed("forward", self._lane.wait, attempt.mark)
            attempt.waited_s = self.timings["forward"] - before
            begun, ended = self._lane.span(attempt.mark)
            attempt.device_s = ended - begun
            self.use.add(asked, begun, ended)
            enter("decode")
            output, attempt.output = attempt.output, None
            with self._lane.reading(), inference_mode():
                return self._timed("decode", self._decode, output, rows)

        try:
            return self._attempted(end, "forward")
        finally:
            attempt.output = attempt.mark = None

    def close(self) -> None:
        self.use.end(self._clock())

    def _queue(self, tensors: Mapping[str, Any]) -> tuple[Any, Any]:
        sent = self._lane.send(tensors, self._moves)
        return self._lane.compute(lambda: self.handler.forward(sent))
