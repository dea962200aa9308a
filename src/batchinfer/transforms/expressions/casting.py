"""`cast(x as type)` and `try_cast`: which there are, and what makes a value unfit.

Owns the table of conversions between types. Those from text stand in `casting_text.py`.
Source: Spark 4.1, `Cast.scala`, `Decimal.scala`, with ANSI mode on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa

from batchinfer.transforms.expressions import sql_types as sql
from batchinfer.transforms.expressions.bound import (
    Bound,
    Computed,
    Mask,
    RowsRead,
    computed_part,
    from_numbers,
    numpy_values,
    valid_rows,
    without_rows,
)
from batchinfer.transforms.expressions.casting_text import text_reader, text_writer
from batchinfer.transforms.expressions.decimals import (
    WIDE,
    divided_half_up,
    from_unscaled,
    rounded_decimal,
    shifted_half_up,
    too_many_digits,
    unscaled,
)
from batchinfer.transforms.expressions.syntax import told_at
from batchinfer.transforms.expressions.widening import (
    midnights,
    nearest_doubles,
    widened,
    wider_values,
)

_SECOND_US = 1_000_000
_DAY_US = 86_400 * _SECOND_US
_MOST_MICROS = 2**63 - 1
_SURE_DIGITS = 15
"""A decimal with more digits than this may become another integer by way of a double, as Spark
does.
"""
_SURE_DOUBLE = 1e18
"""Doubles from here on show themselves with other digits in Java 17 than in Java 21."""


@dataclass(frozen=True)
class Converted:
    """Values of another type; `unfit` are the rows whose value has none, None: every value has."""

    values: pa.Array
    unfit: Mask | None = None


Convert = Callable[[pa.Array, pa.DataType], Converted]


def bind_cast(at: int, part: Bound, type_: pa.DataType, lenient: bool) -> Bound:
    """The part as another type; an unfit value is an error of its row, if lenient a null.

    Raises:
        ExpressionError: there is no such conversion.
    """
    if part.type == type_ or part.type == sql.NULL:
        return computed_part(widened(part, type_))
    convert = _conversion(part.type, type_, part.at)
    if lenient and _has_values_only_spark_takes(part.type, type_):
        raise told_at(
            at,
            f"got try_cast of a {sql.told_type(part.type)} to {sql.told_type(type_)}; allowed: "
            "cast, because some values that Spark takes are refused here (docs/expressions.md)",
        )

    def run(rows: RowsRead) -> Computed:
        found = part.compute(rows)
        array = found.array(rows.count)
        made = convert(array, type_)
        if made.unfit is None or not made.unfit.any():
            return Computed(made.values, found.errors)
        wrong = np.flatnonzero(made.unfit).tolist()
        values = without_rows(made.values, wrong)
        if lenient:
            return Computed(values, found.errors)
        told = {row: _told(at, array[row], type_) for row in wrong}
        return Computed(values, {**told, **found.errors})

    return Bound(at, type_, run)


def _has_values_only_spark_takes(old: pa.DataType, new: pa.DataType) -> bool:
    """Texts with names of time zones, and doubles whose digits depend on Spark's Java."""
    if old == sql.STRING:
        return new in (sql.TIMESTAMP, sql.TIMESTAMP_NTZ)
    return sql.is_floating(old) and sql.is_decimal(new)


def _told(at: int, value: pa.Scalar, type_: pa.DataType) -> str:
    got = value.value if pa.types.is_temporal(value.type) else value.as_py()
    shown = repr(got) if isinstance(got, str) else str(got)
    cut = shown if len(shown) <= 60 else f"{shown[:60]}…"
    return f"character {at + 1}: cast of {cut} to {sql.told_type(type_)}"


def _conversion(old: pa.DataType, new: pa.DataType, at: int) -> Convert:
    found = _of_types(old, new)
    if found is None:
        raise told_at(
            at, f"got a {sql.told_type(old)} for a cast to {sql.told_type(new)}{_instead(old, new)}"
        )
    return found


def can_cast(old: pa.DataType, new: pa.DataType) -> bool:
    """Whether there is a cast between the types."""
    return old == new or old == sql.NULL or _of_types(old, new) is not None


