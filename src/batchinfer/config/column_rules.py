"""Rules of a pipeline file about columns: which ones its source has, as far as the file tells, and
whether what names them names one.

They look at the raw document, as all `rules` do, and keep quiet where what they need is not of its
kind.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from batchinfer.config.log_columns import LOG_FORMATS, format_columns
from batchinfer.config.places import Path, each_name, mapping_at
from batchinfer.config.schema import (
    folder_fields,
    pattern_fields,
    pattern_groups,
    text_type,
)
from batchinfer.config.suggestions import among, listed, shown
from batchinfer.config.types import SqlType, read_type
from batchinfer.contracts import (
    NAMES_ALLOWED,
    NOT_IN_NAMES,
    SLICE,
    SOURCE_FILE,
    SOURCE_LINE,
    Problem,
)
from batchinfer.predictions_table import LINEAGE

_ADDED = (SLICE, SOURCE_FILE, SOURCE_LINE)
_ELSEWHERE = {
    "jdbc": "a type; a query names columns anew: select … as …",
    "delta": "a type; a table that is read in place keeps its names",
    "text_log": "a type; the names are those of the format, or of the pattern's groups",
}
_TIMES = ("timestamp", "timestamp_ntz", "date")
# How a column gets a name that can be stored, by kind of source.
_RENAMED = {
    "csv": "order_id: {type: long, column: 'Order ID'} gives the file's column another name",
    "parquet": "order_id: {type: long, column: 'Order ID'} gives the file's column another name",
    "json": "order_id: {type: long, path: …} gives the field another name",
    "http": "order_id: {type: long, path: …} gives the field another name",
    "jdbc": 'source.options.query with "Order ID" as order_id gives the column another name',
    "text_log": "(?P<order_id>…) gives the group its name",
}
# Columns of a source; a type is None where it could not be read.
Columns = dict[str, SqlType | None]


def check_column_names(document: dict[Any, Any], columns: Columns) -> list[Problem]:
    """Whether the key, the slice and the target of a document name columns of its source.

    Args:
        columns: of the source; without a schema, they are known only when the source has been
            looked at.

    Runs on: driver.
    """
    return [
        *_check_key(document, columns),
        *_check_slice(document, columns),
        *_check_target(document, columns),
        *_check_carry(document, columns),
        *_check_sensitive(document, columns),
    ]


def check_outcome_key(document: dict[Any, Any]) -> Iterator[Problem]:
    """Whether `outcomes.key` names a column for each of the pipeline's key."""
    source = mapping_at(document, "source")
    usual = ["path"] if source.get("kind") in ("images", "texts") else [SOURCE_FILE, SOURCE_LINE]
    named = [name for _, name in each_name((), mapping_at(document, "outcomes").get("key"))]
    own = [name for _, name in each_name((), source.get("key", usual))]
    if named and len(named) != len(own):
        yield Problem(
            ("outcomes", "key"),
            f"got {len(named)} columns ({listed(named)}); allowed: {len(own)}, one for each column "
            f"of the pipeline's key ({listed(own)})",
        )


def declared_columns(document: dict[Any, Any], problems: list[Problem]) -> Columns | None:
    """Columns of the source as far as they can be told; None where they cannot."""
    source, options = mapping_at(document, "source"), mapping_at(document, "source", "options")
    kind = source.get("kind")
    declared = _declared(
        mapping_at(document, "source", "schema"),
        text_type if kind in ("csv", "text_log") else read_type,
        problems,
    )
    if kind in ("images", "texts"):
        return {**folder_fields(kind)}
    if kind != "text_log":
        return declared or None
    # They may stand beside `kind`, too.
    options = {**source, **options}
    format_, pattern = options.get("format"), options.get("pattern")
    if isinstance(format_, str) and format_ in LOG_FORMATS:
        columns: Columns = _format_columns(format_, options, declared, problems)
    elif isinstance(pattern, str):
        read = _pattern_columns(options, pattern, declared, problems)
        if read is None:
            return None
        columns = read
    else:
        return None
    problems += _check_timestamp(mapping_at(options, "timestamp"), columns)
    return columns


def _declared(
    schema: dict[Any, Any],
    read: Callable[[str], SqlType],
    problems: list[Problem],
    place: Path = ("schema",),
) -> Columns:
    columns: Columns = {}
    for name, column in schema.items():
        # A column of JSON may be a mapping with its type and its path.
        path, text = (("type",), column.get("type")) if isinstance(column, dict) else ((), column)
        if not (isinstance(name, str) and isinstance(text, str)):
            continue
        try:
            columns[name] = read(text)
        except ValueError as error:
            columns[name] = None
            problems.append(Problem(("source", *place, name, *path), str(error)))
    return columns


def _format_columns(
    format_: str, options: dict[Any, Any], declared: Columns, problems: list[Problem]
) -> Columns:
    extra = _declared(mapping_at(options, "extra"), text_type, problems, ("options", "extra"))
    names = format_columns(format_, options.get("forwarded") is True, dict.fromkeys(extra, ""))
    for name in declared:
        if name not in names:
            problems.append(
                Problem(
                    ("source", "schema", name),
                    f"no such column of the format {format_}: {among(name, names)}; what stands "
                    "behind them is named in options.extra",
                )
            )
    known = {name: read_type(text) for name, text in names.items() if name not in extra}
    return {name: declared.get(name, extra.get(name, known.get(name))) for name in names}


