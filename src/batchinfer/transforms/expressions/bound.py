"""What an expression becomes once the types of its columns are known, and how rows go through it.

Owns `RowsRead` (columns and their number), `Computed` (values, and what is wrong with which row),
and `Bound` (a part of an expression with its type). Knows no operator.

Spark evaluates the parts of an expression from left to right and stops at the first that is null or
wrong. Here every part is evaluated for all rows at once, so two rules give the same: what is wrong
with a later part counts only in rows where no earlier part is null or wrong (`merged_errors`), and
a part that is not asked in some rows does not see them (`RowsRead.where`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from batchinfer.transforms.expressions.sql_types import is_moment, told_type

Mask = npt.NDArray[np.bool_]
Errors = Mapping[int, str]

NO_ERRORS: Errors = {}


@dataclass(frozen=True)
class RowsRead:
    """The columns that an expression reads, by name, each of `count` rows."""

    columns: Mapping[str, pa.Array]
    count: int

    def where(self, chosen: Mask) -> RowsRead:
        """Only the rows that are chosen, in their order."""
        if chosen.all():
            return self
        mask = pa.array(chosen)
        kept = {name: array.filter(mask) for name, array in self.columns.items()}
        return RowsRead(kept, int(chosen.sum()))


@dataclass(frozen=True)
class Computed:
    """Values, one a row, or one scalar for all; and what is wrong, by row.

    The value of a row that is wrong is null.
    """

    values: pa.Array | pa.Scalar
    errors: Errors = field(default_factory=dict)

    def array(self, count: int) -> pa.Array:
        if isinstance(self.values, pa.Scalar):
            return pa.repeat(self.values, count)
        return self.values


@dataclass(frozen=True)
class Bound:
    """A part of an expression whose type is known.

    Attributes:
        at: place in the text.
        type: of its values.
        compute: values for rows.
        literal: the value that stands in the text, as Python's own; None for null and for parts
            that are none.
        is_literal: whether it stands in the text.
    """

    at: int
    type: pa.DataType
    compute: Callable[[RowsRead], Computed]
    literal: Any = None
    is_literal: bool = False


def called(name: str, *values: Any, options: Any = None) -> pa.Array:
    """A function of Arrow; Arrow's own stubs know few of their names."""
    return one_array(pc.call_function(name, list(values), options))


def one_array(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    """The same values in one piece."""
    return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values


def valid_rows(values: pa.Array | pa.Scalar, count: int) -> Mask:
    """Which rows are not null."""
    if isinstance(values, pa.Scalar):
        return np.full(count, values.is_valid)
    if values.null_count == 0:
        return np.ones(count, bool)
    return np.asarray(called("is_valid", values).to_numpy(zero_copy_only=False))


def true_rows(values: pa.Array | pa.Scalar, count: int) -> Mask:
    """Which rows are true: neither false nor null."""
    if isinstance(values, pa.Scalar):
        return np.full(count, values.as_py() is True)
    return np.asarray(pc.fill_null(values, False).to_numpy(zero_copy_only=False))


def numpy_values(values: pa.Array | pa.Scalar, count: int) -> npt.NDArray[Any]:
    """Numbers, booleans, dates (days) or timestamps (microseconds) for NumPy; a null is 0.

    An array that has no null is not copied.
    """
    array = pa.repeat(values, count) if isinstance(values, pa.Scalar) else values
    if pa.types.is_temporal(array.type):
        array = array.view(pa.int32() if pa.types.is_date32(array.type) else pa.int64())
    if array.null_count:
        array = pc.fill_null(array, pa.scalar(0).cast(array.type))
    return np.asarray(array.to_numpy(zero_copy_only=False))


def from_numbers(
    values: npt.NDArray[Any], type_: pa.DataType, valid: Mask | None = None
) -> pa.Array:
    """The way back; rows that are not valid become null."""
    mask = None if valid is None or valid.all() else ~valid
    if pa.types.is_temporal(type_):
        width = pa.int32() if pa.types.is_date32(type_) else pa.int64()
        return pa.array(values, width, mask=mask).view(type_)
    return pa.array(values, type_, mask=mask)


def merged_errors(parts: Sequence[Computed], count: int) -> dict[int, str]:
    """What is wrong with a value that is made of parts and is null if one of them is.

    Each part counts only in rows where all before it have a value.
    """
    merged: dict[int, str] = {}
    for place, part in enumerate(parts):
        for row, told in part.errors.items():
            if row not in merged and all(_has_value(p.values, row) for p in parts[:place]):
                merged[row] = told
    return merged


def first_errors(parts: Iterable[Computed]) -> dict[int, str]:
    """What is wrong with a value for which all parts are asked, null or not."""
    merged: dict[int, str] = {}
    for part in parts:
        for row, told in part.errors.items():
            merged.setdefault(row, told)
    return merged


def _has_value(values: pa.Array | pa.Scalar, row: int) -> bool:
    return values.is_valid if isinstance(values, pa.Scalar) else bool(values[row].is_valid)


def without_rows(values: pa.Array, rows: Iterable[int]) -> pa.Array:
    """The values, null in these rows."""
    wrong = np.zeros(len(values), bool)
    wrong[list(rows)] = True
    if not wrong.any():
        return values
    return called("if_else", pa.array(wrong), pa.scalar(None, values.type), values)


def told_rows(wrong: Mask, told: str) -> dict[int, str]:
    """The same sentence for each row that is wrong."""
    return dict.fromkeys(np.flatnonzero(wrong).tolist(), told)


def constant(at: int, value: Any, type_: pa.DataType) -> Bound:
    """A literal."""
    scalar = scalar_of(value, type_)
    return Bound(at, type_, lambda rows: Computed(scalar), value, True)


def computed_part(part: Bound) -> Bound:
    """The same values, but no longer a literal: `+5` is none to Spark, nor is `round(5)`."""
    return Bound(part.at, part.type, part.compute)


def scalar_of(value: Any, type_: pa.DataType) -> pa.Scalar:
    """One value of Python's own, as literals hold them, as Arrow's."""
    if value is None or not pa.types.is_temporal(type_):
        return pa.scalar(value, type_)
    width = pa.int32() if pa.types.is_date32(type_) else pa.int64()
    return pa.array([value], width).view(type_)[0]


def told_part(part: Bound) -> str:
    """A part for a message: its value if that stands in the text, else its type."""
    if part.is_literal and part.literal is None:
        return "null"
    if part.is_literal and not is_moment(part.type):
        # What a decimal is called in Python means nothing here.
        return repr(part.literal) if isinstance(part.literal, str) else str(part.literal)
    return f"an expression of type {told_type(part.type)}"
