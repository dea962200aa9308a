"""Modules that PyTorch's compiler makes faster, held against themselves as they were; where that
fails they run as they were.

Owns the attempt, what is said of one that failed, and the compiler's own cache as bytes. Knows
neither bundles nor where such bytes are kept. They are code: they may only come from where this
installation itself put them.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import torch
from torch._dynamo.exc import TorchDynamoException

from batchinfer.errors import ModelError
from batchinfer.models.handler import Around, Handler
from batchinfer.models.precision import SAMPLE_ROWS, TOLERANCES, Precision, difference

if TYPE_CHECKING:
    import pyarrow as pa

# What a compiler may change in float32, which adds up in another order; a share as in
# `precision.TOLERANCES`.
_EXACT_TOLERANCE = 1e-4
_WARM_UP_S = 600.0
_MESSAGE_CHARACTERS = 300


# fmt: off
class Compiled(Around):
    """A handler whose module is compiled when the first rows come, for batches of any size.

    Args:
        inner: its module is compiled in place, so that the handler's own `forward` can call it as before.
        precision: what the module computes in.
        cache: what `new_cache` gave in another process; None: there is nothing yet.

    Attributes:
        warnings: why the module runs as it was, in words; none where it was compiled.
        compile_s: seconds that compiling and comparing took.
    """

    def __init__(self, inner: Handler, precision: Precision = "float32", cache: bytes | None = None) -> None:
        super().__init__(inner)
        self.warnings: list[str] = []
        self.compile_s = 0.0
        self._tolerance = TOLERANCES.get(precision, _EXACT_TOLERANCE)
        self._cache = cache
        self._new_cache: bytes | None = None
        self._sample: dict[str, torch.Tensor] | None = None
        self._waits, self._eager = True, False

    @property
    def warm_up_s(self) -> float:
        """Seconds that the next forward pass may take besides its own time."""
        return _WARM_UP_S if self._waits else 0.0

    def encode(self, batch: pa.RecordBatch) -> dict[str, torch.Tensor]:
        if self._waits:
            # Here, and not where it is needed: tensors made in inference mode would get a program of their own.
            self._sample = self.inner.encode(batch.slice(0, SAMPLE_ROWS))
        return self.inner.encode(batch)

    def forward(self, tensors: dict[str, torch.Tensor]) -> Any:
        """As the inner handler's. Runs on: executor."""
        if self._waits and self._sample is not None:
            self._compile(self._sample)
        if not self._eager:
            try:
                return self.inner.forward(tensors)
            except TorchDynamoException as error:
                # Rows of another shape are compiled anew, and that may fail where the first rows went well.
                self._give_up(error)
        return self._as_it_was(tensors)

    def new_cache(self) -> bytes | None:
        """What another process can be given as `cache`; once, and only if this one had none."""
        found, self._new_cache = self._new_cache, None
        return found

    def _compile(self, sample: dict[str, torch.Tensor]) -> None:
        """Tries it; rows that the module cannot take raise as ever, and the next ones are tried."""
        expected = self._as_it_was(dict(sample))
        self._waits, self._sample = False, None
        module, started = self.inner.module, time.perf_counter()
        if module is None:
            raise ModelError("model.compile: got true; the handler keeps no module as its own; allowed: false")
        try:
            if self._cache is not None:
                torch.compiler.load_cache_artifacts(self._cache)
            # One program for batches of all sizes: sizes are searched for while a run goes.
            module.compile(dynamic=True)
            got = self.inner.forward(dict(sample))
            if self._cache is None and (made := torch.compiler.save_cache_artifacts()) is not None:
                self._new_cache = made[0]
        except Exception as error:  # noqa: BLE001 - a compiler fails in many ways, and the module as it was has just taken these rows
            self._give_up(error)
        else:
            if problem := difference(got, expected, self._tolerance):
                self._give_up(ModelError(problem.replace("float32", "what it gave before")))
        self.compile_s += time.perf_counter() - started

    def _as_it_was(self, tensors: dict[str, torch.Tensor]) -> Any:
        with torch.compiler.set_stance("force_eager"):
            return self.inner.forward(tensors)

    def _give_up(self, error: Exception) -> None:
        self._eager, self._new_cache = True, None
        said = f"{type(error).__name__}: {' '.join(str(error).split())}"[:_MESSAGE_CHARACTERS]
        self.warnings.append(f"model.compile: the module runs as it is, since it could not be compiled: {said}")
# fmt: on
