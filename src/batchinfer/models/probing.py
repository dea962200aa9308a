"""What a model trained elsewhere gives, found out by running it on a few made-up rows.

Owns the example rows and the choice of the handler. Knows neither files nor the registry.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from batchinfer.errors import BatchInferError, ModelError
from batchinfer.models import foreign
from batchinfer.models.feeds import Feeds

if TYPE_CHECKING:
    import torch

    from batchinfer.models.formats.artifact import ForeignModule
    from batchinfer.transforms import TransformPipeline

_ROWS = (2, 3, 1)
_DYNAMIC = (
    "export it with a dynamic first dimension, such as "
    "torch.export.export(…, dynamic_shapes={'x': {0: torch.export.Dim('rows')}}) with an example "
    "of two rows or more"
)


@dataclass(frozen=True)
class Probed:
    """A handler for a model.

    Attributes:
        warnings: sentences for whoever registers it.
    """

    handler: foreign.ForeignHandler
    warnings: list[str] = field(default_factory=list)


def probe(
    module: ForeignModule,
    feeds: Feeds,
    transforms: TransformPipeline | None,
    fields: Mapping[str, pa.DataType],
    positive: tuple[str, ...] = (),
    real_rows: pa.RecordBatch | None = None,
) -> Probed:
    """The handler that fits what the model gives for batches of 2, 3 and 1 rows.

    Args:
        fields: Arrow types of the landed columns.
        positive: the positive class, by any of its names; of two classes, the second one is it
            where none of these is one.
        real_rows: landed rows to try the model on, instead of made-up ones.

    Runs on: driver.

    Raises:
        ModelError: the model takes only batches of one size, fails, or gives something that is no
            prediction for each row.
    """
    fixed = [one for one in module.inputs if one.fixed_rows is not None]
    if fixed:
        raise ModelError(
            f"the model takes batches of {fixed[0].fixed_rows} rows only; allowed: of any size",
            _DYNAMIC,
        )
    handler = foreign.ForeignHandler(module, transforms, {"feeds": feeds.feeds}, feeds.columns)
    outputs = {}
    for rows in _ROWS:
        batch = _example(feeds.columns, _lengths(module, feeds, fields), rows, real_rows)
        outputs[rows] = _run(handler, batch, rows, outputs)
    chosen = _handler(module, feeds, transforms, outputs[2], positive)
    warnings = (
        []
        if _finite(outputs[2])
        else ["the model gave not-a-number or infinity on example rows: such rows are quarantined"]
    )
    return Probed(chosen, warnings)


def _run(
    handler: foreign.ForeignHandler, batch: pa.RecordBatch, rows: int, before: Mapping[int, Any]
) -> Any:
    try:
        output = handler.forward(handler.encode(batch))
    except BatchInferError:
        raise
    except Exception as error:  # the model's own, of any kind
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        # TorchScript tells the cause last, below a trace of its own.
        text = next(
            (line for line in reversed(lines) if line.startswith("RuntimeError: ")),
            next(iter(lines), ""),
        )
        failed = f"the model failed on an example of {rows} rows: {type(error).__name__}: {text}"
        if before:
            raise ModelError(
                f"{failed}; it took {', '.join(map(str, before))} rows; allowed: batches of any "
                "size",
                _DYNAMIC,
            ) from error
        raise ModelError(
            failed, "its inputs are: " + ", ".join(_fed(feed) for feed in handler.params["feeds"])
        ) from error
    shape = tuple(output.shape) if hasattr(output, "shape") else (len(output),)
    if not shape or shape[0] != rows:
        raise ModelError(
            f"the model gave an output of shape {shape} for {rows} rows; allowed: one prediction "
            "for each row",
            _DYNAMIC,
        )
    return output


def _fed(feed: Mapping[str, Any]) -> str:
    return f"{feed['input']} <- {feed.get('tensor') or ', '.join(feed['columns'])}"


def _handler(
    module: ForeignModule,
    feeds: Feeds,
    transforms: TransformPipeline | None,
    output: Any,
    positive: tuple[str, ...],
) -> foreign.ForeignHandler:
    params: dict[str, Any] = {"feeds": feeds.feeds}
    class_: type[foreign.ForeignHandler] = foreign.ForeignOutput
    if module.gives == "text":
        class_ = foreign.ForeignLabels
    elif module.gives == "columns":
        class_, params["columns"] = foreign.ForeignColumns, _columns(output)
    elif (
        module.gives == "probabilities"
        and len(module.labels) == output.shape[-1] > 1
        and output.ndim == 2
    ):
        labels = list(module.labels)
        place = next((labels.index(name) for name in positive if name in labels), 1)
        class_, params = foreign.ForeignClassifier, params | {"labels": labels, "positive": place}
    else:
        params["width"] = _width(output)
    return class_(module, transforms, params, feeds.columns)


def _width(output: torch.Tensor) -> int:
    if output.dtype.is_complex:
        raise ModelError(f"the model gives {output.dtype}; allowed: numbers")
    width = math.prod(output.shape[1:])
    if not width:
        raise ModelError(
            f"the model gives {tuple(output.shape)} for 2 rows; allowed: at least one number a row"
        )
    return width


def _columns(output: Any) -> dict[str, str]:
    from batchinfer.config.types import spark_name

    types = {}
    for name in output.columns:
        found = pa.Array.from_pandas(output[name]).type
        # One type for all whole numbers and one for all others: what an example of two rows has is
        # chance.
        found = (
            pa.int64()
            if pa.types.is_integer(found)
            else pa.float64()
            if pa.types.is_floating(found)
            else found
        )
        found = (
            pa.list_(pa.float64())
            if pa.types.is_list(found) and not pa.types.is_string(found.value_type)
            else found
        )
        try:
            types[str(name)] = (
                "double"
                if name == "prediction" and pa.types.is_integer(found)
                else spark_name(found)
            )
        except ValueError as error:
            raise ModelError(f"the model gives the column {name!r}: {error}") from error
    if not types:
        raise ModelError("the model gives no columns; allowed: at least one")
    return types


def _finite(output: Any) -> bool:
    if hasattr(output, "isfinite"):
        return bool(output.isfinite().all())
    return True


def _example(
    names: tuple[str, ...],
    fields: Mapping[str, pa.DataType],
    rows: int,
    real_rows: pa.RecordBatch | None,
) -> pa.RecordBatch:
    if real_rows is not None and real_rows.num_rows:
        return real_rows.select(list(names)).take(pa.array(np.arange(rows) % real_rows.num_rows))
    return pa.record_batch({name: _values(fields[name], rows) for name in names})


def _lengths(
    module: ForeignModule, feeds: Feeds, fields: Mapping[str, pa.DataType]
) -> dict[str, pa.DataType]:
    """The fields, with a length for a list column where the model's width leaves it one; a list has
    none of its own.
    """
    types = {name: fields[name] for name in feeds.columns}
    for feed in feeds.feeds:
        lists = [name for name in feed.get("columns", ()) if pa.types.is_list(types[name])]
        width = next((one.width for one in module.inputs if one.name == feed["input"]), None)
        if len(lists) == 1 and width is not None and width >= len(feed["columns"]):
            types[lists[0]] = pa.list_(types[lists[0]].value_type, width - len(feed["columns"]) + 1)
    return types


def _values(type_: pa.DataType, rows: int) -> pa.Array:
    """Small numbers, short texts, the first of January 1970: made up, and the same every time."""
    if pa.types.is_fixed_size_list(type_):
        return pa.FixedSizeListArray.from_arrays(
            _values(type_.value_type, rows * type_.list_size), type_.list_size
        )
    if pa.types.is_boolean(type_):
        return pa.array([row % 2 == 0 for row in range(rows)])
    if pa.types.is_string(type_) or pa.types.is_binary(type_):
        return pa.array(["a"] * rows).cast(type_)
    if pa.types.is_integer(type_) or pa.types.is_floating(type_) or pa.types.is_decimal(type_):
        return pa.array([row % 3 for row in range(rows)], pa.int32()).cast(type_)
    if pa.types.is_date(type_) or pa.types.is_timestamp(type_):
        return pa.array([0] * rows, pa.int32() if pa.types.is_date32(type_) else pa.int64()).cast(
            type_
        )
    return pa.nulls(rows, type_)