def _instead(old: pa.DataType, new: pa.DataType) -> str:
    if new == sql.STRING and sql.is_floating(old):
        return (
            ", whose digits depend on Spark's Java; allowed: first a cast to a decimal or an "
            "integer"
        )
    if new == sql.FLOAT:
        return "; allowed: first a cast to double"
    if sql.is_decimal(old) and sql.is_integer(new):
        return (
            f", which Spark does by way of doubles; allowed: up to {_SURE_DIGITS} digits, or "
            "first a cast to bigint"
        )
    return ", which is not in the language; docs/expressions.md has the table of casts"


def _of_types(old: pa.DataType, new: pa.DataType) -> Convert | None:
    if old == sql.STRING:
        parse = text_reader(new)
        return None if parse is None else lambda array, _: Converted(*parse(array))
    if new == sql.STRING:
        write = text_writer(old)
        return None if write is None else lambda array, _: Converted(write(array))
    if sql.is_moment(old) or sql.is_moment(new):
        return _of_moments(old, new)
    if sql.BINARY in (old, new):
        return None
    if new == sql.BOOLEAN:
        return _is_not_zero
    if sql.is_decimal(old):
        return _from_decimal(old, new)
    if sql.is_decimal(new):
        return _double_to_decimal if sql.is_floating(old) else _integer_to_decimal
    if sql.is_integer(new):
        return _double_to_integer if sql.is_floating(old) else _integer_to_integer
    return _to_floating


def _from_decimal(old: pa.DataType, new: pa.DataType) -> Convert | None:
    if sql.is_decimal(new):
        return _decimal_to_decimal
    if new == sql.DOUBLE:
        return lambda array, _: Converted(nearest_doubles(array))
    if new == sql.BIGINT or (sql.is_integer(new) and old.precision <= _SURE_DIGITS):
        return _decimal_to_integer
    return None


def _is_not_zero(array: pa.Array, new: pa.DataType) -> Converted:
    numbers = unscaled(array) if sql.is_decimal(array.type) else numpy_values(array, len(array))
    valid = valid_rows(array, len(array))
    return Converted(from_numbers(np.asarray(numbers != 0, bool), new, valid))


def _to_floating(array: pa.Array, new: pa.DataType) -> Converted:
    numbers = numpy_values(array, len(array))
    with np.errstate(all="ignore"):
        made = numbers.astype(np.float32 if new == sql.FLOAT else np.float64)
    return Converted(from_numbers(made, new, valid_rows(array, len(array))))


def _integer_to_integer(array: pa.Array, new: pa.DataType) -> Converted:
    numbers = numpy_values(array, len(array)).astype(np.int64)
    return _narrowed(numbers, new, valid_rows(array, len(array)))


def _narrowed(numbers: Any, new: pa.DataType, valid: Mask) -> Converted:
    dtype = new.to_pandas_dtype()
    reach = np.iinfo(dtype)
    unfit = ((numbers < reach.min) | (numbers > reach.max)) & valid
    return Converted(from_numbers(numbers.astype(dtype), new, valid & ~unfit), unfit)


def _double_to_integer(array: pa.Array, new: pa.DataType) -> Converted:
    """Cut towards zero; 2**63 itself becomes the greatest bigint, as in Spark."""
    valid = valid_rows(array, len(array))
    whole = np.trunc(numpy_values(array, len(array)).astype(np.float64))
    bits = 8 * np.dtype(new.to_pandas_dtype()).itemsize - 1
    most = 2.0**bits if new == sql.BIGINT else 2.0**bits - 1
    unfit = ~((whole <= most) & (whole >= -(2.0**bits))) & valid
    saturated = whole >= 2.0**63
    made = np.where(unfit | saturated | ~valid, 0.0, whole).astype(np.int64)
    made[saturated & ~unfit] = 2**63 - 1
    made = made.astype(new.to_pandas_dtype())
    return Converted(from_numbers(made, new, valid & ~unfit), unfit)


def _decimal_to_integer(array: pa.Array, new: pa.DataType) -> Converted:
    valid = valid_rows(array, len(array))
    whole = unscaled(array).astype(object)
    size = abs(whole) // 10**array.type.scale
    whole = np.where(np.asarray(whole < 0, bool), -size, size)
    reach = np.iinfo(new.to_pandas_dtype())
    unfit = np.asarray((whole < reach.min) | (whole > reach.max), bool) & valid
    made = np.where(unfit, 0, whole).astype(new.to_pandas_dtype())
    return Converted(from_numbers(made, new, valid & ~unfit), unfit)


