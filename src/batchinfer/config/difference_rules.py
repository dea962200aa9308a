"""Rules of a pipeline file about `source.columns`: which kind of source has which of it, and what
goes together.

They look at the raw document, as all `rules` do, and keep quiet where what they need is not of its
kind.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from batchinfer.config.places import mapping_at
from batchinfer.config.suggestions import listed, shown
from batchinfer.contracts import RESCUED, Problem

_FILES = (
    "rows of kind {} always have the columns path, bytes, digest and content: none can be missing, "
    "and none can come; allowed: no columns here"
)
# Why kinds have no such setting.
_NONE = {"images": _FILES.format("images"), "texts": _FILES.format("texts")}
_JSON_LOGS = ("caddy", "journald")
_OF_FORMAT = (
    "the columns of a log are those of its format or pattern, of which none can be missing and to "
    "which none can come"
)
_IN_PLACE = "a Delta table is read in place"


def check_differences(source: dict[Any, Any]) -> Iterator[Problem]:
    """What is wrong with `columns` of the part `source` of a pipeline file.

    Runs on: driver.
    """
    if "columns" not in source:
        return
    kind, rules = source.get("kind"), mapping_at(source, "columns")
    if kind in _NONE:
        yield Problem(("source", "columns"), f"got {shown(source['columns'])}, but {_NONE[kind]}")
    elif kind == "text_log":
        yield from _check_log(source, rules)
    elif kind == "delta":
        yield from _check_delta(source, rules)
    if rules.get("rescue") is True:
        yield from _check_rescue(source, rules)


def _check_log(source: dict[Any, Any], rules: dict[Any, Any]) -> Iterator[Problem]:
    for name in ("missing", "new"):
        if rules.get(name, "auto") != "auto":
            yield Problem(
                ("source", "columns", name),
                f"got {shown(rules[name])}, but {_OF_FORMAT}; allowed: no {name}",
            )
    format_ = {**source, **mapping_at(source, "options")}.get("format")
    if rules.get("rescue") is True and format_ not in _JSON_LOGS:
        yield Problem(
            ("source", "columns", "rescue"),
            f"got true, but {_OF_FORMAT}; allowed: with the formats whose lines are JSON "
            f"({listed(_JSON_LOGS)})",
        )


def _check_delta(source: dict[Any, Any], rules: dict[Any, Any]) -> Iterator[Problem]:
    missing, new = rules.get("missing", "auto"), rules.get("new", "auto")
    if missing not in ("auto", "fail"):
        yield Problem(
            ("source", "columns", "missing"),
            f"got {shown(missing)}, but {_IN_PLACE}, with the columns that it has; allowed: fail, "
            "or a source.schema without the column",
        )
    if new == "add" or rules.get("rescue") is True:
        name = "new" if new == "add" else "rescue"
        yield Problem(
            ("source", "columns", name),
            f"got {shown(rules[name])}, but {_IN_PLACE}: its new columns are there already; "
            "allowed: fail, ignore, or the column in source.schema",
        )
    elif new != "auto" and not mapping_at(source, "schema"):
        yield Problem(
            ("source", "columns", "new"),
            f"got {shown(new)} without source.schema, so that all columns of the table are known; "
            "allowed: source.schema",
        )


def _check_rescue(source: dict[Any, Any], rules: dict[Any, Any]) -> Iterator[Problem]:
    place = ("source", "columns", "rescue")
    new = rules.get("new")
    if new in ("fail", "add"):
        does = "ends the run" if new == "fail" else "gets a column of its own"
        yield Problem(
            place,
            f"got true beside new: {new}, with which a new column {does}, so that nothing would be "
            "left to keep; allowed: one of them",
        )
    header = {**source, **mapping_at(source, "options")}.get("header", True)
    if source.get("kind") == "csv" and header is False:
        yield Problem(
            place,
            "got true, but files with header: false name no columns, so that none can be new; "
            "allowed: header: true",
        )
    for name in mapping_at(source, "schema"):
        if isinstance(name, str) and name.lower() == RESCUED:
            yield Problem(
                ("source", "schema", name),
                f"got the column {name}, which source.columns: {{rescue: true}} makes; allowed: "
                "other names",
            )