def _pattern_columns(
    options: dict[Any, Any], pattern: str, declared: Columns, problems: list[Problem]
) -> Columns | None:
    try:
        groups = pattern_groups(pattern)
    except ValueError as error:
        problems.append(Problem(("source", "options", "pattern"), str(error)))
        return None
    for name in declared:
        if name not in groups:
            problems.append(
                Problem(
                    ("source", "schema", name),
                    f"no such group in the pattern: {among(name, groups)}",
                )
            )
    column = (
        mapping_at(options, "timestamp").get("column", "ts") if "timestamp" in options else None
    )
    known = {name: type_ for name, type_ in declared.items() if type_ is not None}
    return {**pattern_fields(groups, column if isinstance(column, str) else None, known)}


def _check_timestamp(timestamp: dict[Any, Any], columns: Columns) -> Iterator[Problem]:
    column = timestamp.get("column", "ts")
    if timestamp and isinstance(column, str) and column not in columns:
        yield Problem(
            ("source", "options", "timestamp", "column"),
            f"no such column: {among(column, columns)}",
        )


def check_storable_names(document: dict[Any, Any], columns: Columns | None) -> Iterator[Problem]:
    """Names that Delta cannot store: of landed columns, of fields inside of them, and of a key,
    which every predictions table has.
    """
    kind = mapping_at(document, "source").get("kind")
    if kind == "delta":
        # Read in place, whatever its names are.
        key = each_name(("source", "key"), mapping_at(document, "source").get("key"))
        places: list[tuple[Path, str]] = list(key)
    else:
        schema = mapping_at(document, "source", "schema")
        places = [
            (("source", "schema", column) if column in schema else ("source", "options"), name)
            for column, type_ in (columns or {}).items()
            for name in (column, *(_field_names(type_) if type_ else ()))
        ]
    for path, name in places:
        if re.search(NOT_IN_NAMES, name):
            how = f" ({_RENAMED[kind]})" if kind in _RENAMED else ""
            yield Problem(
                path,
                f"got the name {shown(name)}, which Delta cannot store; allowed: "
                f"{NAMES_ALLOWED}{how}",
            )


def _field_names(type_: SqlType) -> Iterator[str]:
    for name, part in type_.parts:
        yield name
        yield from _field_names(part)


def check_file_names(source: dict[Any, Any]) -> Iterator[Problem]:
    """Names that columns have in files: each one is there once, and files have names at all."""
    kind, schema = source.get("kind"), mapping_at(source, "schema")
    header = {**source, **mapping_at(source, "options")}.get("header", True)
    seen: dict[str, str] = {}
    for name, column in schema.items():
        path: Path = ("source", "schema", name)
        if not isinstance(name, str):
            continue
        if isinstance(column, dict) and kind in _ELSEWHERE:
            yield Problem(path, f"got {shown(column)}; allowed: {_ELSEWHERE[str(kind)]}")
        if kind in ("csv", "parquet"):
            given = column.get("column") if isinstance(column, dict) else None
            if given is not None and kind == "csv" and header is False:
                message = (
                    "got a name, but files with header: false have none; allowed: header: true"
                )
                yield Problem((*path, "column"), message)
            found = given if isinstance(given, str) else name
            if found in seen:
                yield Problem(
                    path,
                    f"got the column {shown(found)} of the file, which {seen[found]} is already; "
                    "allowed: each column once",
                )
            seen[found] = name


def check_times(document: dict[Any, Any], columns: Columns) -> Iterator[Problem]:
    """A way to write times is of columns that are times; one of no column would change nothing."""
    source = mapping_at(document, "source")
    inside = mapping_at(source, "options")
    written = {**source, **inside}.get("timestamp_format")
    if written is None or source.get("kind") not in ("csv", "json", "http"):
        return
    if not any(type_ is None or _has_time(type_) for type_ in columns.values()):
        place = ("options",) if "timestamp_format" in inside else ()
        yield Problem(
            ("source", *place, "timestamp_format"),
            f"got {shown(written)}, but no column of source.schema is a timestamp or a date; "
            "allowed: one at least, or no timestamp_format",
        )


def _has_time(type_: SqlType) -> bool:
    inside = any(_has_time(part) for _, part in type_.parts)
    return inside or type_.name in ("timestamp", "timestamp_ntz", "date")


def check_distinct_names(document: dict[Any, Any], columns: Columns) -> Iterator[Problem]:
    """Names that are taken, or that differ in case only: Spark and Delta tell no case apart in
    names.
    """
    schema = mapping_at(document, "source", "schema")
    kind = mapping_at(document, "source").get("kind")
    # A Delta table is read in place: nothing is added to its columns, and it may have landed from
    # elsewhere itself.
    added = () if kind == "delta" else _ADDED
    taken = {name: f"a name that every landed table has (its own {name})" for name in added}
    for name in columns:
        path: Path = (
            ("source", "schema", name) if name in schema else ("source", "options", "pattern")
        )
        if reason := taken.get(name.lower()):
            yield Problem(path, f"got the column {shown(name)}, {reason}; allowed: other names")
        taken[name.lower()] = f"which differs from {name} in case only"


