"""What a model trained elsewhere gives, found out by running it on a few made-up rows.

Owns the example rows and the choice of the handler. Knows neither files nor the registry.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from batchinfer.config.types import spark_name
from batchinfer.errors import BatchInferError, InputError, ModelError
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
_MOST_CHARACTERS = 4000
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
        positive: the place of the positive one of two classes; of more it is asked too, for what
            it refuses or warns of.
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
    feeds, outputs = _tried(module, feeds, transforms, fields, real_rows)
    chosen = _handler(module, feeds, transforms, outputs[2], positive)
    warnings = (
        []
        if _finite(outputs[2])
        else ["the model gave not-a-number or infinity on example rows: such rows are quarantined"]
    )
    return Probed(chosen, [*warnings, *getattr(module, "told", ())])


def _tried(
    module: ForeignModule,
    feeds: Feeds,
    transforms: TransformPipeline | None,
    fields: Mapping[str, pa.DataType],
    real_rows: pa.RecordBatch | None,
) -> tuple[Feeds, dict[int, Any]]:
    """The feeds that the model took, and what it gave for so many rows.

    Whole landed rows go before made-up ones, which may be no text or category that a model knows.
    Where nothing tells the type of a module's inputs, whole numbers are tried as whole numbers too:
    places of an embedding are.
    """
    whole = None if real_rows is None else real_rows.select(list(feeds.columns)).drop_null()
    kinds_of_rows = [whole, None] if whole is not None and whole.num_rows else [None]
    failed: ModelError | None = None
    for tried in (feeds, *_as_whole_numbers(module, feeds, fields)):
        handler = AsFitted(module, transforms, {"feeds": tried.feeds}, tried.columns)
        for rows_to_try in kinds_of_rows:
            outputs: dict[int, Any] = {}
            try:
                for rows in _ROWS:
                    batch = example_rows(module, tried, fields, rows, rows_to_try)
                    outputs[rows] = _run(handler, batch, rows, outputs)
            except ModelError as error:
                failed = failed or error
            else:
                return tried, outputs
    assert failed is not None
    raise failed


def _as_whole_numbers(
    module: ForeignModule, feeds: Feeds, fields: Mapping[str, pa.DataType]
) -> list[Feeds]:
    """The feeds with whole numbers for the inputs whose type nothing tells, where all of their
    columns hold such; none where that changes nothing.
    """
    untold = {one.name for one in module.inputs if not one.ranked and one.type == "float32"}
    changed = [
        {**feed, "type": "int64"}
        if feed["input"] in untold
        and "columns" in feed
        and all(_is_whole(fields[name]) for name in feed["columns"])
        else feed
        for feed in feeds.feeds
    ]
    return [replace(feeds, feeds=changed)] if changed != feeds.feeds else []


def _is_whole(type_: pa.DataType) -> bool:
    if pa.types.is_list(type_) or pa.types.is_fixed_size_list(type_):
        type_ = type_.value_type
    return pa.types.is_integer(type_)


def _run(handler: AsFitted, batch: pa.RecordBatch, rows: int, before: Mapping[int, Any]) -> Any:
    named = getattr(handler.module, "frame", None) is not None
    try:
        output = handler.forward(handler.encode(batch))
    except InputError as error:
        raise ModelError(list(error.problems), error.hint) from error
    except BatchInferError:
        raise
    except Exception as error:  # the model's own, of any kind
        # Its cause stands first in some libraries' errors and last in others': all of it is told.
        text = " ".join(str(error).split())[:_MOST_CHARACTERS]
        failed = f"the model failed on an example of {rows} rows: {type(error).__name__}: {text}"
        if before:
            raise ModelError(
                f"{failed}; it took {', '.join(map(str, before))} rows; allowed: batches of any "
                "size",
                None if named else _DYNAMIC,
            ) from error
        raise ModelError(
            failed, "its inputs are: " + ", ".join(_fed(feed) for feed in handler.params["feeds"])
        ) from error
    shape = tuple(output.shape) if hasattr(output, "shape") else (len(output),)
    if not shape or shape[0] != rows:
        raise ModelError(
            f"the model gave an output of shape {shape} for {rows} rows; allowed: one prediction "
            "for each row",
            None if named else _DYNAMIC,
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
    place = positive(labels)
    return {"labels": labels} | ({"positive": place} if width == 2 else {})


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
