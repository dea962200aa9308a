"""How the lines of known log formats are written.

Owns their regular expressions (RE2), what `-` means in them and how their timestamps are written.
Must not know files.

Sources: Apache HTTP Server, module mod_log_config (common and combined); RFC 3164 and RFC 5424
(syslog).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
from pyarrow import compute

from batchinfer.config.source_options import LogOptions, LogTimestamp

# Its functions are generated at import, so type checkers do not see them.
pc: Any = compute

_QUOTED = r'"(?P<{}>(?:[^"\\]|\\.)*)"'
_HEAD = r"^(?P<host>\S+) (?P<ident>\S+) (?P<user>{user}) \[(?P<ts>[^\]]*)\] " + _QUOTED.format(
    "request"
)
_COMMON = _HEAD + r" (?P<status>\S+) (?P<bytes>\S+)"
_COMBINED = _COMMON + " " + _QUOTED.format("referer") + " " + _QUOTED.format("user_agent")
# A user name may hold spaces; the second pattern is for such lines, because it is the slower one.
_USERS = (r"\S+", r".+?")
_SYSLOG_TS = (
    r"(?P<ts>[A-Z][a-z]{2} [ 0-9][0-9] [0-9:]{8}|[0-9]{4}-[0-9]{2}-[0-9]{2}[T "
    r"][0-9:.]+(?:Z|[+-][0-9:]+)?)"
)
_SYSLOG = (
    # RFC 5424: version, timestamp, host, program, process, message id, structured data, message.
    r"^<[0-9]{1,3}>1 (?P<ts>\S+) (?P<host>\S+) (?P<program>\S+) (?P<pid>\S+) \S+ "
    r"(?:-|(?:\[(?:[^\]\\]|\\.)*\])+)(?: (?P<message>.*))?$",
    rf"^(?:<[0-9]{{1,3}}>)?{_SYSLOG_TS} (?P<host>\S+) "
    r"(?:(?P<program>[^\s:\[]+)(?:\[(?P<pid>[^\]]*)\])?: ?)(?P<message>.*)$",
    # Lines of the logger itself, such as `last message repeated 2 times`, name no program.
    rf"^(?:<[0-9]{{1,3}}>)?{_SYSLOG_TS} (?P<host>\S+) (?P<message>.*)$",
)
# With a protocol anything may stand between; without one (HTTP/0.9) only a path.
_REQUEST = (
    r"^(?P<method>[!#$%&'*+.^_`|~0-9A-Za-z-]+) (?P<path>\S.*) (?P<protocol>HTTP/[0-9.]+)$",
    r"^(?P<method>[!#$%&'*+.^_`|~0-9A-Za-z-]+) (?P<path>/\S*)$",
)
_APACHE_TS = ("%d/%b/%Y:%H:%M:%S %z",)


@dataclass(frozen=True)
class LogFormat:
    """One way to write a line.

    Attributes:
        name: for messages.
        patterns: tried in order; the first that matches a line reads it.
        ts_column: the group that is the line's timestamp, or None.
        ts_formats: strptime formats, tried in order; None stands for ISO 8601.
        absent: columns in which `-` means that there is no value.
        quoted: columns in which a backslash escapes a quote or a backslash.
        split_request: whether method, path and protocol are taken from `request`.
    """

    name: str
    patterns: tuple[str, ...]
    ts_column: str | None
    ts_formats: tuple[str | None, ...]
    absent: tuple[str, ...] = ()
    quoted: tuple[str, ...] = ()
    split_request: bool = False


_FORMATS: Mapping[str, LogFormat] = {
    "common": LogFormat(
        "format common",
        tuple(_COMMON.replace("{user}", user) + "$" for user in _USERS),
        "ts",
        _APACHE_TS,
        ("ident", "user", "bytes"),
        ("request",),
        True,
    ),
    "combined": LogFormat(
        "format combined",
        tuple(_COMBINED.replace("{user}", user) + "$" for user in _USERS),
        "ts",
        _APACHE_TS,
        ("ident", "user", "bytes", "referer", "user_agent"),
        ("request", "referer", "user_agent"),
        True,
    ),
    "syslog": LogFormat(
        "format syslog", _SYSLOG, "ts", ("%b %d %H:%M:%S", None), ("host", "program", "pid")
    ),
}


def log_format(options: LogOptions) -> LogFormat:
    """The format that a pipeline file names, or the one that its pattern makes.

    A pattern is searched for in the line, as it is written: `^` and `$` make it hold for the whole
    line.
    """
    timestamp = options.timestamp
    if options.format is None:
        column = timestamp.column if timestamp else None
        return LogFormat(
            "the pattern", (options.pattern or "",), column, ((timestamp or LogTimestamp()).format,)
        )
    known = _FORMATS[options.format]
    return (
        replace(known, ts_formats=(timestamp.format,)) if timestamp and timestamp.format else known
    )


def match_lines(lines: pa.Array, format_: LogFormat) -> tuple[dict[str, pa.Array], pa.Array]:
    """Columns of text (empty: null) and a boolean mask of the lines that a pattern matched.

    Runs on: executor.
    """
    columns, matched = _extract(lines, format_.patterns)
    for name in format_.quoted:
        if name in columns and pc.any(pc.match_substring(columns[name], "\\")).as_py():
            columns[name] = pc.replace_substring_regex(columns[name], r'\\(["\\])', r"\1")
    if format_.split_request:
        columns |= _extract(columns["request"], _REQUEST)[0]
    markers = {name: ("", "-") if name in format_.absent else ("",) for name in columns}
    return {name: _with_nulls(column, markers[name]) for name, column in columns.items()}, matched


def _with_nulls(column: pa.Array, markers: tuple[str, ...]) -> pa.Array:
    absent = pc.equal(column, markers[0])
    for marker in markers[1:]:
        absent = pc.or_(absent, pc.equal(column, marker))
    return pc.if_else(absent, pa.scalar(None, column.type), column)


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
