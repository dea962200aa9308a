"""Types of Parquet columns as Arrow reads them, and as they are landed: what is only encoding falls
away.

Owns which types are the same column, and the conversion of their values. Must not know files.

Dictionaries, large, view and fixed-size variants, extension types and the units of timestamps are
encodings. Unsigned numbers land as the wider signed ones. A timestamp without a zone may be taken
as UTC. INT96, the timestamp of old writers, does not say which of both it is: it is UTC unless the
schema says `timestamp_ntz`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import pyarrow as pa
from pyarrow import compute
from pyarrow import types as kinds

from batchinfer.config.types import parse_ddl, spark_name

# Its functions are generated at import, so type checkers do not see them.
pc: Any = compute

UTC_US = pa.timestamp("us", tz="UTC")
# As Spark reads them; uint64 has no wider whole number.
_WIDER = {pa.uint8(): pa.int16(), pa.uint16(): pa.int32(), pa.uint32(): pa.int64()}
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_DAY_S = 86_400
# Of the years 1 to 9999, seconds since 1970: the first one, and the first one behind them.
_FIRST_S, _BEHIND_S = -62_135_596_800, 253_402_300_800


def landed_type(type_: pa.DataType, zoned: bool = False) -> pa.DataType:
    """The type that a column lands with.

    Args:
        zoned: timestamps without a zone count as UTC.

    Raises:
        ValueError: Spark and Delta have no such type; says which are allowed.
    """
    return parse_ddl(spark_name(_unwrapped(type_, zoned)))


@lru_cache(maxsize=10_000)
def fits(got: pa.DataType, wanted: pa.DataType) -> bool:
    """True if a column of a file can land with this type: equal but for encodings. Null, the type
    of no values, fits all.

    Raises:
        ValueError: as `landed_type`.
    """
    return kinds.is_null(got) or wanted in (landed_type(got), landed_type(got, zoned=True))


def spelled_type(type_: pa.DataType) -> str:
    """The type as a user writes it in `schema:`, or Arrow's name where there is none."""
    try:
        return spark_name(_unwrapped(type_, False))
    except ValueError:
        return str(type_)


def _unwrapped(type_: pa.DataType, zoned: bool) -> pa.DataType:
    """The type without dictionaries, extensions, unsigned numbers and small decimals, which Spark's
    names do not know.
    """
    if isinstance(type_, pa.BaseExtensionType):
        return _unwrapped(type_.storage_type, zoned)
    if kinds.is_dictionary(type_):
        return _unwrapped(type_.value_type, zoned)
    if type_ in _WIDER:
        return _WIDER[type_]
    if kinds.is_timestamp(type_) and zoned:
        return UTC_US
    if kinds.is_date64(type_):
        return pa.date32()
    if kinds.is_decimal32(type_) or kinds.is_decimal64(type_):
        return pa.decimal128(type_.precision, type_.scale)
    if kinds.is_struct(type_):
        return pa.struct([(field.name, _unwrapped(field.type, zoned)) for field in type_])
    if kinds.is_map(type_):
        return pa.map_(_unwrapped(type_.key_type, zoned), _unwrapped(type_.item_type, zoned))
    return pa.list_(_unwrapped(type_.value_type, zoned)) if _is_list(type_) else type_


def _is_list(type_: pa.DataType) -> bool:
    tests = (
        kinds.is_list,
        kinds.is_large_list,
        kinds.is_fixed_size_list,
        kinds.is_list_view,
        kinds.is_large_list_view,
    )
    return any(test(type_) for test in tests)


def conform(values: pa.Array, type_: pa.DataType) -> pa.Array:
    """The same values with the type that they land with; nanoseconds are floored to microseconds.

    Args:
        type_: one that `fits`.

    Raises:
        ValueError: a time that microseconds cannot hold.
    """
    if values.type == type_:
        return values
    if isinstance(values, pa.ExtensionArray):
        return conform(values.storage, type_)
    if kinds.is_dictionary(values.type):
        return conform(values.dictionary_decode(), type_)
    if kinds.is_timestamp(values.type):
        return (
            pc.floor_temporal(values, unit="microsecond")
            .cast(pa.timestamp("us", values.type.tz))
            .cast(type_)
        )
    if kinds.is_nested(values.type):
        return _nested(values, type_)
    return values.cast(type_)


def _nested(values: pa.Array, type_: pa.DataType) -> pa.Array:
    """Rebuilds a list, map or struct around its parts. Arrow's own cast would round times towards
    1970.
    """
    if kinds.is_struct(type_):
        parts = [conform(values.field(place), field.type) for place, field in enumerate(type_)]
        return pa.StructArray.from_arrays(parts, fields=list(type_), mask=values.is_null())
    if not kinds.is_list(values.type) and not kinds.is_map(values.type):
        values = values.cast(pa.list_(values.type.value_type))
    if values.offset:
        # Offsets of a slice and a mask do not go together; taking the rows makes an array of its
        # own.
        values = values.take(pa.array(range(len(values)), pa.int64()))
    if kinds.is_map(type_):
        keys, items = conform(values.keys, type_.key_type), conform(values.items, type_.item_type)
        return pa.MapArray.from_arrays(values.offsets, keys, items, type_, mask=values.is_null())
    return pa.ListArray.from_arrays(
        values.offsets, conform(values.values, type_.value_type), type_, mask=values.is_null()
    )


def nanoseconds_of(values: pa.Array) -> int:
    """How many times, at any depth, have parts of a microsecond, which `conform` leaves out."""
    if isinstance(values, pa.ExtensionArray):
        return nanoseconds_of(values.storage)
    if not _holds_nanoseconds(values.type):
        return 0
    if kinds.is_dictionary(values.type):
        return nanoseconds_of(values.dictionary_decode())
    if kinds.is_timestamp(values.type):
        counts = pc.drop_null(values).cast(pa.int64()).to_numpy(zero_copy_only=False)
        return int((counts % 1000 != 0).sum())
    if kinds.is_map(values.type):
        return nanoseconds_of(values.keys) + nanoseconds_of(values.items)
    parts = values.flatten()
    return sum(map(nanoseconds_of, parts)) if isinstance(parts, list) else nanoseconds_of(parts)


def _holds_nanoseconds(type_: pa.DataType) -> bool:
    if isinstance(type_, pa.BaseExtensionType):
        return _holds_nanoseconds(type_.storage_type)
    if kinds.is_dictionary(type_):
        return _holds_nanoseconds(type_.value_type)
    if kinds.is_timestamp(type_):
        return type_.unit == "ns"
    return any(_holds_nanoseconds(type_.field(place).type) for place in range(type_.num_fields))


def outside_years(values: pa.Array) -> pa.Array | None:
    """A boolean mask of the times outside the years 1 to 9999, which neither Python nor Spark has;
    None if there is none.
    """
    if kinds.is_timestamp(values.type):
        first, behind = (
            _FIRST_S * _PER_SECOND[values.type.unit],
            _BEHIND_S * _PER_SECOND[values.type.unit],
        )
    elif kinds.is_date32(values.type):
        first, behind = _FIRST_S // _DAY_S, _BEHIND_S // _DAY_S
    else:
        return None
    if not -(2**63) <= first < behind < 2**63:
        return None  # no count of nanoseconds leads out of these years
    numbers = values.cast(pa.int32() if kinds.is_date32(values.type) else pa.int64())
    wrong = pc.fill_null(pc.or_(pc.less(numbers, first), pc.greater_equal(numbers, behind)), False)
    return wrong if pc.any(wrong).as_py() else None
