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
from batchinfer.models.manifest import setting_of

if TYPE_CHECKING:
    import pyarrow as pa

Precision = Literal["float32", "bf16", "fp16", "int8"]

# Rows that are computed in both ways, the first that come.
SAMPLE_ROWS = 256
_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
# Steps between neighbouring numbers of the type that an output may be off: each layer rounds once
# or twice.
_STEPS = 8
# The largest difference that is allowed, as a share of the largest output of the sample, or of 1
# where that is less.
TOLERANCES = {name: _STEPS * torch.finfo(type_).eps for name, type_ in _TYPES.items()}
# The largest whole number of an int8 that has an opposite.
_LARGEST = 127
TOLERANCES["int8"] = _STEPS / _LARGEST
# A layer of fewer is faster as it is.
_LEAST_OUTPUTS = 64
# In place of a largest value of 0.
_TINY = torch.finfo(torch.float32).tiny * _LARGEST
# Modules of PyTorch that take the weights of the layers inside them, and do not call these.
_READ_WEIGHTS = (
    torch.nn.MultiheadAttention,
    torch.nn.TransformerEncoderLayer,
    torch.nn.TransformerDecoderLayer,
)


def lower(module: torch.nn.Module, precision: Precision) -> None:
    """Makes a module's real weights bf16 or fp16, in place; it still takes float32, and gives it.

    Weights are cast once, instead of at each pass as `torch.autocast` does where no gradients are
    kept: half the memory, and half of it read. What sums up much (matrix products, norms, softmax)
    PyTorch accumulates in float32 all the same. The hooks stay with the module, so that a handler's
    own `forward` can call it as before.

    With int8, linear layers multiply whole numbers instead, and everything else stays as it is.

    Runs on: executor.

    Raises:
        ModelError: int8, and no layer that can multiply whole numbers.
    """
    if precision == "int8":
        if not _quantize(module):
            raise ModelError(
                "model.quantize: got int8; the module has no torch.nn.Linear of "
                f"{_LEAST_OUTPUTS} outputs that it calls itself; allowed: none"
            )
        return
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


def _quantize(module: torch.nn.Module) -> int:
    """Replaces the linear layers inside of a module; how many these were."""
    replaced = 0
    for name, part in module.named_children():
        if isinstance(part, torch.nn.Linear) and _is_plain(part):
            setattr(module, name, Int8Linear(part))
            replaced += 1
        elif not isinstance(part, _READ_WEIGHTS):
            replaced += _quantize(part)
    return replaced


def _is_plain(layer: torch.nn.Linear) -> bool:
    """Whether a linear layer is one of float32 that nothing watches or changes, whose sums fit into
    32 bits, and that computes enough to make up for the scales.
    """
    if type(layer) is not torch.nn.Linear or layer.weight.dtype != torch.float32:
        return False
    if layer.out_features < _LEAST_OUTPUTS:
        return False
    watched = layer._forward_pre_hooks or layer._forward_hooks
    return not watched and layer.in_features * _LARGEST**2 < 2**31


class Int8Linear(torch.nn.Module):
    """A linear layer that multiplies int8: its weights with a scale for each output, what goes in
    with one for each row.

    A row's scale is its own, so what it gives depends on no other row, and the sums are of whole
    numbers, so neither on the batch. A row with NaN or infinity gives no finite value.

    Source: vector-wise quantization of Dettmers et al. 2022, "LLM.int8(): 8-bit Matrix
    Multiplication for Transformers at Scale", https://arxiv.org/abs/2208.07339

    Runs on: executor, CPU.
    """

    whole: torch.Tensor
    scales: torch.Tensor
    bias: torch.Tensor

    def __init__(self, layer: torch.nn.Linear) -> None:
        super().__init__()
        weight = layer.weight.detach().float()
        scales = weight.abs().amax(1).clamp_min(_TINY) / _LARGEST
        self.register_buffer("whole", (weight / scales[:, None]).round().to(torch.int8).t())
        self.register_buffer("scales", scales)
        bias: Any = layer.bias  # may be None, which its type does not say
        zeros = torch.zeros(len(scales))
        self.register_buffer("bias", zeros if bias is None else bias.detach().clone())

    @property
    def weight(self) -> torch.Tensor:
        """(outputs, inputs) float32, for code that reads it."""
        return self.whole.t() * self.scales[:, None]

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(…, inputs) real to (…, outputs) float32."""
        rows = features.reshape(-1, features.shape[-1]).float()
        # PyTorch's norm takes fifteen times as long for the same numbers.
        largest = rows.abs().amax(1, keepdim=True).clamp_min_(_TINY)
        whole = (rows * (_LARGEST / largest)).round_().to(torch.int8)
        sums = torch._int_mm(whole, self.whole).float().mul_(largest / _LARGEST)
        found = torch.addcmul(self.bias, sums, self.scales)
        return found.reshape(*features.shape[:-1], found.shape[-1])


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
            word, allowed = setting_of(self._precision)
            raise ModelError(f"model.{word}: got {self._precision}; {problem}", f"model: {{{word}: {allowed}}}")
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
