"""Values of one type as another that holds all of them: what Spark does unasked.

Owns only conversions that cannot fail. Conversions that are asked for stand in `casting.py`.
"""

from __future__ import annotations

from decimal import Decimal

import pyarrow as pa

from batchinfer.transforms.expressions import sql_types as sql
from batchinfer.transforms.expressions.bound import Bound, Computed, RowsRead, constant, one_array
from batchinfer.transforms.expressions.decimals import unscaled


def widened(part: Bound, type_: pa.DataType) -> Bound:
    """The same values as another type, to which Spark widens the part's own."""
    if part.type == type_:
        return part
    if part.is_literal and part.literal is None:
        return constant(part.at, None, type_)
    if part.is_literal and sql.is_decimal(type_):
        return constant(part.at, Decimal(part.literal), type_)

    def run(rows: RowsRead) -> Computed:
        found = part.compute(rows)
        return Computed(wider_values(found.array(rows.count), type_), found.errors)

    return Bound(part.at, type_, run)


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
