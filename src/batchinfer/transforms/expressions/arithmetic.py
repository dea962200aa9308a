"""`+ - * / % div` and the sign, with Spark's types and Spark's errors.

Owns overflow, division by zero, and the digits of decimals. Knows neither comparisons nor
functions.
Source: Spark 4.1, `arithmetic.scala`: integers overflow, every division by zero is an error, also
of doubles.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from batchinfer.transforms.expressions import sql_types as sql
from batchinfer.transforms.expressions.bound import (
    Bound,
    Computed,
    Mask,
    RowsRead,
    called,
    computed_part,
    from_numbers,
    merged_errors,
    numpy_values,
    told_rows,
    valid_rows,
)
from batchinfer.transforms.expressions.casting import can_cast
from batchinfer.transforms.expressions.decimals import (
    divided_half_up,
    from_unscaled,
    too_many_digits,
    unscaled,
)
from batchinfer.transforms.expressions.syntax import told_at
from batchinfer.transforms.expressions.widening import widened

Numbers = npt.NDArray[Any]
Compute = Callable[[Numbers, Numbers], Numbers]

_FLOAT_OPERATORS: dict[str, Compute] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "%": np.fmod,
}
_MOST_NEGATED = 34
"""Digits that Spark keeps when it negates a decimal: it rounds as IEEE 754's decimal128 does."""
_BY_ZERO = {"/": "division by zero", "div": "division by zero", "%": "remainder by zero"}


def bind_arithmetic(sign: str, at: int, one: Bound, other: Bound) -> Bound:
    """`one sign other`.

    Raises:
        ExpressionError: they are no numbers, or the result has digits that Spark itself loses.
    """
    for part in (one, other):
        if not (sql.is_quantity(part.type) or part.type == sql.NULL):
            raise told_at(
                part.at,
                f"got a {sql.told_type(part.type)} for '{sign}'; allowed: "
                f"numbers{_number_of(part.type)}",
            )
    if one.type == other.type == sql.NULL:
        raise told_at(at, f"got null {sign} null; allowed: a number on one side")
    if _meet_as_decimals(sign, one.type, other.type):
        return _bind_decimals(sign, at, one, other)
    common = sql.common_type((one.type, other.type))
    type_ = sql.DOUBLE if sign == "/" else sql.BIGINT if sign == "div" else common
    if sign == "div" and not sql.is_integer(common):
        raise told_at(at, f"got {sql.told_type(common)} for 'div'; allowed: whole numbers")
    compute = _floats if sql.is_floating(type_) else _integers
    return _of_two(at, type_, sign, widened(one, type_), widened(other, type_), compute)


def _number_of(type_: pa.DataType) -> str:
    """How a number is made of a type, as far as one is."""
    if sql.is_moment(type_):
        return ", such as datediff(later, earlier) and year(…)"
    return ", such as cast(… as double)" if can_cast(type_, sql.DOUBLE) else ""


def _meet_as_decimals(sign: str, one: pa.DataType, other: pa.DataType) -> bool:
    """Null divided by a decimal is a double to Spark, a decimal divided by null is a decimal."""
    if sign == "/" and one == sql.NULL:
        return False
    floating = sql.is_floating(one) or sql.is_floating(other)
    return (sql.is_decimal(one) or sql.is_decimal(other)) and not floating


def _of_two(
    at: int,
    type_: pa.DataType,
    sign: str,
    one: Bound,
    other: Bound,
    compute: Callable[[str, Numbers, Numbers], tuple[Numbers, Mask | None]],
) -> Bound:
    told = f"character {at + 1}: {sql.told_type(type_)} overflow"
    # Spark looks at the divisor first.
    divides = sign in _BY_ZERO

    def run(rows: RowsRead) -> Computed:
        parts = (one.compute(rows), other.compute(rows))
        errors = merged_errors(parts[::-1] if divides else parts, rows.count)
        valid = valid_rows(parts[0].values, rows.count) & valid_rows(parts[1].values, rows.count)
        left, right = (numpy_values(part.values, rows.count) for part in parts)
        if divides:
            zero = (right == 0) & valid
            if zero.any():
                errors |= told_rows(zero, f"character {at + 1}: {_BY_ZERO[sign]}")
                valid &= ~zero
            right = np.where(right == 0, np.ones(1, right.dtype), right)
        with np.errstate(all="ignore"):
            made, over = compute(sign, left, right)
        if over is not None and (over := over & valid).any():
            errors |= told_rows(over, told)
            valid &= ~over
        return Computed(from_numbers(made, type_, valid), errors)

    return Bound(at, type_, run)


