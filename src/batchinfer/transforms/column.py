"""How a column looks while the steps work on it, and how it becomes an Arrow array or columns of
the matrix.

Owns the four forms of a column: an Arrow array as it was read; numbers (`numpy` 1-D, NaN = missing;
2-D for dense vectors); `Coded` categories; `OneHotColumn`, one-hot vectors by the
place of their one. Knows no step.

Text is worked on once per distinct value, not once per row: a batch is dictionary-encoded at the
first step that reads the column, and a one-hot vector is never built before it is written into its
place in the matrix.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np
import pyarrow as pa
import pyarrow.types as pt


@dataclass(frozen=True, slots=True)
class Coded:
    """Categories as places in a short list.

    Attributes:
        codes: (rows,) int32; -1 is missing.
        values: what the codes stand for; no nulls, but a value may stand there twice.
    """

    codes: np.ndarray
    values: pa.Array


@dataclass(frozen=True, slots=True)
class OneHotColumn:
    """One-hot vectors.

    Attributes:
        index: (rows,) integers, the place of the one; -1 is a vector of zeros.
        width: length of each vector.
    """

    index: np.ndarray
    width: int


Column = pa.Array | np.ndarray | Coded | OneHotColumn


def is_arrow(column: Column) -> TypeGuard[Any]:
    """True for an Arrow array (pyarrow has no type stubs, so a plain isinstance tells a type
    checker nothing).
    """
    return isinstance(column, pa.Array)


NUMBERS = ("integer", "float", "bool")
CATEGORIES = ("text", "integer", "bool")
TEXT = ("text",)
TIMES = ("timestamp", "date")
UNKNOWN = pa.null()
"""Type of a column that an earlier problem left undefined: every step takes it, so that one mistake
is told once.
"""

_KINDS = (
    ("text", lambda t: pt.is_string(t) or pt.is_large_string(t) or pt.is_string_view(t)),
    ("integer", pt.is_integer),
    ("float", lambda t: pt.is_floating(t) or pt.is_decimal(t)),
    ("bool", pt.is_boolean),
    ("timestamp", pt.is_timestamp),
    ("date", pt.is_date),
    ("vector", lambda t: pt.is_list(t) or pt.is_fixed_size_list(t)),
    ("bytes", lambda t: pt.is_binary(t) or pt.is_large_binary(t) or pt.is_binary_view(t)),
    ("unknown", pt.is_null),
)


def kind(type_: pa.DataType) -> str:
    """What a type counts as: text, integer, float, bool, timestamp, date, vector, bytes, unknown or
    other.
    """
    if pt.is_dictionary(type_):
        return kind(type_.value_type)
    return next((name for name, holds in _KINDS if holds(type_)), "other")


def places_of(type_: pa.DataType) -> int:
    """How many columns of the matrix a number or a vector takes; 0 for a list without a length of
    its own.
    """
    return getattr(type_, "list_size", 0) if kind(type_) == "vector" else 1


def is_ordered(type_: pa.DataType) -> bool:
    """True for times and numbers (and where the type is not known yet): values that one can say are
    earlier or later.
    """
    return kind(type_) in (*TIMES, "integer", "float", "unknown")


def plain_type(type_: pa.DataType) -> pa.DataType:
    """The type that steps see: the several Arrow types of text become `string`, dictionaries their
    values' type.
    """
    if pt.is_dictionary(type_):
        return plain_type(type_.value_type)
    return pa.string() if kind(type_) == "text" else type_


def unencoded(name: str) -> str:
    """Name under which the categories of an encoded column stay readable for later steps, such as
    `cross`.
    """
    return f"{name} (before encoding)"


def is_unencoded(name: str) -> bool:
    """True for a name that `unencoded` made."""
    return name.endswith(" (before encoding)")


def numbers(column: Column) -> np.ndarray:
    """Numeric column as (rows,) float64 with NaN for null; the array may be shared, so callers must
    not write to it.
    """
    if isinstance(column, np.ndarray):
        return column if column.dtype == np.float64 else column.astype(np.float64)
    if not is_arrow(column):
        raise TypeError(f"categories are not numbers: {type(column).__name__}")
    array: Any = column
    if pt.is_decimal(array.type):
        array = array.cast(pa.float64())
    elif pt.is_boolean(array.type):
        array = array.cast(pa.uint8())
    # Arrow turns integers with nulls into float64 with NaN by itself, and copies nothing where it
    # need not.
    return array.to_numpy(zero_copy_only=False).astype(np.float64, copy=False)


_FIRST, _MISSING = np.zeros(1, np.int32), np.full(1, -1, np.int32)


def coded(column: Column) -> Coded:
    """Text, integer or bool column as categories; NaN counts as missing."""
    if isinstance(column, Coded):
        return column
    if isinstance(column, OneHotColumn):
        raise TypeError("a vector has no categories")
    array: Any = column
    if isinstance(column, np.ndarray) or kind(array.type) == "float":
        values = numbers(column)
        array = pa.array(values, mask=np.isnan(values))
    if len(array) == 1:  # one row online: nothing to find equal values in
        return Coded(_MISSING, array.slice(0, 0)) if array.null_count else Coded(_FIRST, array)
    encoded = array.dictionary_encode()
    indices = encoded.indices
    if indices.null_count:
        indices = indices.fill_null(-1)
    return Coded(indices.to_numpy(), encoded.dictionary)


def recoded(column: Column, values: pa.Array) -> Coded:
    """The same codes with other values; a value that became null makes its rows missing."""
    codes = coded(column).codes
    if values.null_count:
        valid = values.is_valid().to_numpy(zero_copy_only=False)
        codes = np.where((codes >= 0) & np.append(valid, False)[codes], codes, np.int32(-1))
        values = values.fill_null({"text": "", "bool": False}.get(kind(values.type), 0))
    return Coded(codes, values)


def length(column: Column) -> int:
    """Number of rows."""
    if isinstance(column, Coded):
        return len(column.codes)
    return len(column.index) if isinstance(column, OneHotColumn) else len(column)


def missing(column: Column) -> np.ndarray:
    """(rows,) bool: null or NaN."""
    if isinstance(column, Coded):
        return column.codes < 0
    if isinstance(column, np.ndarray):
        return np.isnan(column) if column.dtype.kind == "f" else np.zeros(len(column), bool)
    if not is_arrow(column):
        return np.zeros(length(column), bool)
    if column.null_count == 0 and not pt.is_floating(column.type):
        return np.zeros(len(column), bool)
    return column.is_null(nan_is_null=True).to_numpy(zero_copy_only=False)


def arrow_column(column: Column, type_: pa.DataType) -> pa.Array:
    """The column as an Arrow array of `type_`; missing numbers become null, vectors fixed-size
    lists of float32.
    """
    if is_arrow(column):
        return column if column.type == type_ else column.cast(type_)
    if isinstance(column, Coded):
        return column.values.take(pa.array(column.codes, mask=column.codes < 0)).cast(type_)
    if isinstance(column, OneHotColumn):
        dense = np.zeros((len(column.index), column.width), np.float32)
        write(column, dense, 0)
        column = dense
    if column.ndim == 2:
        flat = pa.array(np.ascontiguousarray(column).reshape(-1))
        if column.shape[1] == 0:
            return pa.array([[]] * len(column), pa.list_(flat.type, 0))
        return pa.FixedSizeListArray.from_arrays(flat, column.shape[1])
    array = pa.array(column, mask=missing(column))
    return array if array.type == type_ else array.cast(type_, safe=False)


def write(
    column: Column,
    matrix: np.ndarray,
    start: int,
    rows: slice = slice(None),
    missing_as: float = 0.0,
) -> None:
    """Writes the rows of a column into `matrix[:, start:]`, C-contiguous and holding zeros; missing
    numbers become `missing_as`.
    """
    if isinstance(column, OneHotColumn):
        index = column.index[rows]
        known = index >= 0
        # One place in the flat matrix for each row: NumPy takes half the time of a pair of places.
        at = (
            np.arange(start, start + matrix.size, matrix.shape[1]) + index
            if matrix.shape[1]
            else index
        )
        matrix.reshape(-1, copy=False)[at if known.all() else at[known]] = 1.0
    elif isinstance(column, np.ndarray) and column.ndim == 2:
        matrix[:, start : start + column.shape[1]] = column[rows]
    else:
        values = numbers(column)[rows]
        matrix[:, start] = np.where(np.isnan(values), missing_as, values)
