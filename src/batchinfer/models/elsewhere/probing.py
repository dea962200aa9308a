"""What a model trained elsewhere gives, found out by running it on a few made-up rows.

Owns the example rows and the choice of the handler. Knows neither files nor the registry.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from batchinfer.errors import BatchInferError, ModelError
from batchinfer.models.elsewhere.as_fitted import (
    AsFitted,
    AsFittedClasses,
    AsFittedColumns,
    AsFittedValues,
)
from batchinfer.models.elsewhere.example_rows import example_rows
from batchinfer.models.elsewhere.feeds import Feeds
from batchinfer.models.formats.artifact import Classified

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

    handler: AsFitted
    warnings: list[str] = field(default_factory=list)


def probe(
    module: ForeignModule,
    feeds: Feeds,
    transforms: TransformPipeline | None,
    fields: Mapping[str, pa.DataType],
    positive: Callable[[Sequence[str]], int] = lambda labels: 1,
    real_rows: pa.RecordBatch | None = None,
) -> Probed:
    """The handler that fits what the model gives for batches of 2, 3 and 1 rows.

    Args:
        fields: Arrow types of the landed columns.
        positive: the place of the positive one of two classes.
        real_rows: landed rows to try the model on; None: made-up ones.

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
    handler = AsFitted(module, transforms, {"feeds": feeds.feeds}, feeds.columns)
    outputs = {}
    for rows in _ROWS:
        batch = example_rows(module, feeds, fields, rows, real_rows)
        outputs[rows] = _run(handler, batch, rows, outputs)
    chosen = _handler(module, feeds, transforms, outputs[2], positive)
    warnings = (
        []
        if _finite(outputs[2])
        else ["the model gave not-a-number or infinity on example rows: such rows are quarantined"]
    )
    return Probed(chosen, [*warnings, *getattr(module, "told", ())])


def _run(handler: AsFitted, batch: pa.RecordBatch, rows: int, before: Mapping[int, Any]) -> Any:
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
    positive: Callable[[Sequence[str]], int],
) -> AsFitted:
    params: dict[str, Any] = {"feeds": feeds.feeds}
    class_: type[AsFitted] = AsFittedValues
    if module.gives == "text":
        class_, params["labels"] = AsFittedClasses, []
        params["width"] = 0
    elif module.gives == "columns":
        class_, params["columns"] = AsFittedColumns, _columns(output)
    elif isinstance(output, Classified):
        class_, params = AsFittedClasses, params | _classes(module, output, positive)
    else:
        params["width"] = _width(output)
    return class_(module, transforms, params, feeds.columns)


def _classes(
    module: ForeignModule, output: Classified, positive: Callable[[Sequence[str]], int]
) -> dict[str, Any]:
    """Names of the classes, where there is a probability for each of several; else how many numbers
    there are.
    """
    width = 0 if output.scores is None else output.scores.shape[1]
    labels = list(module.labels)
    if width < 2 or len(labels) != width:
        return {"labels": [], "width": width}
    return {"labels": labels} | ({"positive": positive(labels)} if width == 2 else {})


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
    if isinstance(output, Classified):
        return output.scores is None or bool(np.isfinite(output.scores).all())
    if hasattr(output, "isfinite"):
        return bool(output.isfinite().all())
    return True
