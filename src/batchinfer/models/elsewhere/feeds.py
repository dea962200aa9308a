"""Which column or tensor goes into which input of a model trained elsewhere.

Owns that choice and the sentences about what does not fit. Knows neither files nor the registry,
and runs no model.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from batchinfer.config.suggestions import did_you_mean, listed
from batchinfer.config.types import parse_ddl
from batchinfer.errors import ModelError, UnfitRows
from batchinfer.models.elsewhere.tree_feeds import check_feature_names, spare_names, tree_feed

if TYPE_CHECKING:
    from batchinfer.models.formats.artifact import ForeignModule, ModelInput
    from batchinfer.models.formats.boosting.boosted import TreeInputs
    from batchinfer.transforms import TransformPipeline

FEATURES = "features"


@dataclass(frozen=True)
class Feeds:
    """What a model is fed.

    Attributes:
        feeds: as `foreign.ForeignHandler` takes them.
        columns: landed columns that are read, in the order of the signature.
    """

    feeds: list[dict[str, Any]]
    columns: tuple[str, ...]


def feed_from_transforms(
    model: ForeignModule, transforms: TransformPipeline, missing_is_nan: bool = False
) -> Feeds:
    """Feeds of a model that takes what fitted transforms make: the matrix `features`, and integer
    inputs by name.

    Args:
        missing_is_nan: a number that is missing after the steps is NaN in the matrix, as a model
            knows it that was not trained on their output; else 0.

    Runs on: driver.

    Raises:
        ModelError: inputs that nothing is made for, or a matrix of another width.
    """
    made = transforms.inputs()
    there = ([FEATURES] if transforms.width or not made.integers else []) + list(made.integers)
    columns = tuple(transforms.source_columns)
    if model.frame is not None:
        raise ModelError(
            f"the model takes the columns {listed(model.frame)} by name, but the pipeline's "
            "features make one matrix of "
            f"{transforms.width} numbers; allowed: a pipeline without features, one whose only "
            "step is keep, or a model that takes such a matrix"
        )
    if len(model.inputs) == 1 and len(there) == 1:
        pairs = [(model.inputs[0], there[0])]
    else:
        names = [one.name for one in model.inputs]
        if sorted(names) != sorted(there):
            raise ModelError(
                f"the model takes {listed(names)}; the pipeline's features make {listed(there)}; "
                "allowed: the same names"
            )
        pairs = [(one, one.name) for one in model.inputs]
    if len(pairs) == 1 and pairs[0][1] == FEATURES and (own := getattr(model, "names", ())):
        check_feature_names(own, transforms.feature_names())
    for one, tensor in pairs:
        if tensor == FEATURES and one.width not in (None, transforms.width):
            raise ModelError(
                f"the model takes {one.width} numbers a row in {one.name!r}; the pipeline's "
                f"features make {transforms.width}: "
                f"{listed(transforms.feature_names()[:20])}"
            )
        if one.type == "string":
            raise ModelError(
                f"the model takes text in {one.name!r}; the pipeline's features make numbers"
            )
    missing = {"missing": "nan"} if missing_is_nan else {}
    return Feeds(
        [
            {"input": one.name, "type": one.type, "tensor": tensor}
            | (missing if tensor == FEATURES else {})
            for one, tensor in pairs
        ],
        columns,
    )


def feed_from_columns(
    model: ForeignModule,
    told: Sequence[str],
    fields: Mapping[str, pa.DataType],
    excluded: Collection[str],
) -> Feeds:
    """Feeds of a model that takes landed columns as they are.

    By the names that the model's own signature has; else, for a model with one input, the numeric
    and vector columns that are not excluded, in schema order.

    Args:
        told: input names that something beside the model tells (MLflow's signature); else none.
        fields: Arrow types of the landed columns.
        excluded: key, slice, target, file and line.

    Runs on: driver.

    Raises:
        ModelError: names that are no columns, columns of the wrong kind, or another width.
    """
    if model.frame is not None:
        names = (
            tuple(model.frame)
            or tuple(told)
            or tuple(name for name in fields if name not in excluded)
        )
        _check_names("the model's signature", names, fields)
        return Feeds([_of_trees(model, _frame_feed(model, names, fields), fields)], names)
    if all(one.name in fields for one in model.inputs):
        feeds = [_column_feed(one, fields) for one in model.inputs]
        return Feeds(feeds, tuple(one.name for one in model.inputs))
    if len(model.inputs) != 1:
        unknown = [one.name for one in model.inputs if one.name not in fields]
        raise ModelError(
            f"the model takes {listed(one.name for one in model.inputs)}, of which "
            f"{listed(unknown)} are no landed columns"
            f"{did_you_mean(unknown[0], fields)}; there are: {listed(fields)}",
            "give the model's inputs the columns' names, or export it with one matrix as its input",
        )
    (one,) = model.inputs
    takes = takes_of_trees(model)
    told = tuple(getattr(model, "names", ())) or tuple(told)
    told = told or (() if takes is None else spare_names(takes, fields))
    if told:
        _check_names("the model's signature", told, fields)
    kind = _is_text if one.type == "string" else _is_number_or_vector
    names = tuple(told) or tuple(
        name for name, type_ in fields.items() if name not in excluded and kind(type_)
    )
    wrong = [name for name in names if not kind(fields[name])]
    if wrong:
        raise ModelError(
            f"the model takes {one.type} in {one.name!r}; "
            f"{listed(f'{n} is {fields[n]}' for n in wrong)}"
        )
    # A list has no length until rows are seen; the example then tells.
    widths = [_width(fields[name]) for name in names]
    if not names or (
        one.width is not None and None not in widths and sum(w or 0 for w in widths) != one.width
    ):
        total = sum(w or 0 for w in widths)
        wanted = "some" if one.width is None else one.width
        raise ModelError(
            f"the model takes {wanted} values a row in {one.name!r}; "
            f"the columns that it could be fed ({listed(names, none='none')}) give {total}",
            "name the columns, in the model's order, in the pipeline file: "
            "features: [{keep: {columns: […]}}]; or export the model with inputs that have the "
            "columns' names",
        )
    feed = {
        "input": one.name,
        "type": one.type,
        "columns": list(names),
        "flat": one.ranked and not one.shape,
        **_lengths(one, names, fields),
    }
    return Feeds([_of_trees(model, feed, fields)], names)


def takes_of_trees(model: ForeignModule) -> TreeInputs | None:
    """What a model of trees takes; None of any other."""
    return getattr(model, "takes", None)


def _of_trees(
    model: ForeignModule, feed: dict[str, Any], fields: Mapping[str, pa.DataType]
) -> dict[str, Any]:
    takes = takes_of_trees(model)
    return feed if takes is None else tree_feed(feed, takes, fields)


def unfilled_columns(transforms: TransformPipeline) -> list[str]:
    """The columns of the matrix in which a number can still be missing after the steps; none where
    an expression fails on a row without values, which no model is then asked about.

    Runs on: driver.
    """
    nothing = pa.record_batch(
        {name: pa.nulls(1, type_) for name, type_ in transforms.fields.items()}
    )
    try:
        after = transforms.apply(nothing)
    except UnfitRows:
        return []
    return [name for name in transforms.fed_columns() if after[name].null_count]


def _frame_feed(
    model: ForeignModule, names: Sequence[str], fields: Mapping[str, pa.DataType]
) -> dict[str, Any]:
    """A frame of the landed types; of the types that the model asks for where it asks.

    Raises:
        ModelError: a column of a kind that cannot become what the model asks for.
    """
    casts = {name: type_ for name, type_ in getattr(model, "casts", {}).items() if name in names}
    problems = [
        f"the model's signature takes {type_} in {name!r}; the landed column of that name is "
        f"{fields[name]}"
        for name, type_ in casts.items()
        if not _can_become(fields[name], parse_ddl(type_))
    ]
    if problems:
        raise ModelError(problems, "change the column's type in the pipeline file's schema")
    feed: dict[str, Any] = {"input": "frame", "type": "frame", "columns": list(names)}
    # Whole numbers are held against their type even where it is the column's own: it has no null.
    casts = {
        name: type_
        for name, type_ in casts.items()
        if fields[name] != parse_ddl(type_) or pa.types.is_integer(fields[name])
    }
    words = {name: word.to_json() for name, word in getattr(model, "words", {}).items()}
    return feed | ({"casts": casts} if casts else {}) | ({"words": words} if words else {})


def _can_become(landed: pa.DataType, asked: pa.DataType) -> bool:
    """True where values may go over without another meaning: numbers to numbers, the rest to
    itself.
    """
    if is_number(asked) and not pa.types.is_boolean(asked):
        return is_number(landed)
    if pa.types.is_boolean(asked):
        return pa.types.is_boolean(landed)
    return _is_text(landed) if _is_text(asked) else True


def _column_feed(one: ModelInput, fields: Mapping[str, pa.DataType]) -> dict[str, Any]:
    type_ = fields[one.name]
    fine = _is_text(type_) if one.type == "string" else _is_number_or_vector(type_)
    if not fine:
        raise ModelError(
            f"the model takes {one.type} in {one.name!r}; the landed column of that name is {type_}"
        )
    if one.width is not None and _width(type_) not in (None, one.width):
        raise ModelError(
            f"the model takes {one.width} values a row in {one.name!r}; the landed column of that "
            f"name has {_width(type_)}"
        )
    return {
        "input": one.name,
        "type": one.type,
        "columns": [one.name],
        "flat": one.ranked and not one.shape,
        **_lengths(one, [one.name], fields),
    }


def _lengths(
    one: ModelInput, names: Sequence[str], fields: Mapping[str, pa.DataType]
) -> dict[str, Any]:
    """How long the vectors of the one column of lists have to be, where the model's width tells."""
    lists = [name for name in names if pa.types.is_list(fields[name])]
    if one.width is None or len(lists) != 1:
        return {}
    rest = sum(_width(fields[name]) or 0 for name in names if name not in lists)
    return {"lengths": {lists[0]: one.width - rest}}


def _check_names(whose: str, names: Sequence[str], fields: Mapping[str, pa.DataType]) -> None:
    problems = [
        f"{whose} names the column {name}, and no such column has "
        f"landed{did_you_mean(name, fields)}; there are: {listed(fields)}"
        for name in names
        if name not in fields
    ]
    if problems or not names:
        raise ModelError(
            problems or f"{whose} names no columns",
            "a column that the model was fitted with and does not use has to be there all the "
            "same: land it (null will do where the model takes nulls), or fit the model without it"
            if problems
            else None,
        )


def _is_text(type_: pa.DataType) -> bool:
    return pa.types.is_string(type_) or pa.types.is_large_string(type_)


def is_number(type_: pa.DataType) -> bool:
    """True for the types of columns that a model can take as a number: whole ones, fractions,
    decimals, booleans.
    """
    is_ = pa.types
    return (
        is_.is_integer(type_)
        or is_.is_floating(type_)
        or is_.is_decimal(type_)
        or is_.is_boolean(type_)
    )


def _is_vector(type_: pa.DataType) -> bool:
    return (pa.types.is_list(type_) or pa.types.is_fixed_size_list(type_)) and is_number(
        type_.value_type
    )


def _is_number_or_vector(type_: pa.DataType) -> bool:
    return is_number(type_) or _is_vector(type_)


def _width(type_: pa.DataType) -> int | None:
    if pa.types.is_fixed_size_list(type_):
        return type_.list_size
    return None if pa.types.is_list(type_) else 1
