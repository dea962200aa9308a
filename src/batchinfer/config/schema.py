"""Columns that a source gives, and their types.

Owns how the columns of a log format, a pattern's groups and what a schema declares become columns.
Reads no data. Nothing here needs pyarrow but what returns Arrow types, and patterns, which Arrow's
RE2 has to read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from batchinfer.config.log_columns import format_columns
from batchinfer.config.sources import (
    CsvSource,
    HttpSource,
    ImageSource,
    JsonSource,
    LogSource,
    ParquetSource,
    Source,
    TextSource,
)
from batchinfer.config.types import SqlType, read_type, to_arrow
from batchinfer.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa

_FILE_COLUMNS = (("path", "string"), ("bytes", "bigint"), ("digest", "string"))
# One cell of text holds one value; lists, maps and structs have no agreed spelling in it.
_IN_TEXT = (
    "tinyint, smallint, int, bigint, float, double, decimal(p,s), string, boolean, binary, "
    "date, timestamp, timestamp_ntz"
)


def text_type(text: str) -> SqlType:
    """A type that a column of a text file can have.

    Raises:
        ValueError: no such type, or one made of parts; the message says what was got and what is
            allowed.
    """
    type_ = read_type(text)
    if type_.parts or type_.name in ("array", "map", "struct"):
        raise ValueError(
            f"got {text!r}, which no cell of a text file can hold; allowed: {_IN_TEXT}"
        )
    return type_


def pattern_groups(pattern: str) -> tuple[str, ...]:
    """Names of a pattern's groups, in their order.

    RE2 reads the lines, and Python's own engine what RE2 cannot: look-around, back-references.

    Raises:
        ValueError: neither can read the pattern, a group has no name, or there is none.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    # The very function that will read the lines: what it takes here, it takes there.
    # extract_regex is generated at import, so type checkers do not see it.
    extract: Callable[..., pa.Array] = getattr(pc, "extract_regex")  # noqa: B009
    try:
        names = tuple(field.name for field in extract(pa.array([""], pa.string()), pattern).type)
    except (pa.ArrowInvalid, ValueError) as error:
        names = _python_groups(pattern)
        if names is None:
            fact = str(error).split("\n")[0]
            raise ValueError(
                f"got {pattern!r} ({fact}); allowed: a regular expression whose groups all have "
                "names"
            ) from error
    if not names:
        raise ValueError(
            f"got {pattern!r}, without a group; allowed: groups with names, such as (?P<host>\\S+)"
        )
    return names


def _python_groups(pattern: str) -> tuple[str, ...] | None:
    """Names of the groups as Python's engine reads them; None if it cannot, or if some have no
    name.
    """
    try:
        compiled = re.compile(pattern)
    except re.error:
        return None
    return tuple(compiled.groupindex) if len(compiled.groupindex) == compiled.groups else None


def check_pattern(pattern: str) -> None:
    """Whether RE2, which reads all regular expressions here, can read this one.

    Raises:
        ValueError: it cannot.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    match: Callable[..., pa.Array] = getattr(pc, "match_substring_regex")  # noqa: B009
    try:
        match(pa.nulls(1, pa.string()), pattern)
    except (pa.ArrowInvalid, ValueError) as error:
        fact = str(error).split("\n")[0]
        raise ValueError(
            f"got {pattern!r} ({fact}); allowed: a regular expression of RE2 (no look-around, no "
            "back-references)"
        ) from error


def pattern_fields(
    groups: tuple[str, ...], timestamp_column: str | None, declared: Mapping[str, SqlType]
) -> dict[str, SqlType]:
    """Columns of a log with its own pattern: text, but for the timestamp and what the schema
    types.
    """
    fields = {name: declared.get(name, SqlType("string")) for name in groups}
    if timestamp_column in fields and timestamp_column not in declared:
        fields[timestamp_column] = SqlType("timestamp")
    return fields


def format_fields(
    format_: str, forwarded: bool, extra: Mapping[str, str], declared: Mapping[str, SqlType]
) -> dict[str, SqlType]:
    """Columns of a known log format, of the types that the schema declares or else of their own. A
    declared one that the format does not have is told elsewhere.

    Raises:
        ValueError: a type in `extra` that cannot be read, or one declared for a list.
    """
    columns = format_columns(format_, forwarded, extra)
    own = {
        name: text_type(text) if name in extra else read_type(text)
        for name, text in columns.items()
    }
    for name in declared:
        if name in own and own[name].name == "array":
            raise ValueError(f"schema: column {name} of the format {format_} is always a list")
    return {name: declared.get(name, type_) for name, type_ in own.items()}


def folder_fields(kind: str) -> dict[str, SqlType]:
    """Columns of `kind: images` and `kind: texts`, which have no schema of their own."""
    content = "binary" if kind == "images" else "string"
    return {name: SqlType(type_) for name, type_ in (*_FILE_COLUMNS, ("content", content))}


def sql_fields(source: Source) -> dict[str, SqlType] | None:
    """Columns of a source and their types as Spark SQL has them, in the order of the file; None:
    only the source itself knows.

    Raises:
        ValueError: a type or a pattern that cannot be read.
    """
    if isinstance(source, ImageSource | TextSource):
        return folder_fields(source.kind)
    if isinstance(source, JsonSource | HttpSource):
        return {name: read_type(column.type) for name, column in source.schema_.items()}
    if isinstance(source, CsvSource):
        return {name: text_type(column.type) for name, column in source.schema_.items()}
    if isinstance(source, ParquetSource):
        if source.schema_ is None:
            return None
        return {name: read_type(column.type) for name, column in source.schema_.items()}
    if not isinstance(source, LogSource):
        return (
            None
            if source.schema_ is None
            else {name: read_type(text) for name, text in source.schema_.items()}
        )
    declared = {name: text_type(text) for name, text in (source.schema_ or {}).items()}
    options = source.options
    if options.format is not None:
        return format_fields(options.format, options.forwarded, options.extra or {}, declared)
    timestamp = options.timestamp
    return pattern_fields(
        pattern_groups(options.pattern or ""),
        timestamp.column if timestamp else None,
        declared,
    )


def names_in_files(source: CsvSource | ParquetSource) -> dict[str, str]:
    """The name that each declared column has in the files; empty without a schema."""
    return {
        name: name if column.column is None else column.column
        for name, column in (source.schema_ or {}).items()
    }


def schema_fields(source: Source) -> dict[str, pa.DataType] | None:
    """Columns of a source and their Arrow types, in the order of the file; without source_file and
    source_line.

    csv, json, http: as declared. text_log: those of the format; of a pattern the named groups, as
    strings, but for `timestamp.column`; `schema` types both. images, texts: always the same.
    None: parquet, delta or jdbc without a schema, whose columns only the source itself can tell.

    Runs on: driver | executor.

    Raises:
        ConfigError: a type or a pattern that cannot be read (`load_pipeline` has told of it
            already, with its place).
    """
    try:
        fields = sql_fields(source)
    except ValueError as error:
        raise ConfigError(f"source: {error}") from error
    return None if fields is None else {name: to_arrow(type_) for name, type_ in fields.items()}
