"""Functions of dates and timestamps: `year` to `second`, `dayofweek`, `weekday`, `dayofyear`,
`datediff`.

Owns the calendar for whole arrays: Gregorian for all years, every timestamp in UTC.
Source: Spark 4.1, `datetimeExpressions.scala`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from batchinfer.transforms.expressions import sql_types as sql
from batchinfer.transforms.expressions.bound import (
    Bound,
    Computed,
    RowsRead,
    from_numbers,
    merged_errors,
    numpy_values,
    valid_rows,
)
from batchinfer.transforms.expressions.syntax import told_at
from batchinfer.transforms.expressions.widening import widened

Days = npt.NDArray[np.int64]

_DAY_US = 86_400_000_000
_CYCLE = 146_097
"""Days of 400 years."""


def civil_of(days: Days) -> tuple[Days, Days, Days]:
    """Year, month and day of days since 1970-01-01.

    Years are counted from March, so that the day that may be missing is the last.
    """
    shifted = days + 719_468
    cycle, of_cycle = np.divmod(shifted, _CYCLE)
    year_of_cycle = (of_cycle - of_cycle // 1460 + of_cycle // 36_524 - of_cycle // 146_096) // 365
    of_year = of_cycle - (365 * year_of_cycle + year_of_cycle // 4 - year_of_cycle // 100)
    from_march = (5 * of_year + 2) // 153
    day = of_year - (153 * from_march + 2) // 5 + 1
    month = np.where(from_march < 10, from_march + 3, from_march - 9)
    return year_of_cycle + 400 * cycle + (month <= 2), month, day


def first_of_year(years: Days) -> Days:
    """Days since 1970-01-01 of each first of January."""
    before = years - 1
    return 365 * before + before // 4 - before // 100 + before // 400 - 719_162


def _day_of_year(days: Days) -> Days:
    return days - first_of_year(civil_of(days)[0]) + 1


_OF_DAYS: dict[str, Callable[[Days], Days]] = {
    "year": lambda days: civil_of(days)[0],
    "quarter": lambda days: (civil_of(days)[1] + 2) // 3,
    "month": lambda days: civil_of(days)[1],
    "day": lambda days: civil_of(days)[2],
    "dayofmonth": lambda days: civil_of(days)[2],
    "dayofyear": _day_of_year,
    "dayofweek": lambda days: (days + 4) % 7 + 1,
    "weekday": lambda days: (days + 3) % 7,
}
_OF_TIME: dict[str, int] = {"hour": 3_600_000_000, "minute": 60_000_000, "second": 1_000_000}
_ROUND = {"hour": 24, "minute": 60, "second": 60}

MOMENT_PARTS = (*_OF_DAYS, *_OF_TIME)
"""Functions that take a date or a timestamp and give an int."""


def bind_moment_part(name: str, at: int, parts: Sequence[Bound]) -> Bound:
    """One of `MOMENT_PARTS`; `dayofweek` counts from Sunday as 1, `weekday` from Monday as 0."""
    part = _moment(name, parts[0])
    if name in _OF_TIME and part.type == sql.DATE:
        part = widened(part, sql.TIMESTAMP)

    def run(rows: RowsRead) -> Computed:
        found = part.compute(rows)
        numbers = numpy_values(found.values, rows.count).astype(np.int64)
        if name in _OF_TIME:
            made: npt.NDArray[Any] = numbers // _OF_TIME[name] % _ROUND[name]
        else:
            made = _OF_DAYS[name](numbers if part.type == sql.DATE else numbers // _DAY_US)
        valid = valid_rows(found.values, rows.count)
        return Computed(from_numbers(made.astype(np.int32), sql.INT, valid), found.errors)

    return Bound(at, sql.INT, run)


def bind_datediff(at: int, parts: Sequence[Bound]) -> Bound:
    """`datediff(end, start)`: days between them, of timestamps those of their dates."""
    ends = [_moment("datediff", part) for part in parts]

    def run(rows: RowsRead) -> Computed:
        found = [part.compute(rows) for part in ends]
        days = [
            numpy_values(value.values, rows.count).astype(np.int64)
            // (1 if part.type == sql.DATE else _DAY_US)
            for value, part in zip(found, ends, strict=True)
        ]
        valid = valid_rows(found[0].values, rows.count) & valid_rows(found[1].values, rows.count)
        made = (days[0] - days[1]).astype(np.int32)
        return Computed(from_numbers(made, sql.INT, valid), merged_errors(found, rows.count))

    return Bound(at, sql.INT, run)


def _moment(name: str, part: Bound) -> Bound:
    if not sql.is_moment(part.type):
        raise told_at(
            part.at,
            f"got a {sql.told_type(part.type)} for {name}; allowed: a date or a timestamp, such "
            "as cast(… as date)",
        )
    return part
