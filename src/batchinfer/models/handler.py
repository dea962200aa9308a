"""Handlers: from columns to tensors, from tensors to output, from output to prediction columns.

Owns the base class that users extend and the built-in handlers. Knows nothing of files, batches'
sizes or Spark.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch

from batchinfer.config.types import spark_name
from batchinfer.errors import InputError, ModelError

if TYPE_CHECKING:
    from batchinfer.transforms import PostProcess

THRESHOLD = 0.5


# fmt: off
class Handler:
    """Base of all handlers; a user's own has `output` and two or three methods.

    Attributes:
        output: Spark SQL type of each prediction column, in order.
        module: the network, in eval mode, or None.
        transforms: the fitted TransformPipeline, or None: then the signature's columns are the features.
        params: JSON-able settings that stand in the bundle, such as the label of the positive class.
        columns: names of the signature's inputs, in order.

    A handler that pads the rows of a batch to the longest may define `weight(batch)`: one number >= 0 for each row, such as its
    tokens. Rows of about the same weight are then scored together, `model.batch.max_weight` bounds a batch, and results keep
    the order of the rows.
    """

    output: Mapping[str, str] = {}

    def __init__(
        self,
        module: torch.nn.Module | None = None,
        transforms: Any = None,
        params: Mapping[str, Any] | None = None,
        columns: tuple[str, ...] = (),
    ) -> None:
        self.module = module
        self.transforms = transforms
        self.params: dict[str, Any] = dict(params or {})
        self.columns = columns

    def encode(self, batch: pa.RecordBatch) -> dict[str, torch.Tensor]:
        """Tensors of a batch's rows by argument name; by default `features` (rows, features) float32.

        Runs on: executor, CPU.
        """
        if self.transforms is None:
            return {"features": torch.from_numpy(matrix(batch, self.columns or batch.schema.names, np.dtype(np.float32)))}
        tensors = self.transforms.tensors(batch)
        # Arrow's own memory cannot be written to, which PyTorch does not know of.
        return {name: torch.from_numpy(one if one.flags.writeable else one.copy()) for name, one in tensors.items()}

    def forward(self, tensors: dict[str, torch.Tensor]) -> Any:
        """Output of the module, on its own device.

        Runs on: executor.
        """
        if self.module is None:
            raise ModelError(f"{type(self).__qualname__} has no module; a handler without one must define forward")
        parameter = next(self.module.parameters(), None)
        if parameter is not None:
            tensors = {name: tensor.to(parameter.device) for name, tensor in tensors.items()}
        with torch.inference_mode():
            return self.module(**tensors)

    def decode(self, output: Any) -> dict[str, pa.Array]:
        """Prediction columns of the types that `self.output` declares, one value a row.

        Runs on: executor, CPU.
        """
        raise NotImplementedError(f"{type(self).__qualname__} must define decode")
# fmt: on


def matrix(batch: pa.RecordBatch, columns: Sequence[str], type_: np.dtype[Any]) -> np.ndarray:
    """(rows, width) of the columns beside each other, vectors one after the other; a missing number
    is NaN.

    Runs on: executor, CPU.

    Raises:
        InputError: a null vector, a null where the model takes whole numbers, or vectors of
            different lengths in one column.
    """
    parts = [_numbers(batch.column(name), name, type_) for name in columns]
    ends = np.cumsum([part.shape[1] for part in parts])
    filled = np.empty((batch.num_rows, ends[-1]), type_)
    for part, end in zip(parts, ends, strict=True):
        filled[:, end - part.shape[1] : end] = part
    return filled


def _numbers(column: pa.Array, name: str, type_: np.dtype[Any]) -> np.ndarray:
    """(rows, 1) of a column of numbers, (rows, width) of one of vectors; in their own type."""
    width, values = 1, column
    if pa.types.is_list(column.type) or pa.types.is_fixed_size_list(column.type):
        width, values = _width(column, name), column.flatten()
    if values.null_count and type_.kind != "f":
        raise InputError(f"column {name}: got null; the model takes whole numbers")
    # Through the number's own type: a whole number past 2**53 stays what it is where the model
    # takes whole numbers.
    numbers = values.cast(pa.float64()) if pa.types.is_decimal(values.type) else values
    # A missing truth value is a missing number too; NumPy has no truth value that is missing.
    numbers = numbers.cast(pa.uint8()) if pa.types.is_boolean(numbers.type) else numbers
    return numbers.to_numpy(zero_copy_only=False).reshape(len(column), width)


def _width(column: pa.Array, name: str) -> int:
    """The length that all vectors of a column have."""
    if column.null_count:
        raise InputError(f"column {name}: got null; the model takes vectors")
    if pa.types.is_fixed_size_list(column.type):
        return column.type.list_size
    lengths = np.diff(column.offsets.to_numpy())
    longest = lengths.max(initial=0)
    shortest = lengths.min(initial=longest)
    if shortest < longest:
        raise InputError(
            f"column {name}: vectors of different lengths, from {shortest} to {longest}"
        )
    return int(longest)


def _rows(output: Any, columns: int) -> torch.Tensor:
    """(rows, columns) float64 on the CPU; not-a-number passes, because the engine quarantines
    such rows.
    """
    values = output.detach().to("cpu", torch.float64)
    values = values.reshape(len(values), -1) if len(values) else values.reshape(0, columns)
    if values.shape[1] != columns:
        raise ModelError(
            f"the model gave {values.shape[1]} values a row; this handler takes {columns}"
        )
    return values


# fmt: off
class BinaryClassifier(Handler):
    """`score` = P(positive) by the sigmoid of one logit; `label` = the positive label if score >= 0.5, else `other`.

    Params: `positive` (str, default `positive`), `other` (str, default `other`).
    """

    output: Mapping[str, str] = {"score": "double", "label": "string"}

    def decode(self, output: Any) -> dict[str, pa.Array]:
        """`score` double, `label` string. Runs on: executor."""
        score = torch.sigmoid(_rows(output, 1)[:, 0]).numpy()
        labels = pa.array([self.params.get("other", "other"), self.params.get("positive", "positive")], pa.string())
        return {"score": pa.array(score), "label": labels.take(pa.array((score >= THRESHOLD).astype(np.int8)))}


class MultiClassifier(Handler):
    """`label` = the likeliest class, `score` = its probability by softmax, `scores` = that of each class.

    Params: `labels`, one for each of the model's outputs.
    """

    output: Mapping[str, str] = {"label": "string", "score": "double", "scores": "map<string,double>"}

    def decode(self, output: Any) -> dict[str, pa.Array]:
        """`label` string, `score` double, `scores` map<string,double>. Runs on: executor."""
        labels = pa.array(self.params["labels"], pa.string())
        scores = torch.softmax(_rows(output, len(labels)), dim=1).numpy()
        rows = len(scores)
        offsets = pa.array(np.arange(rows + 1, dtype=np.int32) * len(labels))
        names = labels.take(pa.array(np.tile(np.arange(len(labels)), rows)))
        return {
            "label": labels.take(pa.array(scores.argmax(axis=1))),
            "score": pa.array(scores.max(axis=1, initial=0.0)),
            "scores": pa.MapArray.from_arrays(offsets, names, pa.array(scores.reshape(-1))),
        }


class Regressor(Handler):
    """`prediction` = the model's output, scaled back to the units of the target.

    Params: `mean` and `scale` of the target as it was learnt (defaults 0 and 1).
    """

    output: Mapping[str, str] = {"prediction": "double"}

    def decode(self, output: Any) -> dict[str, pa.Array]:
        """`prediction` double. Runs on: executor."""
        values = _rows(output, 1)[:, 0].numpy()
        return {"prediction": pa.array(values * self.params.get("scale", 1.0) + self.params.get("mean", 0.0))}
# fmt: on


class RawOutput(Handler):
    """`prediction` = the model's output as it is: double where `width` is 1, else array<double>.

    For models with no decoder of their own. Params: `width`, values a row (default 1).
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.width = int(self.params.get("width", 1))
        self.output = {"prediction": "double" if self.width == 1 else "array<double>"}

    def decode(self, output: Any) -> dict[str, pa.Array]:
        """`prediction` double or array<double>. Runs on: executor."""
        values = _rows(output, self.width)
        flat = pa.array(values.reshape(-1).numpy())
        if self.width == 1:
            return {"prediction": flat}
        offsets = pa.array(np.arange(len(values) + 1, dtype=np.int32) * self.width)
        return {"prediction": pa.ListArray.from_arrays(offsets, flat)}