def _floats(sign: str, left: Numbers, right: Numbers) -> tuple[Numbers, Mask | None]:
    return _FLOAT_OPERATORS[sign](left, right), None


def _integers(sign: str, left: Numbers, right: Numbers) -> tuple[Numbers, Mask | None]:
    if sign == "%":
        return np.where(right == -1, np.zeros(1, left.dtype), np.fmod(left, right)), None
    if sign == "div":
        over = (left == np.iinfo(left.dtype).min) & (right == -1)
        right = np.where(over, np.ones(1, right.dtype), right)
        return (left - np.fmod(left, right)) // right, over
    made = _FLOAT_OPERATORS[sign](left, right)
    if sign == "+":
        return made, ((left ^ made) & (right ^ made)) < 0
    if sign == "-":
        return made, ((left ^ right) & (left ^ made)) < 0
    if left.dtype != np.int64:
        return made, made != left.astype(np.int64) * right.astype(np.int64)
    doubted = np.abs(left.astype(float) * right.astype(float)) >= 2.0**62
    over = np.zeros(len(made), bool)
    for row in np.flatnonzero(doubted):
        over[row] = not -(2**63) <= int(left[row]) * int(right[row]) < 2**63
    return made, over


def _bind_decimals(sign: str, at: int, one: Bound, other: Bound) -> Bound:
    one, other = (_decimal_part(part, beside) for part, beside in ((one, other), (other, one)))
    a, b = one.type, other.type
    if sign == "div":
        raise told_at(at, "got decimals for 'div'; allowed: whole numbers")
    if sign == "%" and a.precision - a.scale + b.scale > sql.MOST_DIGITS:
        raise told_at(
            at,
            f"got {sql.told_type(a)} % {sql.told_type(b)}, for which Spark's own digits do not "
            "do; write cast(… as double), or cast to decimals of fewer digits",
        )
    digits, scale = sql.arithmetic_decimal(sign, a, b)
    type_ = sql.cut_decimal(digits, scale)
    if sign in ("+", "-", "*") and digits <= sql.MOST_DIGITS:
        return _exact_decimals(sign, at, type_, one, other)
    return _long_decimals(sign, at, type_, one, other)


def _decimal_part(part: Bound, beside: Bound) -> Bound:
    if part.type == sql.NULL:
        return widened(part, beside.type)
    if sql.is_integer(part.type):
        # Spark looks at the digits of every integer that stands in the text but a tinyint.
        counted = part.is_literal and part.type != sql.TINYINT
        type_ = sql.as_decimal(part.type)
        if counted and part.literal is not None:
            type_ = sql.fewest_digits(part.literal)
        return widened(part, type_)
    return part


def _exact_decimals(sign: str, at: int, type_: pa.DataType, one: Bound, other: Bound) -> Bound:
    """Arrow's own digits are Spark's as long as 38 do."""
    function = {"+": "add", "-": "subtract", "*": "multiply"}[sign]

    def run(rows: RowsRead) -> Computed:
        parts = (one.compute(rows), other.compute(rows))
        errors = merged_errors(parts, rows.count)
        made = called(function, parts[0].array(rows.count), parts[1].array(rows.count))
        return Computed(made, errors)

    return Bound(at, type_, run)


