"""Functions of numbers: `abs`, `sign`, `round`, `floor`, `ceil`, logarithms, `exp`, `sqrt`, `pow`.

Owns where Spark answers null or an error instead of a number, and rounding half up.
Source: Spark 4.1, `mathExpressions.scala`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt

from batchinfer.transforms.expressions import sql_types as sql
from batchinfer.transforms.expressions.arithmetic import bind_negated
from batchinfer.transforms.expressions.bound import (
    Bound,
    Computed,
    Mask,
    RowsRead,
    computed_part,
    from_numbers,
    merged_errors,
    numpy_values,
    told_part,
    told_rows,
    valid_rows,
)
from batchinfer.transforms.expressions.casting_text import floating_of
from batchinfer.transforms.expressions.decimals import (
    divided_half_up,
    from_unscaled,
    rounded_decimal,
    shifted_half_up,
    unscaled,
)
from batchinfer.transforms.expressions.strict_math import (
    Doubles,
    strict_exp,
    strict_log,
    strict_log1p,
    strict_log10,
)
from batchinfer.transforms.expressions.strict_power import strict_pow
from batchinfer.transforms.expressions.syntax import told_at
from batchinfer.transforms.expressions.widening import widened

_MOST_PLACES = 38
_ALL_WHOLE = 2.0**52
"""From here on a double has no fraction."""

OfOne = Callable[[Doubles], tuple[Doubles, Mask | None]]
"""A function of one number, and where it has an answer; None: everywhere."""


def _above(least: float, function: Callable[[Doubles], Doubles]) -> OfOne:
    def run(x: Doubles) -> tuple[Doubles, Mask]:
        fits = ~(x <= least)
        return function(np.where(fits, x, least + 1.0)), fits

    return run


def _everywhere(function: Callable[[Doubles], Doubles]) -> OfOne:
    return lambda x: (function(x), None)


def _log2(x: Doubles) -> Doubles:
    return strict_log(x) / strict_log(np.array([2.0]))


OF_ONE: dict[str, OfOne] = {
    "ln": _above(0.0, strict_log),
    "log10": _above(0.0, strict_log10),
    "log2": _above(0.0, _log2),
    "log1p": _above(-1.0, strict_log1p),
    "exp": _everywhere(strict_exp),
    "sqrt": _everywhere(np.sqrt),
    "sign": _everywhere(np.sign),
}
"""Functions that take a double and give a double."""


def bind_of_one(name: str, at: int, parts: Sequence[Bound]) -> Bound:
    """One of `OF_ONE`."""
    return _of_doubles(name, at, parts, lambda numbers: OF_ONE[name](numbers[0]))


def bind_log(at: int, parts: Sequence[Bound]) -> Bound:
    """`log(x)` is the natural logarithm, `log(base, x)` that to a base; null at 0 and below."""
    if len(parts) == 1:
        return bind_of_one("ln", at, parts)

    def run(numbers: list[Doubles]) -> tuple[Doubles, Mask]:
        base, base_fits = OF_ONE["ln"](numbers[0])
        made, fits = OF_ONE["ln"](numbers[1])
        return made / base, np.asarray(fits) & np.asarray(base_fits)

    return _of_doubles("log", at, parts, run)


def bind_pow(at: int, parts: Sequence[Bound]) -> Bound:
    """`pow(base, exponent)`, as doubles."""
    return _of_doubles("pow", at, parts, lambda numbers: (strict_pow(*numbers), None))


def _of_doubles(
    name: str,
    at: int,
    parts: Sequence[Bound],
    compute: Callable[[list[Doubles]], tuple[Doubles, Mask | None]],
) -> Bound:
    doubles = [widened(_number(name, part), sql.DOUBLE) for part in parts]

    def run(rows: RowsRead) -> Computed:
        found = [part.compute(rows) for part in doubles]
        valid = np.ones(rows.count, bool)
        for part in found:
            valid &= valid_rows(part.values, rows.count)
        with np.errstate(all="ignore"):
            made, fits = compute([numpy_values(part.values, rows.count) for part in found])
        valid = valid if fits is None else valid & fits
        return Computed(from_numbers(made, sql.DOUBLE, valid), merged_errors(found, rows.count))

    return Bound(at, sql.DOUBLE, run)


def _number(name: str, part: Bound) -> Bound:
    if not (sql.is_quantity(part.type) or part.type == sql.NULL):
        raise told_at(
            part.at,
            f"got a {sql.told_type(part.type)} for {name}; allowed: numbers, such as "
            "cast(… as double)",
        )
    return part


def bind_abs(at: int, parts: Sequence[Bound]) -> Bound:
    """`abs(x)`, of the same type; the least integer has none."""
    part = _number("abs", parts[0])
    part = widened(part, sql.DOUBLE) if part.type == sql.NULL else part
    return bind_negated(at, part, only_below_zero=True)


def bind_whole(up: bool, at: int, parts: Sequence[Bound]) -> Bound:
    """`floor` and `ceil`: a bigint, of a decimal a decimal without places.

    NaN becomes 0, and what is beyond a bigint the nearest one: so does Spark.
    """
    name = "ceil" if up else "floor"
    part = _number(name, parts[0])
    if sql.is_decimal(part.type):
        return _whole_decimal(up, at, part)
    if not sql.is_floating(part.type):
        return computed_part(widened(part, sql.BIGINT))

    def run(rows: RowsRead) -> Computed:
        found = part.compute(rows)
        numbers = numpy_values(found.values, rows.count).astype(np.float64)
        whole = np.nan_to_num((np.ceil if up else np.floor)(numbers))
        over, under = whole >= 2.0**63, whole <= -(2.0**63)
        made = np.where(over | under, 0.0, whole).astype(np.int64)
        made[over], made[under] = 2**63 - 1, -(2**63)
        valid = valid_rows(found.values, rows.count)
        return Computed(from_numbers(made, sql.BIGINT, valid), found.errors)

    return Bound(at, sql.BIGINT, run)


def _whole_decimal(up: bool, at: int, part: Bound) -> Bound:
    digits, scale = part.type.precision, part.type.scale
    type_ = sql.decimal_type(min(digits - scale + min(scale, 1), sql.MOST_DIGITS), 0)

    def run(rows: RowsRead) -> Computed:
        found = part.compute(rows)
        array = found.array(rows.count)
        whole, by = unscaled(array), 10**scale
        if scale > 18:
            whole = whole.astype(object)
        made = -((-whole) // by) if up else whole // by
        return Computed(from_unscaled(made, type_, valid_rows(array, rows.count)), found.errors)

    return Bound(at, type_, run)


def bind_round(at: int, parts: Sequence[Bound]) -> Bound:
    """`round(x)`, `round(x, places)`: halves away from zero; the places stand in the text.

    Raises:
        ExpressionError: places that are no whole number between -38 and 38.
    """
    part, places = _number("round", parts[0]), _places(parts)
    if part.type == sql.NULL:
        raise told_at(part.at, "got null for round; allowed: a number")
    if sql.is_decimal(part.type):
        return _round_decimal(at, part, places)
    if sql.is_integer(part.type):
        return computed_part(part) if places >= 0 else _round_integer(at, part, -places)
    if part.type == sql.FLOAT and places < 0:
        raise told_at(at, "got a float for round to tens; allowed: cast(… as double)")
    type_ = part.type

    def run(rows: RowsRead) -> Computed:
        found = part.compute(rows)
        made = _half_up(numpy_values(found.values, rows.count), places)
        valid = valid_rows(found.values, rows.count)
        return Computed(from_numbers(made, type_, valid), found.errors)

    return Bound(at, type_, run)


def _places(parts: Sequence[Bound]) -> int:
    if len(parts) == 1:
        return 0
    places = parts[1].literal
    if not sql.is_integer(parts[1].type) or places is None or abs(places) > _MOST_PLACES:
        raise told_at(
            parts[1].at,
            f"got {told_part(parts[1])} for the places of round; allowed: a number from "
            f"-{_MOST_PLACES} to {_MOST_PLACES} that stands here",
        )
    return places


def _half_up(numbers: npt.NDArray[Any], places: int) -> npt.NDArray[Any]:
    """Rounds the decimal that a number shows itself as: 1.005 is rounded to 1.01.

    A float counts as the double that it is, as in Spark. Where the digits behind the place are far
    from a half, doubles decide; else decimals do.
    """
    wide = numbers.astype(np.float64)
    whole, unsure = shifted_half_up(wide, places)
    with np.errstate(all="ignore"):
        made = whole / 10.0**places if places >= 0 else whole * 10.0**-places
    made = made + 0.0
    as_is = ~np.isfinite(wide)
    if places >= 0:
        as_is |= np.abs(wide) >= _ALL_WHOLE
    if single := numbers.dtype == np.float32:
        # The double lies between two floats, so that its own rounding would decide.
        unsure |= (made.view(np.int64) & (2**29 - 1)) == 2**28
    made = np.where(as_is, wide, made).astype(numbers.dtype)
    for row in np.flatnonzero(unsure & ~as_is):
        rounded = rounded_decimal(Decimal(repr(float(wide[row]))), places)
        value = floating_of(str(rounded), single=single) or 0.0
        made[row] = value if rounded else 0.0
    return made


def _round_integer(at: int, part: Bound, tens: int) -> Bound:
    type_ = part.type
    told = f"character {at + 1}: {sql.told_type(type_)} overflow"

    def run(rows: RowsRead) -> Computed:
        found = part.compute(rows)
        numbers = numpy_values(found.values, rows.count)
        valid = valid_rows(found.values, rows.count)
        by = 10**tens
        made = divided_half_up(numbers.astype(object), by) * by
        reach = np.iinfo(numbers.dtype)
        over = np.asarray((made > reach.max) | (made < reach.min), bool) & valid
        made = np.where(over, 0, made).astype(numbers.dtype)
        errors = {**found.errors, **told_rows(over, told)}
        return Computed(from_numbers(made, type_, valid & ~over), errors)

    return Bound(at, type_, run)


def _round_decimal(at: int, part: Bound, places: int) -> Bound:
    digits, scale = part.type.precision, part.type.scale
    before = digits - scale + 1
    kept = min(scale, max(places, 0))
    wanted = max(before, 1 - places) if places < 0 else before + kept
    type_ = sql.decimal_type(min(wanted, sql.MOST_DIGITS), kept)
    told = f"character {at + 1}: {sql.told_type(type_)} overflow"

    def run(rows: RowsRead) -> Computed:
        found = part.compute(rows)
        array = found.array(rows.count)
        valid = valid_rows(array, rows.count)
        whole = unscaled(array).astype(object)
        if places < scale:
            whole = divided_half_up(whole, 10 ** (scale - places))
            whole = whole * 10 ** max(-places, 0)
        over = np.asarray(abs(whole) >= 10**type_.precision, bool) & valid
        errors = {**found.errors, **told_rows(over, told)}
        return Computed(from_unscaled(whole, type_, valid & ~over), errors)

    return Bound(at, type_, run)
