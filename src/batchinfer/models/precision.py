"""Modules that compute in less than float32, and the proof on the first rows that their predictions
stay what they were.

Owns the types there are, their tolerances, and the comparison. Knows neither bundles nor batches'
sizes.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, Literal

import torch

from batchinfer.errors import ModelError
from batchinfer.models.handler import Around, Handler

if TYPE_CHECKING:
    import pyarrow as pa

Precision = Literal["float32", "bf16", "fp16"]

# Rows that are computed in both ways, the first that come.
SAMPLE_ROWS = 256
_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
# Steps between neighbouring numbers of the type that an output may be off: each layer rounds once
# or twice.
_STEPS = 8
# The largest difference that is allowed, as a share of the largest output of the sample, or of 1
# where that is less.
TOLERANCES = {name: _STEPS * torch.finfo(type_).eps for name, type_ in _TYPES.items()}


def lower(module: torch.nn.Module, precision: Precision) -> None:
    """Makes a module's real weights bf16 or fp16, in place; it still takes float32, and gives it.

    Weights are cast once, instead of at each pass as `torch.autocast` does where no gradients are
    kept: half the memory, and half of it read. What sums up much (matrix products, norms, softmax)
    PyTorch accumulates in float32 all the same. The hooks stay with the module, so that a handler's
    own `forward` can call it as before.

    Runs on: executor.
    """
    type_ = _TYPES[precision]
    module.to(type_)
    module.register_forward_pre_hook(
        lambda _, given, named: (_cast(given, type_), _cast(named, type_)),
        with_kwargs=True,
        prepend=True,
    )
    module.register_forward_hook(lambda _, __, output: _cast(output, torch.float32))


def _cast(value: Any, type_: torch.dtype) -> Any:
    """The value with all real tensors of another type; whole numbers stay what they are."""
    if isinstance(value, torch.Tensor):
        return value.to(type_) if value.is_floating_point() else value
    if isinstance(value, MutableMapping):
        made = copy.copy(value)
        made.update({name: _cast(one, type_) for name, one in value.items()})
        return made
    if type(value) in (tuple, list):
        return type(value)(_cast(one, type_) for one in value)
    return value


# fmt: off
class Lowered(Around):
    """A handler with a lowered module; on the first rows the module as it was has to agree.

    Args:
        inner: with the lowered module.
        exact: the same handler with the module as it was; given up once enough rows were compared.
    """

    def __init__(self, inner: Handler, exact: Handler, precision: Precision) -> None:
        super().__init__(inner)
        self._exact: Handler | None = exact
        self._precision = precision
        self._compared = 0
        self._sample: tuple[int, dict[str, torch.Tensor], dict[str, torch.Tensor]] | None = None

    def encode(self, batch: pa.RecordBatch) -> dict[str, torch.Tensor]:
        if self._exact is not None:
            rows = batch.slice(0, SAMPLE_ROWS - self._compared)
            self._sample = rows.num_rows, self.inner.encode(rows), self._exact.encode(rows)
        return self.inner.encode(batch)

    def forward(self, tensors: dict[str, torch.Tensor]) -> Any:
        """As the inner handler's.

        Runs on: executor.

        Raises:
            ModelError: an output differs by more than the tolerance from what it is in float32.
        """
        if self._exact is not None and self._sample is not None:
            self._compare(self._exact, *self._sample)
        return self.inner.forward(tensors)

    def _compare(self, exact: Handler, rows: int, ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
        got, expected = self.inner.forward(ours), exact.forward(theirs)
        problem = difference(got, expected, TOLERANCES[self._precision])
        if problem:
            raise ModelError(f"model.precision: got {self._precision}; {problem}", "model: {precision: float32}")
        self._compared += rows
        if self._compared >= SAMPLE_ROWS:
            self._exact = self._sample = None
# fmt: on


def difference(got: Any, expected: Any, tolerance: float) -> str | None:
    """What is wrong with the outputs of a forward pass, in words; None if no value is off by more
    than allowed.

    Args:
        got, expected: tensors with a value, or several, for each row; or tuples, lists or mappings
            of such.
        tolerance: share of the largest expected value (or of 1, if that is less) that a value may
            be off.

    Runs on: executor.
    """
    ours, theirs = _real(got), _real(expected)
    if not ours or len(ours) != len(theirs):
        return (
            "forward gives no real numbers, so it cannot be held against float32; allowed: float32"
        )
    for one, other in zip(ours, theirs, strict=True):
        known = other.isfinite()
        off = torch.where(known, (one - other).abs(), torch.zeros_like(one)).nan_to_num(
            nan=torch.inf, posinf=torch.inf
        )
        scale = max(1.0, float(other[known].abs().max()) if known.any() else 0.0)
        if not off.numel() or float(off.max()) <= tolerance * scale:
            continue
        at = int(off.argmax())
        row = at // (off.numel() // off.shape[0])
        return (
            f"the largest difference from float32 is {float(off.max()):.4g} in row {row} of a "
            f"sample of {off.shape[0]} "
            f"({float(one.reshape(-1)[at]):.6g} instead of {float(other.reshape(-1)[at]):.6g}); "
            f"allowed: {tolerance * scale:.4g}, {tolerance:.4g} of the largest output {scale:.4g}"
        )
    return None


def _real(output: Any) -> list[torch.Tensor]:
    """The tensors of real numbers in an output, as float64 on the CPU."""
    if isinstance(output, torch.Tensor):
        return (
            [output.detach().to("cpu", torch.float64)]
            if output.is_floating_point() and output.ndim
            else []
        )
    parts = (
        output.values()
        if isinstance(output, Mapping)
        else output
        if isinstance(output, tuple | list)
        else ()
    )
    return [tensor for part in parts for tensor in _real(part)]
