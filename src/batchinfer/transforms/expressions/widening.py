"""Values of one type as another that holds all of them: what Spark does unasked.

Owns only conversions that cannot fail, but for dates that are too far for a timestamp. Conversions
that are asked for stand in `casting.py`.
"""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pyarrow as pa

from batchinfer.transforms.expressions import sql_types as sql
from batchinfer.transforms.expressions.bound import (
    Bound,
    Computed,
    Mask,
    RowsRead,
    constant,
    from_numbers,
    numpy_values,
    one_array,
    told_rows,
    valid_rows,
)
from batchinfer.transforms.expressions.decimals import unscaled

_DAY_US = 86_400_000_000
_MOST_DAYS = (2**63 - 1) // _DAY_US


def widened(part: Bound, type_: pa.DataType) -> Bound:
    """The same values as another type, to which Spark widens the part's own."""
    if part.type == type_:
        return part
    if part.is_literal and part.literal is None:
        return constant(part.at, None, type_)
    if part.is_literal and sql.is_decimal(type_):
        return constant(part.at, Decimal(part.literal), type_)

    if part.type == sql.DATE:
        return _as_timestamp(part, type_)

    def run(rows: RowsRead) -> Computed:
        found = part.compute(rows)
        return Computed(wider_values(found.array(rows.count), type_), found.errors)

    return Bound(part.at, type_, run)


def _as_timestamp(part: Bound, type_: pa.DataType) -> Bound:
    told = f"character {part.at + 1}: a date that is too far for a {sql.told_type(type_)}"

    def run(rows: RowsRead) -> Computed:
        found = part.compute(rows)
        made, unfit = midnights(found.array(rows.count), type_)
        return Computed(made, {**told_rows(unfit, told), **found.errors})

    return Bound(part.at, type_, run)


def midnights(dates: pa.Array, type_: pa.DataType) -> tuple[pa.Array, Mask]:
    """Dates as timestamps; and which are too far for one: those are null."""
    valid = valid_rows(dates, len(dates))
    days = numpy_values(dates, len(dates)).astype(np.int64)
    unfit = (np.abs(days) > _MOST_DAYS) & valid
    micros = np.where(unfit, 0, days) * _DAY_US
    return from_numbers(micros, type_, valid & ~unfit), unfit


def wider_values(values: pa.Array, type_: pa.DataType) -> pa.Array:
    """An array as a type that holds all its values; a decimal becomes the nearest double."""
    if sql.is_decimal(values.type) and sql.is_floating(type_):
        return nearest_doubles(values).cast(type_, safe=False)
    return one_array(values.cast(type_, safe=sql.is_decimal(type_)))


def nearest_doubles(values: pa.Array) -> pa.Array:
    """Decimals as doubles, each the nearest there is."""
    if values.type.precision <= 15:
        doubles = unscaled(values) / 10.0**values.type.scale
        return pa.array(doubles, sql.DOUBLE, mask=values.is_null().to_numpy(zero_copy_only=False))
    # Arrow multiplies by powers of ten, which may miss by the last bit; it reads text exactly.
    return values.cast(pa.string()).cast(sql.DOUBLE)
