"""One attempt at scoring some rows, and what its failure means.

Owns the three stages of a model (encode, forward, decode), their times, and the sorting of errors:
which of them are a matter of rows, and which end the run. Knows nothing of streams, sizes or
isolation.
"""

from __future__ import annotations

import contextlib
import faulthandler
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import pyarrow as pa

from batchinfer.contracts import ScoringHandler
from batchinfer.errors import ModelError, SetupError, StorageError, UnfitRows
from batchinfer.inference.outputs import output_fields, typed_predictions

Clock = Callable[[], float]
Predictions = dict[str, pa.Array]

ENCODE_ERROR, MODEL_ERROR, DECODE_ERROR = "encode_error", "model_error", "decode_error"
NOT_FINITE, OUT_OF_MEMORY, TOO_LARGE, HANG, CRASH = (
    "not_finite",
    "out_of_memory",
    "too_large",
    "hang",
    "crash",
)
_REASONS = {"encode": ENCODE_ERROR, "forward": MODEL_ERROR, "decode": DECODE_ERROR}

# No row is to blame for these; they end the run, each with its own exit code.
_NOT_OF_A_ROW = (ModelError, StorageError, SetupError)
_MESSAGE_CHARACTERS = 1000
_OUT_OF_MEMORY_WORDS = (
    "can't allocate memory",
    "not enough memory",
    "CUDA out of memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
)
# A kernel that was not started, because its grid is larger than the GPU takes: nothing is lost,
# fewer rows may do.
_NOT_STARTED_WORDS = ("invalid configuration argument", "too many resources requested for launch")
_STDERR = 2


@dataclass(frozen=True)
class Failure:
    """Why an attempt gave no predictions.

    Attributes:
        reason: encode_error, model_error, decode_error, not_finite, out_of_memory, too_large, hang,
            crash.
        message: type and text of the error.
        rows: rows of the attempt that were told apart before the model was asked, and why, by
            position; the others may well be scored. Empty: not known which rows are to blame.
    """

    reason: str
    message: str
    rows: Mapping[int, str] = field(default_factory=dict)


@runtime_checkable
class Runner(Protocol):
    """A way to score rows: in this process, or in a child of it."""

    declared: Mapping[str, pa.DataType]
    timings: dict[str, float]

    def run(self, batch: pa.RecordBatch, probing: bool = False) -> Predictions | Failure:
        """Scores all rows of a batch, or says why not; `probing`: part of a batch that failed, and
        not the last try.
        """
        ...

    def close(self) -> None:
        """Releases what the runner holds."""
        ...


