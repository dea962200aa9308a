"""Arrow schemas as Delta stores them, and the contract between a table and what is written into it.

Owns the list of types that every reader (Spark, delta-rs, DuckDB, Polars) can read. Knows neither
files nor commits.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import pyarrow as pa
from pyarrow import types as kinds

from batchinfer.contracts import NAMES_ALLOWED, NOT_IN_NAMES
from batchinfer.errors import InputError

_WIDER = {
    pa.uint8(): pa.int16(),
    pa.uint16(): pa.int32(),
    pa.uint32(): pa.int64(),
    pa.float16(): pa.float32(),
}
_KEPT = (
    *(kinds.is_boolean, kinds.is_signed_integer, kinds.is_float32, kinds.is_float64),
    *(kinds.is_string, kinds.is_binary, kinds.is_date32),
)


def delta_type(type_: pa.DataType) -> pa.DataType:
    """The type that Delta and its readers know: no dictionaries, no large, view or fixed-size
    types, microseconds.

    Runs on: driver | executor

    Raises:
        InputError: Delta has no such type (times, durations, uint64 and others).
    """
    if type_ in _WIDER:
        return _WIDER[type_]
    if any(test(type_) for test in _KEPT):
        return type_
    if kinds.is_dictionary(type_):
        return delta_type(type_.value_type)
    if kinds.is_large_string(type_) or kinds.is_string_view(type_):
        return pa.string()
    if (
        kinds.is_large_binary(type_)
        or kinds.is_fixed_size_binary(type_)
        or kinds.is_binary_view(type_)
    ):
        return pa.binary()
    if kinds.is_timestamp(type_):
        return pa.timestamp("us", tz="UTC" if type_.tz else None)
    if kinds.is_decimal128(type_):
        return type_
    return _nested_type(type_)


def _nested_type(type_: pa.DataType) -> pa.DataType:
    if kinds.is_list(type_) or kinds.is_large_list(type_) or kinds.is_fixed_size_list(type_):
        return pa.list_(
            pa.field("element", delta_type(type_.value_type), nullable=type_.value_field.nullable)
        )
    if kinds.is_struct(type_):
        return pa.struct([delta_field(type_.field(place)) for place in range(type_.num_fields)])
    if kinds.is_map(type_):
        return pa.map_(delta_type(type_.key_type), delta_type(type_.item_type))
    raise InputError(
        f"a column of type {type_} cannot be stored in Delta; allowed: bool, int8 to int64, float, "
        "double, decimal, string, binary, date, timestamp, and lists, structs and maps of these"
    )


def delta_field(field: pa.Field) -> pa.Field:
    """The field with its Delta type; name, nullability and comment stay."""
    return pa.field(
        field.name, delta_type(field.type), nullable=field.nullable, metadata=field.metadata
    )


def delta_schema(schema: pa.Schema) -> pa.Schema:
    """The schema that Delta stores for these columns.

    Runs on: driver | executor

    Raises:
        InputError: types or names that Delta cannot hold, all of them in one error.
    """
    fields, problems = [], []
    for field in schema:
        if re.search(NOT_IN_NAMES, field.name):
            problems.append(
                f"column name {field.name!r} cannot be stored in Delta; allowed: {NAMES_ALLOWED}"
            )
        try:
            fields.append(delta_field(field))
        except InputError as error:
            problems += [f"column {field.name}: {problem}" for problem in error.problems]
    if problems:
        raise InputError(problems)
    return pa.schema(fields)


def _plain(type_: pa.DataType) -> pa.DataType:
    """The type without the nullability of its inner fields: a reader's business, not the
    contract's.
    """
    if kinds.is_list(type_) or kinds.is_large_list(type_):
        return pa.list_(pa.field("element", _plain(type_.value_type)))
    if kinds.is_struct(type_):
        return pa.struct(
            [
                (type_.field(place).name, _plain(type_.field(place).type))
                for place in range(type_.num_fields)
            ]
        )
    if kinds.is_map(type_):
        return pa.map_(_plain(type_.key_type), _plain(type_.item_type))
    return type_


def same_type(one: pa.DataType, other: pa.DataType) -> bool:
    """True if Delta stores both types alike."""
    return _plain(delta_type(one)).equals(_plain(delta_type(other)))


def compare_schemas(
    uri: str,
    table: pa.Schema,
    wanted: pa.Schema,
    evolve: bool = False,
    known: Sequence[str] | None = None,
) -> tuple[list[str], list[pa.Field]]:
    """What stands between a table and the rows that are to be written: problems, and columns to
    add.

    With `evolve`, columns that only `wanted` has are to be added, and columns that only the table
    has are left null.

    Args:
        known: names of columns that are told as the table's; None: those of `table`.

    Returns:
        One sentence per difference; the fields to add (empty without `evolve`).

    Runs on: driver
    """
    problems: list[str] = []
    new: list[pa.Field] = []
    cases = {name.lower(): name for name in table.names}
    for field in wanted:
        if field.name not in table.names:
            if evolve and (other := cases.get(field.name.lower())):
                problems.append(
                    f"{uri}: column {field.name} differs from the table's {other} in case only; "
                    "allowed: another name, for Delta tells no case apart"
                )
            elif evolve:
                new.append(field.with_nullable(True))
            else:
                problems.append(
                    f"{uri}: the table has no column {field.name} ({field.type}); its columns are "
                    f"{', '.join(table.names if known is None else known)}"
                )
        elif not same_type(field.type, table.field(field.name).type):
            problems.append(
                f"{uri}: column {field.name} is {table.field(field.name).type} in the table; got "
                f"{field.type}"
            )
    for field in table:
        if field.name not in wanted.names and not (evolve and field.nullable):
            problems.append(
                f"{uri}: the table's column {field.name} ({field.type}) is missing from what is to "
                "be written"
            )
    return problems, new


def skipping_columns(
    schema: pa.Schema, columns: Sequence[str], partition_by: Sequence[str] = ()
) -> str:
    """Value of `delta.dataSkippingStatsColumns`: of these columns, those that Delta may keep
    statistics on.

    Spark refuses the property if it names a partition column (whose values stand in the log anyway)
    or a type without statistics.

    Runs on: driver
    """
    kept = [
        name
        for name in columns
        if name not in partition_by and has_statistics(schema.field(name).type)
    ]
    return ",".join(
        name if name.isidentifier() and name.isascii() else "`" + name.replace("`", "``") + "`"
        for name in kept
    )


def has_statistics(type_: pa.DataType) -> bool:
    """True for the types whose smallest and greatest value Delta may record."""
    return any(
        test(type_)
        for test in (
            kinds.is_integer,
            kinds.is_floating,
            kinds.is_decimal,
            kinds.is_string,
            kinds.is_date,
            kinds.is_timestamp,
        )
    )
