"""What runs in the child process: load once, then answer batch by batch.

Owns the words that pass over the line between a task and its child. Knows nothing of
streams.
"""

from __future__ import annotations

import faulthandler
import gc
import signal
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection

import pyarrow as pa

from batchinfer.contracts import ScoringHandler
from batchinfer.errors import BatchInferError
from batchinfer.inference.attempt import (
    CRASH,
    Failure,
    InProcess,
    Predictions,
    error_text,
    is_device_lost,
)
from batchinfer.inference.workers import keep_freed_memory, peak_bytes


@dataclass(frozen=True)
class LoadedReply:
    """The model is there; what it declares."""

    declared: Mapping[str, pa.DataType]


@dataclass(frozen=True)
class ScoredReply:
    """Predictions of a batch, the seconds of each stage, and the most memory that this process has
    had in use.
    """

    predictions: Predictions
    seconds: dict[str, float]
    peak_bytes: int


@dataclass(frozen=True)
class RefusedReply:
    """An error that ends the run: its class and words."""

    class_name: str
    problems: tuple[str, ...]
    hint: str | None


def to_ipc(batch: pa.RecordBatch) -> memoryview:
    """A batch as an Arrow IPC stream; of a slice, only its own rows (a pickle would hold all that
    it was cut from).
    """
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return memoryview(sink.getvalue())


def from_ipc(stream: bytes) -> pa.RecordBatch:
    """The batch of an Arrow IPC stream; shares its memory."""
    return pa.ipc.open_stream(stream).read_next_batch()


def run_child(handle: int) -> None:
    """The child's life: it is told what to load over the line, and serves.

    Args:
        handle: file descriptor of the line, inherited.
    """
    # Ctrl-C goes to all processes of a terminal; the parent decides what it means, and ends this
    # one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Connection(handle) as line:
        try:
            loader, longest_s = line.recv()
        except EOFError:
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, the parent must hear of it
            line.send(_refused(error))
            return
        serve(line, loader, longest_s)


def serve(line: Connection, loader: Callable[[], ScoringHandler], longest_s: float) -> None:
    """Answers batches until the other side closes the line.

    Args:
        line: batches come in, `LoadedReply`, `ScoredReply`, `Failure` and `RefusedReply` go out.
        loader: makes the handler.
        longest_s: a batch that takes longer ends this process.

    Runs on: a child of an executor's worker.
    """
    faulthandler.enable()
    keep_freed_memory()
    try:
        with _left_alone():
            runner = InProcess(loader(), timeout_s=longest_s)
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent must hear of it
        line.send(_refused(error))
        return
    # The parent is done, or gone: nobody is there to be told of it.
    with suppress(EOFError, ConnectionError):
        line.send(LoadedReply(runner.declared))
        while True:
            line.send(_answer(runner, from_ipc(line.recv_bytes())))


@contextmanager
def _left_alone() -> Generator[None]:
    """What is imported and loaded here stays: the garbage collector does not look through it, now
    or later.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _answer(runner: InProcess, batch: pa.RecordBatch) -> ScoredReply | Failure | RefusedReply:
    before = dict(runner.timings)
    try:
        found = runner.run(batch)
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent must hear of it
        # After a CUDA error this process is of no use; the next child starts with a fresh device.
        return Failure(CRASH, error_text(error)) if is_device_lost(error) else _refused(error)
    if isinstance(found, Failure):
        return found
    return ScoredReply(
        found,
        {stage: seconds - before[stage] for stage, seconds in runner.timings.items()},
        peak_bytes(),
    )


def _refused(error: Exception) -> RefusedReply:
    if isinstance(error, BatchInferError):
        return RefusedReply(type(error).__name__, error.problems, error.hint)
    return RefusedReply("ModelError", (f"the model cannot be loaded: {error_text(error)}",), None)
