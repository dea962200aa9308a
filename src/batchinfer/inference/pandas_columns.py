"""Between pandas columns, as Spark hands them to a UDF, and Arrow rows of a model's signature.

Owns what pandas loses and how it is mended: nulls in numbers, zones of timestamps, maps and structs
as objects. Knows nothing of models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from batchinfer.errors import InputError

# Up to so many rows, what pandas does for each column takes longer than what is done for each row.
_FEW_ROWS = 16

# What pa.array raises for a value that is none of its type; the last for text that has no UTF-8.
_MISFITS = (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, UnicodeEncodeError)

Columns = tuple[pd.Series | pd.DataFrame, ...]


def arrow_rows(
    columns: Columns, fields: Mapping[str, pa.DataType], time_zone: str
) -> tuple[pa.RecordBatch, dict[int, str]]:
    """The columns of a UDF call as rows of a signature, and what is wrong with the rows whose
    values do not fit.

    pandas has one word for null and NaN: NaN counts as null.

    Args:
        columns: one DataFrame (a struct column) whose columns are matched by name, or one for each
            field, in order.
        fields: the signature.
        time_zone: of the session; timestamps come in it, without saying so.

    Runs on: executor.

    Raises:
        InputError: columns are missing, or there are more or fewer than the signature has.
    """
    found = _by_name(columns, fields)
    arrays: list[pa.Array] = []
    misfits: dict[int, str] = {}
    for name, type_ in fields.items():
        array, wrong = _array(found[name], type_, time_zone)
        arrays.append(array)
        for row, got in wrong.items():
            misfits.setdefault(row, f"encode_error: column {name}: got {got}; allowed: {type_}")
    return pa.RecordBatch.from_arrays(arrays, names=list(fields)), misfits


def frame_of_mappings(rows: Sequence[Any], names: Sequence[str]) -> pd.DataFrame:
    """Rows as mappings of column to value, as a frame of Python's own values, which pandas does not
    turn into others where one is missing.

    Args:
        names: the columns that are wanted; others are left out. One that no row has is left out
            too, as a frame lacks it; without rows, all are there.

    Runs on: the caller's process.

    Raises:
        InputError: a row is no mapping.
    """
    for place, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise InputError(
                f"row {place}: got {type(row).__name__}; allowed: a mapping of column to value"
            )
    there = [name for name in names if not rows or any(name in row for row in rows)]
    columns = {name: pd.Series([row.get(name) for row in rows], dtype=object) for name in there}
    return pd.DataFrame(columns, index=range(len(rows)))


def pandas_frame(columns: Mapping[str, pa.Array], index: pd.Index | None = None) -> pd.DataFrame:
    """Arrow columns as pandas columns that Spark turns into the same values, nulls included."""
    # Arrays and not series: pandas would align their indices, which takes longer than a row does to
    # score.
    return pd.DataFrame(
        {name: _pandas_array(column) for name, column in columns.items()}, index=index, copy=False
    )


def _pandas_array(column: pa.Array) -> Any:
    if pa.types.is_string(column.type) or pa.types.is_floating(column.type):
        return column.to_numpy(zero_copy_only=False, writable=True)
    return column.to_pandas(
        integer_object_nulls=True, date_as_object=True, maps_as_pydicts="strict"
    ).array


def _by_name(columns: Columns, fields: Mapping[str, pa.DataType]) -> dict[str, Any]:
    if len(columns) == 1 and isinstance(columns[0], pd.DataFrame):
        struct = columns[0]
        missing = [name for name in fields if name not in struct.columns]
        if missing:
            raise InputError(
                f"the struct has no field {', '.join(missing)}; the model's signature is "
                f"{', '.join(fields)}"
            )
        return (
            {name: struct[name] for name in fields}
            if len(struct) > _FEW_ROWS
            else _few_rows(struct, fields)
        )
    if len(columns) != len(fields):
        raise InputError(
            f"got {len(columns)} columns; allowed: one struct, or the {len(fields)} columns "
            f"{', '.join(fields)}"
        )
    return dict(zip(fields, columns, strict=True))


def _few_rows(struct: pd.DataFrame, fields: Mapping[str, pa.DataType]) -> dict[str, Any]:
    """The same as lists of Python's own values where that changes nothing: a few rows are read in
    one go, not by column.
    """
    values = struct.to_numpy(dtype=object, copy=False)
    places = {name: place for place, name in enumerate(struct.columns)}
    if len(places) < struct.shape[1]:  # a name that stands there twice
        return {name: struct[name] for name in fields}
    return {
        name: values[:, places[name]].tolist() if _is_plain(type_) else struct[name]
        for name, type_ in fields.items()
    }


def _is_plain(type_: pa.DataType) -> bool:
    kinds = pa.types
    return (
        kinds.is_string(type_)
        or kinds.is_integer(type_)
        or kinds.is_floating(type_)
        or kinds.is_boolean(type_)
    )


def _array(
    column: pd.Series | pd.DataFrame, type_: pa.DataType, time_zone: str
) -> tuple[pa.Array, dict[int, str]]:
    """A column as Arrow, null where a value does not fit, and those values by row."""
    values: Any = _prepared(column, type_, time_zone)
    try:
        return _arrow(values, type_), {}
    except _MISFITS:
        return _one_by_one(values, type_)


def _arrow(values: Any, type_: pa.DataType) -> pa.Array:
    kind = values.dtype.kind if isinstance(values, pd.Series) else "O"
    if pa.types.is_integer(type_) and isinstance(values, list):
        values = [_whole(value) if isinstance(value, float) else value for value in values]
    if pa.types.is_integer(type_) and (
        kind == "f" or (kind == "O" and any(isinstance(value, float) for value in values))
    ):
        # Straight to integers, Arrow would cut decimals off without a word.
        return pa.array(values, from_pandas=True).cast(type_)
    return pa.array(values, type_, from_pandas=True)


def _whole(value: float) -> int | float | None:
    """A float as an integer where it is one, and None for NaN, which pandas has for null."""
    return int(value) if value.is_integer() else None if value != value else value


def _one_by_one(values: Any, type_: pa.DataType) -> tuple[pa.Array, dict[int, str]]:
    fitting: list[pa.Array] = []
    wrong: dict[int, str] = {}
    for row, value in enumerate(values):
        try:
            fitting.append(_arrow([value], type_))
        except _MISFITS:
            fitting.append(pa.nulls(1, type_))
            wrong[row] = repr(value)[:200]
    return pa.concat_arrays(fitting), wrong


def _prepared(column: pd.Series | pd.DataFrame, type_: pa.DataType, time_zone: str) -> Any:
    """What `pa.array` takes: it reads neither structs that come as frames nor maps that come as
    dicts.
    """
    if isinstance(column, pd.DataFrame):
        return column.to_dict("records")
    if pa.types.is_map(type_):
        return [list(value.items()) if isinstance(value, dict) else value for value in column]
    if (
        pa.types.is_timestamp(type_)
        and type_.tz is not None
        and pd.api.types.is_datetime64_dtype(column.dtype)
    ):
        # An hour that a zone has twice is read as its first; one that it skips, as the moment
        # after.
        first = np.ones(len(column), dtype=bool)
        return column.dt.tz_localize(
            time_zone, ambiguous=first, nonexistent="shift_forward"
        ).dt.tz_convert("UTC")
    return column
