"""Rules of a pipeline file about JSON: paths, and what goes with lists whose items become rows.

They look at the raw document, as all `rules` do, and keep quiet where what they need is not of its
kind.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from batchinfer.config.json_paths import read_json_path
from batchinfer.config.places import Path
from batchinfer.config.types import SqlType, read_type
from batchinfer.contracts import SOURCE_FILE, SOURCE_LINE, Problem

# What JSON may be asked for a path, by kind of source.
_PATH_OPTIONS = {"json": ("explode",), "http": ("records_path",)}


def check_json(source: dict[Any, Any]) -> Iterator[Problem]:
    """What is wrong with the part `source` of a pipeline file, if it is of JSON.

    Runs on: driver.
    """
    kind = source.get("kind")
    if kind not in ("json", "http"):
        return
    schema = source.get("schema")
    for name, column in schema.items() if isinstance(schema, dict) else ():
        yield from _check_column(("source", "schema", name), column)
    for option in _PATH_OPTIONS[kind]:
        path, value = _option(source, option)
        if isinstance(value, str):
            yield from _check_path(path, value)
    if kind == "json":
        yield from _check_rows(source)


def _option(source: dict[Any, Any], name: str) -> tuple[Path, Any]:
    """Where an option stands, in `options` or beside `kind`, and its value."""
    options = source.get("options")
    if isinstance(options, dict) and name in options:
        return ("source", "options", name), options[name]
    return ("source", name), source.get(name)


def _check_column(place: Path, column: Any) -> Iterator[Problem]:
    path, type_ = (
        (column.get("path"), column.get("type")) if isinstance(column, dict) else (None, column)
    )
    if isinstance(path, str):
        yield from _check_path((*place, "path"), path)
    if isinstance(type_, str):
        yield from _check_maps((*place, "type") if isinstance(column, dict) else place, type_)


def _check_path(place: Path, text: str) -> Iterator[Problem]:
    try:
        steps = read_json_path(text)
    except ValueError as error:
        yield Problem(place, str(error))
        return
    if isinstance(steps[0], int) and place[-1] != "records_path":
        yield Problem(
            place,
            f"got {text!r}, which starts with an item of a list; allowed: a key first, for records "
            "are objects",
        )


def _check_maps(place: Path, text: str) -> Iterator[Problem]:
    """Keys of a JSON object are text; a type that cannot be read is told elsewhere."""
    try:
        waiting = [read_type(text)]
    except ValueError:
        return
    while waiting:
        type_: SqlType = waiting.pop()
        if type_.name == "map" and type_.parts[0][1].name != "string":
            yield Problem(
                place,
                f"got a map with keys of type {type_.parts[0][1].name}; allowed in JSON: "
                "map<string, …>",
            )
        waiting += [part for _, part in type_.parts]


def _check_rows(source: dict[Any, Any]) -> Iterator[Problem]:
    key = source.get("key", [SOURCE_FILE, SOURCE_LINE])
    names = [key] if isinstance(key, str) else key
    place, explode = _option(source, "explode")
    if (
        isinstance(explode, str)
        and isinstance(names, list)
        and set(map(str, names)) <= {SOURCE_FILE, SOURCE_LINE}
    ):
        where: Path = ("source", "key") if "key" in source else place
        yield Problem(
            where,
            f"got explode: {explode} with the key source_file, source_line, which all rows of one "
            "record share; allowed: a source.key with a column that tells the items of a record "
            "apart",
        )
    if _option(source, "array")[1] is True and source.get("on_changed") == "append":
        message = (
            "got append with array: true, but an array has one end, so no file of it grows; "
            "allowed: fail or replace"
        )
        yield Problem(("source", "on_changed"), message)
