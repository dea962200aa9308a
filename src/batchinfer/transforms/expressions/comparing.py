"""`= <> < <= > >= <=>` and `in`.

Owns Spark's order of floating numbers: NaN equals itself and is above all others, 0.0 equals -0.0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from batchinfer.transforms.expressions import sql_types as sql
from batchinfer.transforms.expressions.bound import (
    Bound,
    Computed,
    Errors,
    Mask,
    RowsRead,
    called,
    constant,
    first_errors,
    from_numbers,
    merged_errors,
    numpy_values,
    valid_rows,
    without_rows,
)
from batchinfer.transforms.expressions.casting import can_cast
from batchinfer.transforms.expressions.moment_text import day_of, micros_of
from batchinfer.transforms.expressions.syntax import told_at
from batchinfer.transforms.expressions.widening import widened

_ARROW = {
    "=": "equal",
    "<>": "not_equal",
    "<": "less",
    "<=": "less_equal",
    ">": "greater",
    ">=": "greater_equal",
}


def bind_comparison(sign: str, at: int, one: Bound, other: Bound) -> Bound:
    """`one sign other`, a boolean; null if either is, but for `<=>`.

    Raises:
        ExpressionError: there is no type that holds the values of both.
    """
    one, other = brought_together(at, f"'{sign}'", (one, other))

    def run(rows: RowsRead) -> Computed:
        parts = (one.compute(rows), other.compute(rows))
        if sign == "<=>":
            errors = first_errors(parts)
            made = _same(parts[0], parts[1], rows.count)
            return Computed(without_rows(made, errors), errors)
        made = compared_values(sign, parts[0], parts[1], rows.count)
        return Computed(made, merged_errors(parts, rows.count))

    return Bound(at, sql.BOOLEAN, run)


def brought_together(at: int, where: str, parts: Sequence[Bound]) -> list[Bound]:
    """The parts, all of their common type.

    Raises:
        ExpressionError: they have none.
    """
    parts = _dates_in_text(parts)
    type_ = sql.common_type([part.type for part in parts])
    if type_ is None:
        types = list(dict.fromkeys(sql.told_type(part.type) for part in parts))
        raise told_at(
            at,
            f"got {' and '.join(types)} for {where}; allowed: values of one kind"
            f"{_one_kind([part.type for part in parts])}",
        )
    if type_ == sql.NULL:
        raise told_at(at, f"got nothing but null for {where}; allowed: cast(null as string)")
    return [widened(part, type_) for part in parts]


def _one_kind(types: Sequence[pa.DataType]) -> str:
    """How values of these types become of one kind, as far as there is a way."""
    found = next((to for to in types if all(can_cast(type_, to) for type_ in types)), None)
    if found is not None and found != sql.NULL:
        return f", such as cast(… as {sql.told_type(found)})"
    if any(map(sql.is_moment, types)) and any(map(sql.is_quantity, types)):
        return ", such as year(…) or datediff(later, earlier) beside a number"
    return ""


def _dates_in_text(parts: Sequence[Bound]) -> list[Bound]:
    """Texts that stand beside dates or timestamps are read as such: `day >= '2026-01-31'`."""
    others = sql.common_type([part.type for part in parts if part.type != sql.STRING])
    if others is None or not sql.is_moment(others):
        return list(parts)
    return [_as_moment(part, others) if part.type == sql.STRING else part for part in parts]


def _as_moment(part: Bound, type_: pa.DataType) -> Bound:
    if not part.is_literal:
        return part
    text = part.literal
    value = day_of(text) if type_ == sql.DATE else micros_of(text, type_ == sql.TIMESTAMP)
    if value is None:
        raise told_at(part.at, f"got '{text}', which is no {sql.told_type(type_)}")
    return constant(part.at, value, type_)


def _compare_arrow(sign: str, one: Computed, other: Computed, count: int) -> pa.Array:
    left, right = one.values, other.values
    if left.type == sql.BOOLEAN and sign not in ("=", "<>"):
        left, right = (side.cast(sql.TINYINT) for side in (left, right))
    if isinstance(left, pa.Scalar) and isinstance(right, pa.Scalar):
        left = pa.repeat(left, count)
    return called(_ARROW[sign], left, right)


def _compare_floats(sign: str, one: Computed, other: Computed, count: int) -> pa.Array:
    left, right = numpy_values(one.values, count), numpy_values(other.values, count)
    valid = valid_rows(one.values, count) & valid_rows(other.values, count)
    nan_left, nan_right = np.isnan(left), np.isnan(right)
    if sign in ("=", "<>"):
        same = (left == right) | (nan_left & nan_right)
        made: Mask = same if sign == "=" else ~same
    elif sign in ("<", ">="):
        less = (left < right) | (nan_right & ~nan_left)
        made = less if sign == "<" else ~less
    else:
        more = (left > right) | (nan_left & ~nan_right)
        made = more if sign == ">" else ~more
    return from_numbers(made, sql.BOOLEAN, valid)


def compared_values(sign: str, one: Computed, other: Computed, count: int) -> pa.Array:
    """`one sign other` of two parts of one type, null where either is."""
    if sql.is_floating(one.values.type):
        return _compare_floats(sign, one, other, count)
    return _compare_arrow(sign, one, other, count)


def _same(one: Computed, other: Computed, count: int) -> pa.Array:
    valid = valid_rows(one.values, count), valid_rows(other.values, count)
    equal = pc.fill_null(compared_values("=", one, other, count), False)
    both_null = pa.array(~valid[0] & ~valid[1])
    return called("or", equal, both_null)


def bind_in(at: int, parts: Sequence[Bound]) -> Bound:
    """`parts[0] in (parts[1:])`: null if none is equal and there is a null."""
    tested, *listed = brought_together(at, "'in'", parts)

    def run(rows: RowsRead) -> Computed:
        first = tested.compute(rows)
        errors = dict(first.errors)
        open_ = valid_rows(first.values, rows.count)
        found = np.zeros(rows.count, bool)
        unknown = ~open_
        for choice in listed:
            value = choice.compute(rows)
            errors |= {row: told for row, told in value.errors.items() if open_[row]}
            open_ = open_ & ~_rows_of(value.errors, rows.count)
            equal = compared_values("=", first, value, rows.count)
            hit = np.asarray(pc.fill_null(equal, False).to_numpy(zero_copy_only=False)) & open_
            unknown |= ~valid_rows(value.values, rows.count)
            found |= hit
            open_ = open_ & ~hit
        valid = (found | ~unknown) & ~_rows_of(errors, rows.count)
        return Computed(from_numbers(found, sql.BOOLEAN, valid), errors)

    return Bound(at, sql.BOOLEAN, run)


def _rows_of(errors: Errors, count: int) -> Mask:
    mask = np.zeros(count, bool)
    mask[list(errors)] = True
    return mask