# fmt: off
class Postprocessed(Handler):
    """Another handler, whose prediction columns go through the steps after the model."""

    def __init__(self, inner: Handler, steps: PostProcess) -> None:
        super().__init__(inner.module, inner.transforms, inner.params, inner.columns)
        self.inner = inner
        self.steps = steps
        self.output = {name: spark_name(type_) for name, type_ in steps.fields.items()}

    def encode(self, batch: pa.RecordBatch) -> dict[str, torch.Tensor]:
        return self.inner.encode(batch)

    def forward(self, tensors: dict[str, torch.Tensor]) -> Any:
        return self.inner.forward(tensors)

    def decode(self, output: Any) -> dict[str, pa.Array]:
        """The columns of the inner handler after the steps.

        Runs on: executor.

        Raises:
            ModelError: the inner handler gives no such column as it declares.
        """
        found = self.inner.decode(output)
        absent = [name for name in self.steps.before if name not in found]
        if absent:
            raise ModelError([f"decode gave no column {name!r}, which the handler's output declares" for name in absent])
        return self.steps.apply({name: _whole(found[name]).cast(type_) for name, type_ in self.steps.before.items()})


class Around(Handler):
    """A handler that changes how another one's module is run, and nothing of what goes in or comes out."""

    def __init__(self, inner: Handler) -> None:
        super().__init__(inner.module, inner.transforms, inner.params, inner.columns)
        self.output = inner.output
        self.inner = inner
        if (weigh := getattr(inner, "weight", None)) is not None:
            self.weight = weigh

    def decode(self, output: Any) -> dict[str, pa.Array]:
        return self.inner.decode(output)
# fmt: on


def _whole(array: pa.Array | pa.ChunkedArray) -> pa.Array:
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


HANDLERS: Mapping[str, type[Handler]] = {
    "binary": BinaryClassifier,
    "multiclass": MultiClassifier,
    "regression": Regressor,
}
