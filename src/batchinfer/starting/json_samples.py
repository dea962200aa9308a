"""Reads the first records of JSON files and finds the types of their keys.

Which kinds of values a key has is told here; what a record is worth, the parser that lands it says.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from batchinfer.config.json_paths import written_path
from batchinfer.config.schema import schema_fields
from batchinfer.config.sources import JsonSource
from batchinfer.contracts import SOURCE_FILE, SOURCE_LINE
from batchinfer.errors import InputError
from batchinfer.sources.readers import plan_source_splits
from batchinfer.sources.text.byte_streams import compression_of, read_stream
from batchinfer.starting.found_data import FoundData
from batchinfer.starting.read_blocks import read_blocks
from batchinfer.starting.sample import (
    MOST_BYTES,
    MOST_RECORDS,
    DataSample,
    FoundOption,
    SampledColumn,
    told,
)
from batchinfer.starting.storable_names import storable_names
from batchinfer.starting.text_types import judge_text

_DEEPEST = 4
_LONG = 2**63
Path = tuple[str, ...]


@dataclass
class _Seen:
    """What was seen under one key: the first line of each kind of value, and its texts."""

    kinds: dict[str, tuple[int, Any]] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    lists_of_objects: int = 0

    def add(self, kind: str, line: int, value: Any) -> None:
        self.kinds.setdefault(kind, (line, value))
        self.lists_of_objects += _is_list_of_objects(value)
        if kind == "text":
            self.texts.append(value)
            self.lines.append(line)


def sample_json(found: FoundData) -> DataSample:
    """Reads the first records of JSON files, and finds their columns: keys, and keys of objects
    inside, by their paths. Lists are left out.

    Runs on: driver.

    Raises:
        InputError: no record with a key.
    """
    is_array = found.head.lstrip()[:1] == b"["
    seen = _keys(found, is_array)
    lists = [path for path, one in seen.items() if "list" in one.kinds]
    kept = {path: one for path, one in seen.items() if path not in lists}
    _check_wrapped(found, seen, kept)
    if not kept:
        raise InputError(f"{found.path}: got no JSON object with a key")
    names = storable_names("_".join(path) for path in kept)
    columns = [
        _typed(name, path, one) for name, (path, one) in zip(names, kept.items(), strict=True)
    ]
    source = JsonSource.model_validate(
        {
            "kind": "json",
            "path": "data",
            "options": {"array": is_array},
            "schema": {
                one.name: {"type": one.type} | ({"path": one.given} if one.given else {})
                for one in columns
            },
            "columns": {"new": "ignore", "missing": "null"},
        }
    )
    fields = schema_fields(source)
    assert fields is not None
    splits = plan_source_splits(found.files, source, fields)
    rows, bad, is_whole = read_blocks(splits, source, fields)
    if not rows.num_rows:
        raise InputError(f"{found.path}: got no record that can be read: {bad[0].message}")
    columns = [replace(one, values=rows.column(one.name).combine_chunks()) for one in columns]
    notes = [f"{written_path(path)} is a list, which is left out." for path in lists]
    notes += [
        f"{count:,} records go to quarantine, reason {reason}; the first is line "
        f"{next(one.source_line for one in bad if one.reason == reason)}"
        for reason, count in Counter(one.reason for one in bad).items()
    ]
    first = rows.slice(0, 1).to_pylist()[0]
    option = FoundOption("array", True, "the file is one list, and not an object a line")
    return DataSample(
        "json",
        found.path,
        rows.num_rows + len(bad),
        is_whole,
        columns,
        [option] if is_array else [],
        notes,
        (first[SOURCE_FILE], first[SOURCE_LINE]),
        bad=len(bad),
    )


def _check_wrapped(
    found: FoundData, seen: Mapping[Path, _Seen], kept: Mapping[Path, _Seen]
) -> None:
    """A file that is one object is no record, but has the records in a list."""
    if kept and (len(found.files) > 1 or all(one.lists_of_objects == 0 for one in seen.values())):
        return
    file = found.files[0]
    if file.size > MOST_BYTES:
        return
    whole = _parsed(b"".join(read_stream(file.path, compression_of(file.name, None))))
    if not isinstance(whole, dict):
        return
    lists = [key for key, value in whole.items() if _is_list_of_objects(value)]
    named = " and ".join(told(key) for key in lists[:3])
    where = f", with a list of objects under {named}" if lists else ""
    raise InputError(
        f"{file.path}: it is one JSON object{where}; allowed: an object a line, or one list of "
        "objects",
        f"write the list under {told(lists[0])} into a file of its own" if lists else None,
    )


def _is_list_of_objects(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _keys(found: FoundData, is_array: bool) -> dict[Path, _Seen]:
    seen: dict[Path, _Seen] = {}
    for number, (line, record) in enumerate(_records(found, is_array)):
        if number >= MOST_RECORDS:
            break
        if isinstance(record, dict):
            _look(record, (), line, seen)
    return {path: one for path, one in seen.items() if one.kinds}


def _look(record: dict[str, Any], above: Path, line: int, seen: dict[Path, _Seen]) -> None:
    for key, value in record.items():
        path = (*above, key)
        if isinstance(value, dict):
            if len(path) < _DEEPEST:
                _look(value, path, line, seen)
            continue
        one = seen.setdefault(path, _Seen())
        if value is not None:
            one.add(_kind(value), line, value)


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "whole" if -_LONG <= value < _LONG else "large"
    if isinstance(value, float):
        return "fraction"
    return "list" if isinstance(value, list) else "text"


def _records(found: FoundData, is_array: bool) -> Iterator[tuple[int, Any]]:
    """Records with their lines; what is no JSON is left to the parser, which tells it."""
    left = MOST_BYTES
    for file in found.files:
        rest, line = b"", 0
        chunks = read_stream(file.path, compression_of(file.name, None))
        if is_array:
            content = b"".join(chunks) if file.size <= MOST_BYTES else b""
            yield from ((1, one) for one in _parsed(content) or ())
            continue
        for chunk in chunks:
            *lines, rest = (rest + chunk).split(b"\n")
            for text in lines:
                line += 1
                yield line, _parsed(text)
            left -= len(chunk)
            if left <= 0:
                return
        yield line + 1, _parsed(rest)


def _parsed(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _typed(name: str, path: Path, seen: _Seen) -> SampledColumn:
    type_, reasons = _type_of(seen)
    given = None if path == (name,) else written_path(path)
    return SampledColumn(name, type_, pa.nulls(0), given, reasons)


def _type_of(seen: _Seen) -> tuple[str, tuple[str, ...]]:
    kinds = set(seen.kinds)
    if kinds == {"boolean"}:
        return "boolean", ()
    if kinds == {"whole"}:
        return "long", ()
    if kinds <= {"whole", "fraction"}:
        line, value = seen.kinds["fraction"]
        return "double", (f"double: line {line} holds {told(value)}, which is no whole number",)
    if kinds == {"text"}:
        judged = judge_text(
            pa.array(seen.texts, pa.string()), lambda row: f"line {seen.lines[row]}"
        )
        is_time = judged.type in ("date", "timestamp")
        return (judged.type, judged.reasons) if is_time else ("string", ())
    if kinds == {"large"}:
        line, value = seen.kinds["large"]
        return "string", (f"string: line {line} holds {told(value)}, too large for a long",)
    line, value = list(seen.kinds.values())[1]
    return "string", (
        f"string: its values are of several kinds ({', '.join(seen.kinds)}), such as {told(value)} "
        f"in line {line}",
    )
