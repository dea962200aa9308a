"""Rules of a pipeline file that span several fields, such as: key columns are columns of the
source.

Owns those that need no other room. They look at the raw document, so that they are told in the same
go as wrong types: each rule keeps quiet where what it needs is not there or not of its kind,
because that is told elsewhere.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path as FilePath
from typing import Any

from batchinfer.config.json_rules import check_json
from batchinfer.config.places import Path
from batchinfer.config.schema import (
    LOG_FORMATS,
    check_pattern,
    folder_fields,
    format_fields,
    pattern_fields,
    pattern_groups,
    text_type,
)
from batchinfer.config.suggestions import among, did_you_mean, listed, shown
from batchinfer.config.types import SqlType, read_type
from batchinfer.config.uris import check_place, check_places
from batchinfer.contracts import LINEAGE, SLICE, SOURCE_FILE, SOURCE_LINE, Problem

_ADDED = (SLICE, SOURCE_FILE, SOURCE_LINE)
# What else stands in such a field may be the secret itself, and is not shown.
_VARIABLE = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_TIMES = ("timestamp", "timestamp_ntz", "date")

# Columns of a source; a type is None where it could not be read.
Columns = dict[str, SqlType | None]


def check_document(document: dict[Any, Any], root: FilePath) -> list[Problem]:
    """Every rule that the document breaks.

    Args:
        document: a pipeline file's content, references filled in.
        root: folder that its relative paths start at.

    Runs on: driver.
    """
    problems: list[Problem] = []
    columns = _columns(document, problems)
    problems += _check_csv(_part(document, "source", "options"))
    problems += check_json(_part(document, "source"))
    problems += _check_changed(_part(document, "source"))
    problems += _check_places(document)
    problems += _check_not_built(document)
    problems += _check_precision(_part(document, "model"))
    problems += _check_time_formats(document)
    problems += _check_target_pattern(_part(document, "train", "target"))
    problems += _check_train_source(document)
    problems += _check_database(document, columns)
    problems += _check_files(_part(document, "checks"), root)
    if columns is not None:
        problems += _check_names(document, columns)
        problems += check_column_names(document, columns)
    return problems


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
    ]


def _part(document: Any, *path: str) -> dict[Any, Any]:
    for key in path:
        document = document.get(key) if isinstance(document, dict) else None
    return document if isinstance(document, dict) else {}


def _columns(document: dict[Any, Any], problems: list[Problem]) -> Columns | None:
    """Columns of the source as far as they can be told; None where they cannot."""
    source, options = _part(document, "source"), _part(document, "source", "options")
    kind = source.get("kind")
    declared = _declared(
        _part(document, "source", "schema"),
        text_type if kind in ("csv", "text_log") else read_type,
        problems,
    )
    if kind in ("images", "texts"):
        return {**folder_fields(kind)}
    if kind != "text_log":
        return declared or None
    format_, pattern = options.get("format"), options.get("pattern")
    if isinstance(format_, str) and format_ in LOG_FORMATS:
        if declared:
            problems.append(
                Problem(
                    ("source", "schema"),
                    f"got a schema; the columns of the format {format_} are fixed; allowed: with "
                    "pattern",
                )
            )
        columns: Columns = {**format_fields(format_)}
    elif isinstance(pattern, str):
        read = _pattern_columns(options, pattern, declared, problems)
        if read is None:
            return None
        columns = read
    else:
        return None
    problems += _check_timestamp(_part(options, "timestamp"), columns)
    return columns


def _declared(
    schema: dict[Any, Any], read: Callable[[str], SqlType], problems: list[Problem]
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
            problems.append(Problem(("source", "schema", name, *path), str(error)))
    return columns


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
    column = _part(options, "timestamp").get("column", "ts") if "timestamp" in options else None
    known = {name: type_ for name, type_ in declared.items() if type_ is not None}
    return {**pattern_fields(groups, column if isinstance(column, str) else None, known)}


def _check_timestamp(timestamp: dict[Any, Any], columns: Columns) -> Iterator[Problem]:
    column = timestamp.get("column", "ts")
    if timestamp and isinstance(column, str) and column not in columns:
        yield Problem(
            ("source", "options", "timestamp", "column"),
            f"no such column: {among(column, columns)}",
        )


def _check_names(document: dict[Any, Any], columns: Columns) -> Iterator[Problem]:
    """Names that are taken, or that differ in case only: Spark and Delta tell no case apart in
    names.
    """
    schema = _part(document, "source", "schema")
    # A Delta table is read in place: nothing is added to its columns, and it may have landed from
    # elsewhere itself.
    added = () if _part(document, "source").get("kind") == "delta" else _ADDED
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
    kind = _part(document, "source").get("kind")
    places = () if kind in ("delta", "jdbc") else (SOURCE_FILE, SOURCE_LINE)
    allowed = [*columns, *places]
    seen: set[str] = set()
    for path, name in _each_name(("source", "key"), _part(document, "source").get("key")):
        if name in (SLICE, *LINEAGE):
            yield Problem(
                path,
                f"got {shown(name)}, a column that predictions tables have anyway; allowed: "
                "columns with other names",
            )
        elif name not in allowed:
            yield Problem(path, f"no such column: {among(name, allowed)}")
        elif name in seen:
            yield Problem(path, f"got {shown(name)} twice; allowed: each column once")
        seen.add(name)


def _each_name(path: Path, value: Any) -> Iterator[tuple[Path, str]]:
    """Each name of a list of names, or of one name alone, with its place."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, list):
        yield from (
            ((*path, place), name) for place, name in enumerate(value) if isinstance(name, str)
        )


