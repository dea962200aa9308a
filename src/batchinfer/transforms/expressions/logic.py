"""`and or not`, `is null`, `case`, `if`, `coalesce`, `nullif`, `greatest`, `least`.

Owns which rows a part is asked for: what a row does not reach cannot be wrong with it.
Source: Spark 4.1, `predicates.scala`, `conditionalExpressions.scala`, `nullExpressions.scala`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

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
    true_rows,
    valid_rows,
    without_rows,
)
from batchinfer.transforms.expressions.comparing import (
    bind_comparison,
    brought_together,
    compared_values,
)
from batchinfer.transforms.expressions.syntax import told_at
from batchinfer.transforms.expressions.widening import widened


def bind_connected(word: str, at: int, one: Bound, other: Bound) -> Bound:
    """`one and other`, `one or other`: the second is asked only where the first does not decide."""
    first, second = _boolean(one, f"'{word}'"), _boolean(other, f"'{word}'")
    decides = word == "or"

    def run(rows: RowsRead) -> Computed:
        found = first.compute(rows)
        values = found.array(rows.count)
        decided = true_rows(values if decides else called("invert", values), rows.count)
        asked = ~decided & ~rows_of(found.errors, rows.count)
        pieces = Pieces(rows)
        pieces.add(second, asked)
        rest = pieces.together(sql.BOOLEAN)
        made = called("or_kleene" if decides else "and_kleene", values, rest.values)
        errors = {**found.errors, **rest.errors}
        return Computed(without_rows(made, errors), errors)

    return Bound(at, sql.BOOLEAN, run)


def bind_not(at: int, part: Bound) -> Bound:
    """`not x`: null stays null."""
    part = _boolean(part, "'not'")

    def run(rows: RowsRead) -> Computed:
        found = part.compute(rows)
        return Computed(called("invert", found.array(rows.count)), found.errors)

    return Bound(at, sql.BOOLEAN, run)


def bind_truth(at: int, part: Bound) -> Bound:
    """What stands before `is true` and `is false`: a boolean."""
    return _boolean(part, "'is true' or 'is false'")


def bind_is_null(at: int, part: Bound) -> Bound:
    """`x is null`: never null itself."""

    def run(rows: RowsRead) -> Computed:
        found = part.compute(rows)
        made = from_numbers(~valid_rows(found.values, rows.count), sql.BOOLEAN)
        return Computed(without_rows(made, found.errors), found.errors)

    return Bound(at, sql.BOOLEAN, run)


def bind_case(at: int, parts: Sequence[Bound]) -> Bound:
    """`case when parts[0] then parts[1] … else parts[-1] end`."""
    for part in parts[:-1:2]:
        if part.type == sql.NULL:
            raise told_at(part.at, "got null for 'when'; allowed: a boolean, such as x > 0")
    conditions = [_boolean(part, "'when'") for part in parts[:-1:2]]
    values = brought_together(at, "the values of a condition", [*parts[1::2], parts[-1]])
    type_ = values[-1].type

    def run(rows: RowsRead) -> Computed:
        pieces = Pieces(rows)
        left = np.ones(rows.count, bool)
        for condition, value in zip(conditions, values[:-1], strict=True):
            asked = Pieces(rows)
            asked.add(condition, left)
            answer = asked.together(sql.BOOLEAN)
            pieces.errors |= answer.errors
            taken = true_rows(answer.values, rows.count)
            pieces.add(value, taken)
            left &= ~taken & ~rows_of(answer.errors, rows.count)
        pieces.add(values[-1], left)
        return pieces.together(type_)

    return Bound(at, type_, run)


def bind_if(at: int, parts: Sequence[Bound]) -> Bound:
    """`if(condition, value, other)`."""
    return bind_case(at, [_boolean(parts[0], "if"), *parts[1:]])


def bind_coalesce(at: int, parts: Sequence[Bound]) -> Bound:
    """The first value that is not null; those behind it are not asked."""
    values = brought_together(at, "coalesce", parts)
    type_ = values[0].type

    def run(rows: RowsRead) -> Computed:
        pieces = Pieces(rows)
        left = np.ones(rows.count, bool)
        for value in values:
            pieces.add(value, left)
            left = pieces.empty()
            if not left.any():
                break
        return pieces.together(type_)

    return Bound(at, type_, run)


def bind_nullif(at: int, parts: Sequence[Bound]) -> Bound:
    """Null where both are equal, else the first."""
    one, other = parts
    equal = bind_comparison("=", at, one, other)
    return bind_case(at, [equal, constant(at, None, one.type), one])


def bind_extreme(sign: str, where: str, at: int, parts: Sequence[Bound]) -> Bound:
    """`greatest` (sign `>`) and `least` (sign `<`): nulls are left out, all parts are asked."""
    values = brought_together(at, where, parts)
    type_ = values[0].type

    def run(rows: RowsRead) -> Computed:
        found = [value.compute(rows) for value in values]
        best = found[0].array(rows.count)
        for value in found[1:]:
            array = value.array(rows.count)
            better = true_rows(
                compared_values(sign, Computed(array), Computed(best), rows.count), rows.count
            )
            better |= valid_rows(array, rows.count) & ~valid_rows(best, rows.count)
            best = called("if_else", pa.array(better), array, best)
        errors = first_errors(found)
        return Computed(without_rows(best, errors), errors)

    return Bound(at, type_, run)


def _boolean(part: Bound, where: str) -> Bound:
    if part.type not in (sql.BOOLEAN, sql.NULL):
        raise told_at(
            part.at,
            f"got a {sql.told_type(part.type)} for {where}; allowed: a boolean, such as x > 0",
        )
    return widened(part, sql.BOOLEAN)


def rows_of(errors: Errors, count: int) -> Mask:
    """The rows that are wrong, as a mask."""
    mask = np.zeros(count, bool)
    mask[list(errors)] = True
    return mask


class Pieces:
    """Values of one batch that are computed for some rows at a time.

    Attributes:
        errors: what is wrong, by row of the batch.
    """

    def __init__(self, rows: RowsRead) -> None:
        self._rows = rows
        self._arrays: list[pa.Array] = []
        self._length = 0
        self._places = np.full(rows.count, -1, np.int64)
        self.errors: dict[int, str] = {}

    def add(self, part: Bound, chosen: Mask) -> None:
        """Computes a part for the rows that are chosen."""
        numbers = np.flatnonzero(chosen)
        if not len(numbers):
            return
        found = part.compute(self._rows.where(chosen))
        array = found.array(len(numbers))
        self._arrays.append(array)
        self._places[numbers] = self._length + np.arange(len(numbers))
        self._length += len(array)
        self.errors |= {int(numbers[row]): told for row, told in found.errors.items()}

    def empty(self) -> Mask:
        """Rows that have no value so far, for whatever reason but an error."""
        empty = self._places < 0
        if self._arrays:
            known = pa.concat_arrays(self._arrays)
            valid = valid_rows(known, len(known))
            empty = empty | ~valid[self._places]
        return empty & ~rows_of(self.errors, self._rows.count)

    def together(self, type_: pa.DataType) -> Computed:
        """All values in the order of the rows; null where none was computed."""
        if not self._arrays:
            return Computed(pa.nulls(self._rows.count, type_), self.errors)
        known = pa.concat_arrays(self._arrays)
        if len(self._arrays) == 1 and self._length == self._rows.count:
            return Computed(known, self.errors)
        missing = self._places < 0
        places = pa.array(self._places, mask=missing if missing.any() else None)
        return Computed(known.take(places), self.errors)