def _check_key(document: dict[Any, Any], columns: Columns) -> Iterator[Problem]:
    # A Delta table is read in place; a database knows no order of its rows, and names each reading
    # of it anew.
    kind = mapping_at(document, "source").get("kind")
    places = () if kind in ("delta", "jdbc") else (SOURCE_FILE, SOURCE_LINE)
    allowed = [*columns, *places]
    seen: set[str] = set()
    for path, name in each_name(("source", "key"), mapping_at(document, "source").get("key")):
        if name in (SLICE, *LINEAGE):
            yield Problem(
                path,
                f"got {shown(name)}, a column that predictions tables have anyway; allowed: "
                "columns with other names",
            )
        elif name not in allowed:
            yield Problem(path, _absent(document, name, allowed))
        elif name in seen:
            yield Problem(path, f"got {shown(name)} twice; allowed: each column once")
        seen.add(name)


def _absent(document: dict[Any, Any], name: str, allowed: Iterable[str]) -> str:
    """What is said of a name that is no column, or one that only the model gets."""
    if name in mapping_at(document, "derive"):
        return (
            f"got {shown(name)}, which derive makes for the model alone; allowed: columns of the "
            f"rows themselves: {listed(allowed, none='there is none')}"
        )
    return f"no such column: {among(name, allowed)}"


def _check_slice(document: dict[Any, Any], columns: Columns) -> Iterator[Problem]:
    rule = mapping_at(document, "source").get("slice", "ingest_date")
    path: Path = ("source", "slice")
    unit = None
    if isinstance(rule, dict):
        path, unit, rule = (*path, "column"), rule.get("unit"), rule.get("column")
    elif rule == "ingest_date":
        return
    if not isinstance(rule, str):
        return
    if rule not in columns:
        yield Problem(path, f"{_absent(document, rule, columns)}, or ingest_date")
    elif unit is not None and (type_ := columns[rule]) is not None:
        if type_.name not in _TIMES:
            times = [
                name
                for name, other in columns.items()
                if other is not None and other.name in _TIMES
            ]
            yield Problem(
                path,
                f"got {rule}, of type {type_.name}; allowed with a unit: columns of time "
                f"({listed(times, none='there is none')})",
            )
        elif (type_.name, unit) == ("date", "hour"):
            yield Problem(
                ("source", "slice", "unit"), f"got hour, but {rule} is a date; allowed: day, month"
            )


def _check_target(document: dict[Any, Any], columns: Columns) -> Iterator[Problem]:
    column = mapping_at(document, "train", "target").get("column")
    if isinstance(column, str) and column not in columns:
        yield Problem(("train", "target", "column"), _absent(document, column, columns))


def _check_carry(document: dict[Any, Any], columns: Columns) -> Iterator[Problem]:
    kind = mapping_at(document, "source").get("kind")
    places = () if kind == "delta" else (SOURCE_FILE, SOURCE_LINE)
    told = mapping_at(document, "source").get("key", places)
    # What is no name and no list of names, other rules tell.
    keys = [told] if isinstance(told, str) else told if isinstance(told, list | tuple) else ()
    allowed = [
        name for name in (*columns, *places) if name not in keys and not _is_of_predictions(name)
    ]
    seen: set[str] = set()
    for path, name in each_name(("sink", "carry"), mapping_at(document, "sink").get("carry")):
        if _is_of_predictions(name) or name in keys:
            yield Problem(
                path,
                f"got {shown(name)}, a column that predictions tables have anyway; allowed: "
                f"{listed(allowed, none='there is no other column')}",
            )
        elif name not in allowed:
            yield Problem(path, _absent(document, name, allowed))
        elif name in seen:
            yield Problem(path, f"got {shown(name)} twice; allowed: each column once")
        seen.add(name)


def _check_sensitive(document: dict[Any, Any], columns: Columns) -> Iterator[Problem]:
    source = mapping_at(document, "source")
    rule = source.get("slice")
    slice_column = rule.get("column") if isinstance(rule, dict) else rule
    allowed = [name for name in (*columns, *mapping_at(document, "derive")) if name != slice_column]
    for path, name in each_name(("sensitive",), document.get("sensitive")):
        if name in (SLICE, slice_column, SOURCE_FILE, SOURCE_LINE):
            yield Problem(
                path,
                f"got {shown(name)}, by which messages say where a row is; allowed: "
                f"{listed(allowed, none='there is no other column')}",
            )
        elif name not in allowed:
            yield Problem(path, f"no such column: {among(name, allowed)}")


def _is_of_predictions(name: str) -> bool:
    """Whether it is the slice or says where a prediction came from: Delta tells no case apart."""
    return name.lower() in (SLICE, *LINEAGE)