def _long_decimals(sign: str, at: int, type_: pa.DataType, one: Bound, other: Bound) -> Bound:
    """Digits that have to be rounded, in Python's whole numbers."""
    scales = one.type.scale, other.type.scale
    told = f"character {at + 1}: {sql.told_type(type_)} overflow"

    def run(rows: RowsRead) -> Computed:
        parts = (one.compute(rows), other.compute(rows))
        errors = merged_errors(parts[::-1] if sign in _BY_ZERO else parts, rows.count)
        arrays = [part.array(rows.count) for part in parts]
        valid = valid_rows(arrays[0], rows.count) & valid_rows(arrays[1], rows.count)
        left, right = (unscaled(array).astype(object) for array in arrays)
        if sign in _BY_ZERO:
            zero = np.asarray(right == 0, bool) & valid
            errors |= told_rows(zero, f"character {at + 1}: {_BY_ZERO[sign]}")
            valid &= ~zero
            right = np.where(np.asarray(right == 0, bool), 1, right)
        made = _rounded(sign, left, right, scales, type_.scale)
        over = too_many_digits(made, type_) & valid
        errors |= told_rows(over, told)
        return Computed(from_unscaled(made, type_, valid & ~over), errors)

    return Bound(at, type_, run)


def _rounded(
    sign: str, left: Numbers, right: Numbers, scales: tuple[int, int], scale: int
) -> Numbers:
    """As Spark rounds: products first to 38 digits, quotients to 38 places, then to the scale."""
    s1, s2 = scales
    if sign == "*":
        return _product(left * right, s1 + s2, scale)
    if sign == "/":
        negative = np.asarray((left < 0) ^ (right < 0), bool)
        size = divided_half_up(abs(left) * 10 ** (38 - s1 + s2), abs(right))
        size = divided_half_up(size, 10 ** (38 - scale))
        return np.where(negative, -size, size)
    most = max(s1, s2)
    left, right = left * 10 ** (most - s1), right * 10 ** (most - s2)
    if sign == "%":
        size = abs(left) % abs(right)
        return np.where(np.asarray(left < 0, bool), -size, size)
    return divided_half_up(left + right if sign == "+" else left - right, 10 ** (most - scale))


def _product(whole: Numbers, scale: int, wanted: int) -> Numbers:
    """38 significant digits, then the wanted places."""
    made = np.zeros(len(whole), object)
    for row, value in enumerate(whole):
        spare = max(len(str(abs(value))) - 38, 0)
        size, places = _half_up(abs(value), spare), scale - spare
        if places > wanted:
            size = _half_up(size, places - wanted)
        else:
            size *= 10 ** (wanted - places)
        made[row] = -size if value < 0 else size
    return made


def _half_up(size: int, digits: int) -> int:
    by = 10**digits
    return (2 * size + by) // (2 * by)


def bind_sign(sign: str, at: int, part: Bound) -> Bound:
    """`-x` and `+x`: the least integer has no counterpart."""
    if not sql.is_quantity(part.type):
        raise told_at(part.at, f"got a {sql.told_type(part.type)} for '{sign}'; allowed: numbers")
    return computed_part(part) if sign == "+" else bind_negated(at, part)


def bind_negated(at: int, part: Bound, only_below_zero: bool = False) -> Bound:
    """`-x`, or with `only_below_zero` the absolute value."""
    type_ = part.type
    told = f"character {at + 1}: {sql.told_type(type_)} overflow"
    if sql.is_decimal(type_) and type_.precision > _MOST_NEGATED:
        raise told_at(
            at,
            f"got a {sql.told_type(type_)}, whose last digits Spark itself loses in -x and abs(x); "
            f"allowed: up to {_MOST_NEGATED} digits, or 0 - x",
        )

    def run(rows: RowsRead) -> Computed:
        found = part.compute(rows)
        array = found.array(rows.count)
        if not sql.is_integer(type_):
            made = called("abs" if only_below_zero else "negate", array)
            return Computed(made, found.errors)
        numbers = numpy_values(array, rows.count)
        over = numbers == np.iinfo(numbers.dtype).min
        valid = valid_rows(array, rows.count)
        made = np.abs(numbers) if only_below_zero else -numbers
        return Computed(
            from_numbers(made, type_, valid & ~over),
            {**found.errors, **told_rows(over & valid, told)},
        )

    return Bound(at, type_, run)
