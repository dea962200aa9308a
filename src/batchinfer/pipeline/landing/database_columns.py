"""Which columns of a database are read, and what they become: those of the schema, those that came
besides, and those that are rescued.

Owns `source.columns` of databases. Must not know SQL nor connections.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchinfer.config.schema import sql_fields
from batchinfer.config.shapes.source_columns import ColumnRules
from batchinfer.config.sources import JdbcSource
from batchinfer.config.suggestions import among
from batchinfer.config.types import parse_ddl, spark_name
from batchinfer.errors import InputError
from batchinfer.pipeline.landing.increment import Landing
from batchinfer.sources.databases import jdbc
from batchinfer.sources.databases.sql_dialects import DatabaseColumn, SqlDialect
from batchinfer.sources.file_columns import (
    NewColumn,
    WantedColumns,
    added_columns,
)
from batchinfer.sources.rescued import is_rescued

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class ReadColumns:
    """The columns of one extraction.

    Attributes:
        fields: Spark SQL types of the columns that land, but for the one of what is rescued.
        read: of the columns that are read, in the order in which they cross.
        notes: what is to be told of columns that are missing.
    """

    fields: Mapping[str, str]
    read: Mapping[str, str]
    notes: Sequence[str]


def choose_columns(
    landing: Landing, columns: Sequence[DatabaseColumn], dialect: SqlDialect
) -> ReadColumns:
    """What is read of the columns that a database has.

    With a schema, its columns are wanted; without, those that have landed, and a new one lands too
    unless `source.columns.new` says otherwise.

    Runs on: driver.

    Raises:
        InputError: every column that is missing or new and may not be, that is of another type, or
            that cannot be landed; a key, slice, watermark or partition column that is not there.
    """
    source = landing.source
    assert isinstance(source, JdbcSource)
    options, declared = source.options, source.schema_
    own = {column.name: dialect.type_of(column) for column in columns}
    landed = _landed(landing)
    before = {name: spark_name(type_) for name, type_ in landed.items()}
    wanted = declared if declared is not None else before or own
    rules = _rules(source)
    needed = [*source.key, *([] if isinstance(source.slice, str) else [source.slice.column])]
    held = WantedColumns(
        {name: name for name in wanted},
        rules,
        landing.optional,
        frozenset([*needed, *filter(None, (options.watermark, options.partition_column))]),
        of_files=False,
    ).hold(list(own))
    lands = [*wanted, *(held.new if rules.new == "add" else ())]
    name = jdbc.source_name(options)
    jdbc.check_database_columns(options, columns, sql_fields(source), dialect, held, lands)
    fields = dict(wanted) if declared is not None else {**wanted, **_only(own, wanted)}
    if rules.new == "add":
        new = [NewColumn(name, each, own[each]) for each in held.new]
        kept = {each: parse_ddl(type_) for each, type_ in fields.items()}
        fields = {**fields, **{each: own[each] for each in added_columns(new, kept, landed)}}
    _check_key(needed, name, fields)
    read = {each: type_ for each, type_ in fields.items() if each in own}
    if rules.rescue:
        read |= {each: own[each] for each in held.new}
    notes = [
        f"column {column} is missing in {name}: null in its rows"
        for column in (held.missing if rules.missing != "null" else ())
    ]
    return ReadColumns(fields, read, notes)


def _rules(source: JdbcSource) -> ColumnRules:
    """Without a schema, the database's columns are the contract, so that new ones land."""
    rules = source.columns
    if source.schema_ is None and rules.new == "auto" and not rules.rescue:
        return rules.model_copy(update={"new": "add"})
    return rules


def _landed(landing: Landing) -> dict[str, pa.DataType]:
    from batchinfer.lake.delta import exists
    from batchinfer.pipeline.slices.table_columns import table_fields

    fields = table_fields(landing.table) if exists(landing.table) else {}
    return {name: type_ for name, type_ in fields.items() if not is_rescued(landing.source, name)}


def _only(types: Mapping[str, str], names: Collection[str]) -> dict[str, str]:
    return {name: type_ for name, type_ in types.items() if name in names}


def _check_key(needed: Sequence[str], name: str, fields: Mapping[str, str]) -> None:
    problems = [
        f"{name}: no such column: {among(each, fields)}" for each in needed if each not in fields
    ]
    if problems:
        raise InputError(problems)
