"""Overrides of a pipeline file: `--set a.b=value` on the command line, `overrides={"a.b": value}`
in Python.

Owns the syntax of override paths and how a value is put into a document. What may stand at a path
is told later, by the checks that the file itself goes through; an override is then named as the
place.
"""

from __future__ import annotations

import datetime
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from batchinfer.config.document import read_document
from batchinfer.config.places import Spot, dotted
from batchinfer.config.suggestions import among, shown
from batchinfer.config.wording import is_private
from batchinfer.credentials import HIDDEN

# Overrides come before the file's own problems.
_ORDER = -1
_MAX_DEPTH = 64
_SEGMENT = re.compile(r'"(?P<quoted>[^"]+)"|(?P<name>[^.\[\]"]+)|\[(?P<index>\d+)\]')
Overrides = Mapping[str, Any] | Sequence[str]


class _Refused(Exception):
    """An override that cannot be carried out; the text is the end of its sentence."""


def apply_overrides(document: dict[Any, Any], spot: Spot, overrides: Overrides) -> list[str]:
    """Puts each override into the document, in place, the last one for a path winning; returns one
    sentence a problem.

    Values of `--set` are read as YAML, so `--set train.params.hidden=[64,32]` is a list of numbers.
    Values given in Python are taken as they are.
    """
    sentences: list[str] = []
    for place, (where, path, value, value_spot) in enumerate(_read(overrides, sentences)):
        value_spot.order = (_ORDER, place, 0)
        try:
            _put(document, spot, split_path(path, document), value, value_spot)
        except _Refused as refused:
            sentences.append(f"{where}: {refused}")
    return sentences


def _read(overrides: Overrides, sentences: list[str]) -> list[tuple[str, str, Any, Spot]]:
    """(how the override was written, path, value, spot) of each that can be read."""
    found: list[tuple[str, str, Any, Spot]] = []
    if isinstance(overrides, Mapping):
        for path, value in overrides.items():
            where = f"overrides[{shown(path)}]"
            try:
                if not isinstance(path, str):
                    raise _Refused(
                        f"got {shown(path)} as the path; allowed: text such as 'model.batch.rows'"
                    )
                found.append((where, path, _plain(value, 0), Spot(where)))
            except _Refused as refused:
                sentences.append(f"{where}: {refused}")
        return found
    for text in [overrides] if isinstance(overrides, str) else overrides:
        path, equals, written = text.partition("=") if isinstance(text, str) else ("", "", "")
        private = is_private(path) or (written.lstrip().startswith("{") and is_private(written))
        where = f"--set {path}={HIDDEN}" if private else f"--set {text}"
        if not equals or not path.strip():
            sentences.append(
                f"{where}: got {shown(text)}; allowed: path=value, such as model.batch.rows=512"
            )
            continue
        read = read_document(written, where, positions=False)
        sentences.extend(read.places.sentence(problem) for problem in read.problems)
        if not read.problems:
            found.append((where, path.strip(), read.value, read.places.root))
    return found


def _plain(value: Any, depth: int) -> Any:
    """A value from Python, as YAML would have given it; copied, so that no override changes what
    the caller holds.
    """
    if depth > _MAX_DEPTH:
        raise _Refused(f"got a value nested more than {_MAX_DEPTH} deep")
    if isinstance(value, Mapping):
        return {_key(key): _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, depth + 1) for item in value]
    if isinstance(value, os.PathLike):
        return str(os.fspath(value))
    if value is None or isinstance(value, (str, bool, int, float, datetime.date)):
        return value
    raise _Refused(
        f"got {shown(value)} ({type(value).__name__}); allowed: text, numbers, true, false, None, "
        "lists and mappings of these"
    )


def _key(key: Any) -> Any:
    if key is None or isinstance(key, (str, bool, int, float, datetime.date)):
        return key
    raise _Refused(f"got {shown(key)} as a key; allowed: text and numbers")


def split_path(text: str, document: Any) -> list[str | int]:
    """Parts of a path such as `features[2].clip.columns`; `features.2.clip` means the same.

    A key that has a dot in it (a column named pm2.5) is found where the document has it; otherwise
    it is quoted: `source.schema."pm2.5"`.
    """
    parts = _segments(text)
    path: list[str | int] = []
    value = document
    while parts:
        taken = 1
        if isinstance(value, dict):
            joins = [
                n
                for n in range(len(parts), 1, -1)
                if all(isinstance(p, str) for p in parts[:n])
                and ".".join(map(str, parts[:n])) in value
            ]
            taken = joins[0] if joins and parts[0] not in value else 1
        part: str | int = parts[0] if taken == 1 else ".".join(map(str, parts[:taken]))
        if isinstance(value, list) and isinstance(part, str) and part.isascii() and part.isdigit():
            part = int(part)
        path.append(part)
        value = _child(value, part)
        parts = parts[taken:]
    return path


def _segments(text: str) -> list[str | int]:
    parts: list[str | int] = []
    at = 0
    while at < len(text):
        if parts and text[at] == ".":
            at += 1
        match = _SEGMENT.match(text, at)
        if match is None or (match["index"] is not None and len(match["index"]) > 9):
            break
        parts.append(
            int(match["index"])
            if match["index"] is not None
            else (match["quoted"] or match["name"]).strip()
        )
        at = match.end()
    if at < len(text) or not parts or "" in parts or text.endswith("."):
        raise _Refused(
            f"got the path {shown(text)}; allowed: names with dots between them and [numbers], "
            "such as features[2].clip.columns"
        )
    return parts


def _child(value: Any, part: str | int) -> Any:
    if isinstance(value, dict):
        return value.get(part)
    if isinstance(value, list) and isinstance(part, int) and part < len(value):
        return value[part]
    return None


def _put(
    document: dict[Any, Any], spot: Spot, path: list[str | int], value: Any, value_spot: Spot
) -> None:
    """Sets the value at the path; mappings that are not there yet are made on the way."""
    here: Any = document
    for depth, part in enumerate(path):
        last = depth == len(path) - 1
        _check_step(here, part, path[:depth])
        child = value if last else _child(here, part)
        if child is None and not last:
            child = {}
        here[part] = child
        if last:
            spot.children[part] = value_spot
        elif part not in spot.children:
            spot.children[part] = Spot(value_spot.where, value_spot.order)
        here, spot = child, spot.children[part]


def _check_step(here: Any, part: str | int, before: list[str | int]) -> None:
    at = dotted(before) or "the document"
    if isinstance(here, dict):
        if isinstance(part, int):
            raise _Refused(
                f"got [{part}], but {at} is a mapping; allowed: its keys: "
                f"{', '.join(map(str, here)) or 'none yet'}"
            )
        return
    if not isinstance(here, list):
        raise _Refused(
            f"got {shown(part)} below {at}, which is {shown(here)}; allowed: paths that lead "
            "through mappings and lists"
        )
    if not isinstance(part, int):
        raise _Refused(
            f"{at} is a list: {among(part, [], none=f'numbers from 0 to {len(here) - 1}')}"
        )
    if part >= len(here):
        raise _Refused(
            f"got [{part}], but {at} has {len(here)} items; allowed: numbers from 0 to "
            f"{len(here) - 1}"
        )