def _integer_to_decimal(array: pa.Array, new: pa.DataType) -> Converted:
    whole = numpy_values(array, len(array)).astype(object) * 1 * 10**new.scale
    return _held(whole, new, valid_rows(array, len(array)))


def _decimal_to_decimal(array: pa.Array, new: pa.DataType) -> Converted:
    old = array.type
    if new.scale >= old.scale and new.precision - new.scale >= old.precision - old.scale:
        return Converted(wider_values(array, new))
    whole = unscaled(array).astype(object)
    if new.scale >= old.scale:
        whole = whole * 10 ** (new.scale - old.scale)
    else:
        whole = divided_half_up(whole, 10 ** (old.scale - new.scale))
    return _held(whole, new, valid_rows(array, len(array)))


def _held(whole: Any, new: pa.DataType, valid: Mask) -> Converted:
    unfit = too_many_digits(whole, new) & valid
    return Converted(from_unscaled(whole, new, valid & ~unfit), unfit)


def _double_to_decimal(array: pa.Array, new: pa.DataType) -> Converted:
    """By the digits that a double shows; NaN and infinities become null, as in Spark."""
    numbers = numpy_values(array, len(array)).astype(np.float64)
    finite = np.isfinite(numbers)
    valid = valid_rows(array, len(array)) & finite
    shifted, unsure = shifted_half_up(np.where(finite, numbers, 0.0), new.scale)
    whole = np.where(unsure, 0.0, shifted).astype(np.int64).astype(object)
    for row in np.flatnonzero(unsure & valid):
        rounded = rounded_decimal(Decimal(repr(float(numbers[row]))), new.scale)
        whole[row] = int(rounded.scaleb(new.scale, WIDE))
    unfit = (too_many_digits(whole, new) | (np.abs(numbers) >= _SURE_DOUBLE)) & valid
    return Converted(from_unscaled(whole, new, valid & ~unfit), unfit)


def _of_moments(old: pa.DataType, new: pa.DataType) -> Convert | None:
    if sql.is_moment(old) and sql.is_moment(new):
        return _timestamp_to_date if new == sql.DATE else _to_timestamp
    if sql.is_integer(old) and new == sql.TIMESTAMP:
        return _seconds_to_timestamp
    if old == sql.TIMESTAMP and sql.is_integer(new):
        return _timestamp_to_seconds
    if old == sql.TIMESTAMP and new == sql.DOUBLE:
        return _timestamp_to_double
    return None


def _timestamp_to_date(array: pa.Array, new: pa.DataType) -> Converted:
    days = (numpy_values(array, len(array)) // _DAY_US).astype(np.int32)
    return Converted(from_numbers(days, new, valid_rows(array, len(array))))


def _to_timestamp(array: pa.Array, new: pa.DataType) -> Converted:
    if array.type == sql.DATE:
        return Converted(*midnights(array, new))
    numbers = numpy_values(array, len(array)).astype(np.int64)
    return Converted(from_numbers(numbers, new, valid_rows(array, len(array))))


def _seconds_to_timestamp(array: pa.Array, new: pa.DataType) -> Converted:
    numbers = numpy_values(array, len(array)).astype(np.int64)
    most = _MOST_MICROS // _SECOND_US
    made = np.clip(numbers, -most, most) * _SECOND_US
    made = np.where(numbers > most, _MOST_MICROS, np.where(numbers < -most, -(2**63), made))
    return Converted(from_numbers(made, new, valid_rows(array, len(array))))


def _timestamp_to_seconds(array: pa.Array, new: pa.DataType) -> Converted:
    seconds = numpy_values(array, len(array)) // _SECOND_US
    return _narrowed(seconds, new, valid_rows(array, len(array)))


def _timestamp_to_double(array: pa.Array, new: pa.DataType) -> Converted:
    seconds = numpy_values(array, len(array)) / float(_SECOND_US)
    return Converted(from_numbers(seconds, new, valid_rows(array, len(array))))