def _check_slice(document: dict[Any, Any], columns: Columns) -> Iterator[Problem]:
    rule = _part(document, "source").get("slice", "ingest_date")
    path: Path = ("source", "slice")
    unit = None
    if isinstance(rule, dict):
        path, unit, rule = (*path, "column"), rule.get("unit"), rule.get("column")
    elif rule == "ingest_date":
        return
    if not isinstance(rule, str):
        return
    if rule not in columns:
        yield Problem(path, f"no such column: {among(rule, columns)}, or ingest_date")
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
    column = _part(document, "train", "target").get("column")
    if isinstance(column, str) and column not in columns:
        yield Problem(("train", "target", "column"), f"no such column: {among(column, columns)}")


def _check_target_pattern(target: dict[Any, Any]) -> Iterator[Problem]:
    pattern = target.get("positive_pattern")
    if isinstance(pattern, str):
        try:
            check_pattern(pattern)
        except ValueError as error:
            yield Problem(("train", "target", "positive_pattern"), str(error))


def _check_places(document: dict[Any, Any]) -> Iterator[Problem]:
    """Schemes, and what a URI may not hold. A Delta table is found by those who read Delta's
    log.
    """
    if _part(document, "source").get("kind") == "delta":
        return
    for path in (("source", "path"), ("source", "roots"), ("train", "source", "path")):
        places = list(_each_name(path, _part(document, *path[:-1]).get(path[-1])))
        for place, text in places:
            yield from _refused(place, check_place, text)
        if path[-1] == "path":
            yield from _refused(path, check_places, [text for _, text in places])


def _refused(path: Path, check: Callable[..., None], *arguments: Any) -> Iterator[Problem]:
    try:
        check(*arguments)
    except ValueError as error:
        yield Problem(path, str(error))


def _check_csv(options: dict[Any, Any]) -> Iterator[Problem]:
    delimiter = options.get("delimiter", ",")
    if isinstance(delimiter, str) and delimiter == options.get("quote", '"'):
        yield Problem(
            ("source", "options", "delimiter"),
            f"got {shown(delimiter)}, which is the quote too; allowed: two that differ",
        )
    if isinstance(delimiter, str) and delimiter == options.get("escape"):
        yield Problem(
            ("source", "options", "escape"),
            f"got {shown(delimiter)}, which is the delimiter too; allowed: two that differ",
        )


def _check_changed(source: dict[Any, Any]) -> Iterator[Problem]:
    """Only lines can be appended to a file: anything else that changed is another file."""
    kind = source.get("kind")
    if source.get("on_changed") == "append" and kind in ("parquet", "images", "texts"):
        message = (
            f"got append, but a file of kind {kind} that changed can only be landed anew; "
            "allowed: fail, replace"
        )
        yield Problem(("source", "on_changed"), message)


