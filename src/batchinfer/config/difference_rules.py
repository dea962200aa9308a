"""Rules of a pipeline file about `source.columns`: which kind of source has which of it, and what
goes together.

They look at the raw document, as all `rules` do, and keep quiet where what they need is not of its
kind.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from batchinfer.config.places import mapping_at
from batchinfer.config.suggestions import shown
from batchinfer.contracts import RESCUED, Problem

_FILES = (
    "rows of kind {} always have the columns path, bytes, digest and content: none can be missing, "
    "and none can come; allowed: no columns here"
)
# Why kinds have no such setting.
_NONE = {
    "images": _FILES.format("images"),
    "texts": _FILES.format("texts"),
    "text_log": "the columns of a log are those of its format or pattern: none can be missing, and "
    "none can come; allowed: no columns here",
    "delta": "the columns of a Delta table have to be those of source.schema; allowed: no columns "
    "here",
}


def check_differences(source: dict[Any, Any]) -> Iterator[Problem]:
    """What is wrong with `columns` of the part `source` of a pipeline file.

    Runs on: driver.
    """
    if "columns" not in source:
        return
    kind, rules = source.get("kind"), mapping_at(source, "columns")
    if kind in _NONE:
        yield Problem(("source", "columns"), f"got {shown(source['columns'])}, but {_NONE[kind]}")
    if rules.get("rescue") is True:
        yield from _check_rescue(source, rules)


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
