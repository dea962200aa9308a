"""What there is to know of a way to write log lines, and how lines become columns of text by it.

Owns patterns (RE2), absent values, escapes and request lines. Must not know files, types, or any
server's format.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import compute

from batchinfer.sources.logs.escapes import Escapes, Undone, marked, undo

# Its functions are generated at import, so type checkers do not see them.
pc: Any = compute

_SHOWN = 80
_EMPTY = ("",)
_NAMES = re.compile(r"\(\?P<(\w+)>")
# A column behind the known ones: in quotes, in brackets, or without spaces. An address of IPv6
# stands in brackets, too, with a port behind.
EXTRA = r' (?P<{}>"(?:[^"\\]|\\.)*"|\[[^\]"]*\]|[^\s"\[]\S*|\[[^\]\s"]*\]\S+)'
_NO_EXTRA = ("[-]",)
_FIRST = r"(?s)^\s*([^,]*?)\s*(?:,.*)?$"
_METHOD = r"(?P<method>[!#$%&'*+.^_`|~0-9A-Za-z-]+)"
_PROTOCOL = r"(?P<protocol>HTTP/[0-9.]+)"
# Scanners ask web servers in the words of other protocols, or in small letters.
_ANY_PROTOCOL = r"(?P<protocol>(?i:HTTPS?|RTSP|SIP|ICAP|IPP)/[0-9.]+)"
# With a protocol anything may stand between. Without one (HTTP/0.9, and where the server drops it)
# only a path or a URL. lighttpd drops the path of a request that it refuses.
_REQUEST = (
    # The usual one, which RE2 reads in one go.
    rf"^{_METHOD} (?P<path>[^ ]+) {_PROTOCOL}$",
    rf"(?s)^{_METHOD} +(?P<path>\S(?:.*\S)?) +{_ANY_PROTOCOL}\s*$",
    rf"(?s)^{_METHOD} +(?P<path>(?:[/*]|[A-Za-z][A-Za-z0-9+.-]*://)(?:.*\S)?)\s*$",
    rf"(?s)^{_METHOD}?  {_PROTOCOL}$",
)


@dataclass(frozen=True)
class LogFormat:
    """One way to write a line.

    Attributes:
        name: for messages.
        patterns: tried in order; the first that matches a line reads it.
        ts_column: the group that is the line's timestamp, or None.
        ts_formats: tried in order; None stands for ISO 8601.
        absent: texts, as they are written, that say that a column has no value; of a column that is
            not here, only the empty one.
        quoted: columns that stand in quotes, or not; `[-]` without them is no value, either.
        escapes: what is undone, or None.
        escaped: columns in which it is.
        split_request: whether method, path and protocol are taken from `request`.
        first_of: columns that are the first item of the list in another.
        numbers_only: columns of numbers in which other text is no fault, but no value.
        controls: control characters that a line may hold, as bytes; None: all but NUL.
        lists: columns that hold a list, and what separates its items.
        read: reads lines that no pattern can; None: the patterns do.
        hints: what a line that does not match may be (a pattern of Python's, whose time must grow
            with the line and no faster: lines are a client's), and what to do about it.
    """

    name: str
    patterns: tuple[str, ...]
    ts_column: str | None
    ts_formats: tuple[str | None, ...]
    absent: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    quoted: tuple[str, ...] = ()
    escapes: Escapes | None = None
    escaped: tuple[str, ...] = ()
    split_request: bool = False
    first_of: Mapping[str, str] = field(default_factory=dict)
    numbers_only: tuple[str, ...] = ()
    controls: bytes | None = b""
    lists: Mapping[str, str] = field(default_factory=dict)
    read: Callable[[pa.Array, bool], Matched] | None = None
    hints: tuple[tuple[str, str], ...] = ()

    def unmatched(self, line: str) -> str:
        """Why a line gives no row, in words."""
        hint = next((hint for pattern, hint in self.hints if re.search(pattern, line)), None)
        told = f"the line does not match {self.name}"
        return told if hint is None else f"{told}: {hint}"


@dataclass(frozen=True)
class Matched:
    """Lines as columns.

    Attributes:
        columns: of text; null where there is no value.
        problems: reason and message of the lines that give no row, by their places.
        replaced: number of values with bytes that are not UTF-8.
        rescued: what else stands in each line, as JSON; None: nobody asked for it.
    """

    columns: dict[str, pa.Array]
    problems: dict[int, tuple[str, str]]
    replaced: int = 0
    rescued: pa.Array | None = None


def match_lines(lines: pa.Array, format_: LogFormat, rescue: bool = False) -> Matched:
    """What stands in each line.

    Args:
        rescue: also what no column takes, where lines are JSON.

    Runs on: executor.
    """
    if format_.read is not None:
        return format_.read(lines, rescue)
    columns, matched = _extract(lines, format_.patterns)
    for name in _NAMES.findall("".join(format_.patterns)):
        columns.setdefault(name, pa.nulls(len(lines), pa.string()))
    missed = pc.indices_nonzero(pc.invert(matched)).to_pylist()
    problems = {place: ("no_match", format_.unmatched(lines[place].as_py())) for place in missed}
    for name in format_.quoted:
        columns[name] = _unquoted(without(columns[name], _NO_EXTRA))
    columns = {
        name: without(column, format_.absent.get(name, _EMPTY)) for name, column in columns.items()
    }
    replaced = 0
    if format_.escapes and marked(lines, format_.escapes):
        for name in format_.escaped:
            undone = undo(columns[name], format_.escapes)
            columns[name] = undone.text
            replaced += undone.replaced
            for place in undone.unknown:
                message = _unknown_escape(name, undone.text[place].as_py(), format_)
                problems.setdefault(place, ("escape", message))
    for name, separator in format_.lists.items():
        lists = pc.split_pattern(columns[name], separator)
        undone = _items(lists, format_.escapes)
        columns[name] = _list_of(lists, undone.text)
        replaced += undone.replaced
        owners = pc.list_parent_indices(lists)
        for item in undone.unknown:
            message = _unknown_escape(name, undone.text[item].as_py(), format_)
            problems.setdefault(owners[item].as_py(), ("escape", message))
    for name, other in format_.first_of.items():
        first = pc.replace_substring_regex(columns[other], _FIRST, r"\1")
        columns[name] = without(first, ("", "-"))
    if format_.split_request:
        parts = _extract(columns["request"], _REQUEST)[0]
        columns |= {name: without(part, ("", "-")) for name, part in parts.items()}
    return Matched(columns, problems, replaced)


def _items(lists: pa.Array, escapes: Escapes | None) -> Undone:
    """The items of all lists, null where they are empty."""
    items = without(lists.flatten(), _EMPTY)
    return undo(items, escapes) if escapes else Undone(items)


def _list_of(lists: pa.Array, items: pa.Array) -> pa.Array:
    """The same lists with other items."""
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
    return pa.ListArray.from_arrays(offsets, items, mask=pc.is_null(lists))


def _unknown_escape(name: str, value: str, format_: LogFormat) -> str:
    shown = value if len(value) <= _SHOWN else f"{value[:_SHOWN]}…"
    return (
        f"column {name}: got {shown!r}, which holds an escape that {format_.name} does not have; "
        "unescape: false lands it as it is written"
    )


def without(column: pa.Array, markers: tuple[str, ...]) -> pa.Array:
    """The column, null where it is one of the markers."""
    absent = pc.equal(column, markers[0])
    for marker in markers[1:]:
        absent = pc.or_(absent, pc.equal(column, marker))
    return pc.if_else(absent, pa.scalar(None, column.type), column)


def _unquoted(column: pa.Array) -> pa.Array:
    quoted = pc.starts_with(column, '"')
    return pc.if_else(quoted, pc.utf8_slice_codeunits(column, 1, -1), column)


def _extract(lines: pa.Array, patterns: tuple[str, ...]) -> tuple[dict[str, pa.Array], pa.Array]:
    found = _groups(lines, patterns[0])
    matched = pc.is_valid(found)
    columns = {field.name: pc.struct_field(found, field.name) for field in found.type}
    if len(patterns) == 1 or found.null_count == 0:
        return columns, matched
    missed = pc.invert(matched)
    others, also = _extract(lines.filter(missed), patterns[1:])
    for name, other in others.items():
        columns[name] = pc.replace_with_mask(
            columns.get(name, pa.nulls(len(lines), pa.string())), missed, other
        )
    return columns, pc.replace_with_mask(matched, missed, also)


def _groups(lines: pa.Array, pattern: str) -> pa.StructArray:
    try:
        return pc.extract_regex(lines, pattern)
    except pa.ArrowInvalid:
        # What RE2 cannot do, such as look-around, Python's engine does line by line, several times
        # slower.
        compiled = re.compile(pattern)
        found = [None if line is None else compiled.search(line) for line in lines.to_pylist()]
        groups = pa.struct([(name, pa.string()) for name in compiled.groupindex])
        return pa.array([None if match is None else match.groupdict() for match in found], groups)