def _check_database(document: dict[Any, Any], columns: Columns | None) -> Iterator[Problem]:
    """Columns that order and share out the rows of a database; what of it may be landed in place of
    what.
    """
    source, options = _part(document, "source"), _part(document, "source", "options")
    if source.get("kind") != "jdbc":
        return
    for name in ("partition_column", "watermark"):
        path: Path = ("source", "options", name) if name in options else ("source", name)
        column = options.get(name, source.get(name))
        if isinstance(column, str) and columns is not None and column not in columns:
            yield Problem(path, f"no such column: {among(column, columns)}")
    if source.get("on_changed") == "append":
        message = (
            "got append; allowed for a database: fail, replace (rows that are new are read "
            "by a watermark)"
        )
        yield Problem(("source", "on_changed"), message)


def unset_variables(document: dict[Any, Any]) -> list[Problem]:
    """The variables that a source names for addresses and secrets, and that are not set; what they
    hold is not looked at.

    Only for commands that read the source: scores need no password of the database that the rows
    once came from.
    """
    found: list[Problem] = []
    for path in (("source",), ("source", "options")):
        for name, variable in _part(document, *path).items():
            named = isinstance(name, str) and name.endswith("_env") and isinstance(variable, str)
            if named and _VARIABLE.fullmatch(variable) and not os.environ.get(variable):
                found.append(
                    Problem((*path, name), f"variable {variable} is not set; allowed: set it")
                )
    return found


def _check_time_formats(document: dict[Any, Any]) -> Iterator[Problem]:
    """A format without a directive of strptime matches no time: it is most likely Java's."""
    options = _part(document, "source", "options")
    given = {
        ("timestamp_format",): options.get("timestamp_format"),
        ("timestamp", "format"): _part(options, "timestamp").get("format"),
    }
    for path, text in given.items():
        if isinstance(text, str) and "%" not in text:
            message = (
                f"got {shown(text)}; allowed: a format of strptime, such as '%Y-%m-%d %H:%M:%S'"
            )
            yield Problem(("source", "options", *path), message)


def _check_not_built(document: dict[Any, Any]) -> Iterator[Problem]:
    variants = _part(document, "model").get("variants")
    if isinstance(variants, list) and variants:
        message = (
            f"got {shown(variants)}; this version scores the champion only; allowed: no variants"
        )
        yield Problem(("model", "variants"), message)


def _check_precision(model: dict[Any, Any]) -> Iterator[Problem]:
    if model.get("precision") == "fp16" and model.get("device") == "cpu":
        yield Problem(
            ("model", "precision"), "got fp16 beside device: cpu; allowed there: float32, bf16"
        )


def _check_train_source(document: dict[Any, Any]) -> Iterator[Problem]:
    """Labelled data of its own is named by a path, so it has to be files or a Delta table."""
    kind = _part(document, "source").get("kind")
    if kind in ("jdbc", "http") and _part(document, "train").get("source") is not None:
        yield Problem(
            ("train", "source"),
            f"got a path beside a source of kind {kind}; allowed: a pipeline of its own for "
            "labelled data",
        )


def _check_files(checks: dict[Any, Any], root: FilePath) -> Iterator[Problem]:
    for name in ("input", "predictions"):
        written = checks.get(name)
        if not isinstance(written, str):
            continue
        file = root / written
        if not _is_file(file):
            near = did_you_mean(file.name, _file_names(file.parent))
            yield Problem(
                ("checks", name),
                f"no such file: got {shown(written)}{near}, looked for at {file}; allowed: an "
                "expectation file",
            )


def _is_file(file: FilePath) -> bool:
    try:
        return file.is_file()
    except (OSError, ValueError):  # a folder that may not be entered; a name that no file can have
        return False


def _file_names(folder: FilePath) -> list[str]:
    try:
        return sorted(entry.name for entry in folder.iterdir())
    except (OSError, ValueError):
        return []