class InProcess:
    """Runs a handler in this process.

    Args:
        handler: the model.
        clock: seconds; a monotonic clock.
        timeout_s: after so many seconds an attempt counts as hanging. A thread of C code, which
            needs neither this thread nor the interpreter's lock, then writes a traceback to
            standard error and ends the process, so that Spark tries the task again. None: never.
    """

    def __init__(
        self,
        handler: ScoringHandler,
        clock: Clock = time.perf_counter,
        timeout_s: float | None = None,
    ) -> None:
        self.handler = handler
        self.declared: Mapping[str, pa.DataType] = output_fields(handler)
        self.timings = {"encode": 0.0, "forward": 0.0, "decode": 0.0}
        self._clock = clock
        self._timeout_s = timeout_s

    def run(self, batch: pa.RecordBatch, probing: bool = False) -> Predictions | Failure:
        """Predictions of all rows of a batch, or why there are none.

        Runs on: executor.

        Raises:
            ModelError: the handler gives other columns than it declares, or said so itself.
        """

        def score(enter: Callable[[str], None]) -> Predictions:
            tensors = self._timed("encode", self.handler.encode, batch)
            enter("forward")
            with inference_mode():
                output = self._timed("forward", self._forward, tensors)
                del tensors
                enter("decode")
                return self._timed("decode", self._decode, output, batch.num_rows)

        return self._attempted(score, "encode")

    def close(self) -> None:
        """Nothing to release: the handler is the caller's."""

    def _attempted(self, work: Callable[[Callable[[str], None]], Any], stage: str) -> Any:
        """What `work` gives, or the failure of the stage that it last said to have entered; it
        begins in `stage`.
        """
        entered = [stage]
        with self._watched():
            try:
                return work(entered.append)
            except Exception as error:
                if isinstance(error, _NOT_OF_A_ROW) or is_device_lost(error):
                    raise
                failure = _as_failure(error, entered[-1])
        # Outside of `except`, where the error's frames no longer hold the tensors.
        if failure.reason == OUT_OF_MEMORY:
            _release_memory()
        return failure

    def _forward(self, tensors: dict[str, Any]) -> Any:
        """The model's output, once it is there: kernels on a GPU end, or fail, after `forward` has
        returned.
        """
        output = self.handler.forward(tensors)
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_initialized():
            torch.cuda.current_stream().synchronize()
        return output

    def _decode(self, output: Any, rows: int) -> Predictions:
        return typed_predictions(self.handler.decode(output), self.declared, rows)

    def _timed(self, stage: str, work: Callable[..., Any], *arguments: Any) -> Any:
        start = self._clock()
        try:
            return work(*arguments)
        finally:
            self.timings[stage] += self._clock() - start

    @contextlib.contextmanager
    def _watched(self):
        if self._timeout_s is None:
            yield
            return
        # A handler that compiles says how long its next attempt may take besides.
        longest_s = self._timeout_s + getattr(self.handler, "warm_up_s", 0.0)
        faulthandler.dump_traceback_later(longest_s, exit=True, file=_STDERR)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()


def _as_failure(error: Exception, stage: str) -> Failure:
    if is_out_of_memory(error):
        return Failure(OUT_OF_MEMORY, error_text(error))
    if is_too_large(error):
        return Failure(TOO_LARGE, error_text(error))
    if isinstance(error, UnfitRows):
        return Failure(_REASONS[stage], error_text(error), error.rows)
    if stage == "decode" and type(error) in (ArithmeticError, FloatingPointError):
        return Failure(NOT_FINITE, error_text(error))
    return Failure(_REASONS[stage], error_text(error))


def error_text(error: BaseException) -> str:
    """Type and text of an error, cut to a length that fits a table."""
    try:
        text = str(error)
    except Exception as unprintable:  # noqa: BLE001 - an error class of the model's own code can do anything
        text = f"(its text could not be made: {type(unprintable).__qualname__})"
    return f"{type(error).__qualname__}: {text}"[:_MESSAGE_CHARACTERS]


def is_out_of_memory(error: BaseException) -> bool:
    """True for Python's, Arrow's, NumPy's and PyTorch's ways to say that memory did not suffice."""
    torch = sys.modules.get("torch")
    if isinstance(error, MemoryError) or (
        torch is not None and isinstance(error, torch.OutOfMemoryError)
    ):
        return True
    # PyTorch's CPU allocator, cuBLAS and what CUDA takes past PyTorch's allocator have no class of
    # their own for it.
    return isinstance(error, RuntimeError) and any(
        words in str(error) for words in _OUT_OF_MEMORY_WORDS
    )


def is_device_lost(error: BaseException) -> bool:
    """True if the GPU's context is broken: every later call in this process fails too, so no row
    can be blamed here.
    """
    if is_out_of_memory(error) or is_too_large(error):
        return False
    return isinstance(error, RuntimeError) and "CUDA error" in str(error)


def is_too_large(error: BaseException) -> bool:
    """True if the GPU refused to start a kernel for so many rows."""
    text = str(error) if isinstance(error, RuntimeError) else ""
    return "CUDA error" in text and any(words in text for words in _NOT_STARTED_WORDS)


def _release_memory() -> None:
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def inference_mode() -> contextlib.AbstractContextManager[Any]:
    """Without gradients, if PyTorch is in use at all."""
    torch = sys.modules.get("torch")
    return contextlib.nullcontext() if torch is None else torch.inference_mode()
