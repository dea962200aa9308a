"""Logs whose lines are JSON: Caddy's access log, and what journalctl writes with `-o json`.

Owns which keys become which columns. Other keys are read by `kind: json`. Must not know how values
are typed.

Sources: Caddy, `log` directive and `http.log.access`; systemd, journalctl(1),
systemd.journal-fields(7) and "Journal JSON Format".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pyarrow as pa

from batchinfer.config.log_columns import LOG_FORMATS
from batchinfer.sources.json.plain_road import decode_document
from batchinfer.sources.json.unknown_keys import NOTHING, KnownPlace
from batchinfer.sources.json.values import Fraction, json_text
from batchinfer.sources.logs.log_format import LogFormat, Matched
from batchinfer.sources.rescued import rescued_text

_SHOWN = 80
_UNITS = {
    "h": Decimal(3600),
    "m": Decimal(60),
    "s": Decimal(1),
    "ms": Decimal("1e-3"),
    "µs": Decimal("1e-6"),
    "us": Decimal("1e-6"),
    "ns": Decimal("1e-9"),
}
_DURATION_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(h|ms|m|µs|us|ns|s)")
_DURATION = re.compile(rf"(?:{_DURATION_PART.pattern})+")


class _NoRow(ValueError):
    """A record that gives no row.

    Attributes:
        reason: short, of the quarantine.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass
class _Record:
    """One line's object, and how many of its values held bytes that are not UTF-8."""

    value: Mapping[str, Any]
    replaced: int = field(default=0)

    def text(self, key: str, place: Mapping[str, Any] | None = None) -> str | None:
        """The text of a key; None where it is missing or null."""
        return self._text(key, (self.value if place is None else place).get(key))

    def journal(self, key: str) -> str | None:
        """The text of a field of the journal, which may be a list of bytes."""
        value = self.value.get(key)
        return self._text(key, self._of_bytes(value) if isinstance(value, list) else value)

    def _text(self, key: str, value: Any) -> str | None:
        if value is None:
            return None
        if isinstance(value, dict | list):
            raise _NoRow("type", f"{key}: got {_shown(value)}; allowed: text or a number")
        text = value if isinstance(value, str) else json_text(value)
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise _NoRow("type", f"{key}: got half of a surrogate pair; allowed: text of Unicode")
        return str(text)

    def _of_bytes(self, items: list[Any]) -> Any:
        """What journalctl writes in place of text that no JSON or no terminal can take."""
        if not all(type(item) is int and 0 <= item < 256 for item in items):
            return items
        data = bytes(items)
        try:
            return data.decode()
        except UnicodeDecodeError:
            self.replaced += 1
            return data.decode(errors="replace")


def _shown(value: Any) -> str:
    text = json_text(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


Take = Callable[[_Record], dict[str, str | None]]


def _caddy(record: _Record) -> dict[str, str | None]:
    request = record.value.get("request")
    if not isinstance(request, dict):
        raise _NoRow("no_match", "the line does not match format caddy: it has no request")
    logger = record.text("logger")
    if logger is not None and not logger.startswith("http.log.access"):
        # The same file may hold what went wrong with a request, which has its own line, too.
        raise _NoRow(
            "no_match", f"the line does not match format caddy: it is of the logger {logger}"
        )
    address = record.text("remote_addr", request) or ""
    ip, _, port = address.rpartition(":")
    headers = request.get("headers")
    headers = headers if isinstance(headers, dict) else {}
    status = record.text("status")
    found = {
        "ts": record.text("ts"),
        "level": record.text("level"),
        "logger": logger,
        "host": record.text("remote_ip", request) or ip.strip("[]") or None,
        "port": record.text("remote_port", request) or port or None,
        "client_ip": record.text("client_ip", request),
        "user": record.text("user_id") or None,
        "vhost": record.text("host", request),
        "method": record.text("method", request),
        "path": record.text("uri", request),
        "protocol": record.text("proto", request),
        "status": None if status == "0" else status,
        "bytes": record.text("size"),
        "duration_s": _seconds(record.value.get("duration")),
        "referer": _header(headers, "Referer"),
        "user_agent": _header(headers, "User-Agent"),
    }
    if found["ts"] is None:
        raise _NoRow("no_match", "the line does not match format caddy: it has no ts")
    return found


def _seconds(value: Any) -> str | None:
    """A duration in seconds. Caddy writes seconds with a fraction, or text such as `1m2.5s`; whole
    numbers are nanoseconds or milliseconds, and do not say which.
    """
    if value is None or isinstance(value, Fraction):
        return value
    if type(value) is int and value == 0:
        return "0"
    if isinstance(value, str) and _DURATION.fullmatch(value):
        parts = _DURATION_PART.findall(value)
        return f"{sum(Decimal(number) * _UNITS[unit] for number, unit in parts):f}"
    raise _NoRow(
        "type",
        f"duration: got {_shown(value)}; allowed: seconds with a fraction, or text such as 1m2.5s; "
        "a whole number does not say its unit",
    )


def _header(headers: Mapping[str, Any], name: str) -> str | None:
    """A header's value; those of one that was sent twice are joined, as HTTP says."""
    values = headers.get(name)
    values = [values] if isinstance(values, str) else values
    if not values:
        return None
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise _NoRow("type", f"{name}: got {_shown(values)}; allowed: a list of texts")
    return _Record({name: ", ".join(values)}).text(name)


def _journald(record: _Record) -> dict[str, str | None]:
    ts = record.journal("__REALTIME_TIMESTAMP")
    if ts is None:
        raise _NoRow(
            "no_match", "the line does not match format journald: it has no __REALTIME_TIMESTAMP"
        )
    return {
        "ts": ts,
        "host": record.journal("_HOSTNAME"),
        "program": record.journal("SYSLOG_IDENTIFIER") or record.journal("_COMM"),
        "pid": record.journal("_PID") or record.journal("SYSLOG_PID"),
        "message": record.journal("MESSAGE"),
        "priority": record.journal("PRIORITY"),
        "unit": record.journal("_SYSTEMD_UNIT"),
        "uid": record.journal("_UID"),
        "boot_id": record.journal("_BOOT_ID"),
        "cursor": record.journal("__CURSOR"),
    }


def _reader(
    take: Take, columns: tuple[str, ...], known: KnownPlace
) -> Callable[[pa.Array, bool], Matched]:
    def read(lines: pa.Array, rescue: bool) -> Matched:
        values: dict[str, list[str | None]] = {name: [] for name in columns}
        problems: dict[int, tuple[str, str]] = {}
        rescued: list[str | None] = []
        replaced = 0
        for place, line in enumerate(lines.to_pylist()):
            try:
                record = _record(line)
                found = take(record)
                replaced += record.replaced
                rest = known.rest(record.value) if rescue else NOTHING
            except _NoRow as error:
                problems[place] = (error.reason, str(error))
                found, rest = {}, NOTHING
            rescued.append(None if rest is NOTHING else rescued_text(rest))
            for name in columns:
                values[name].append(found.get(name))
        return Matched(
            {name: pa.array(each, pa.string()) for name, each in values.items()},
            problems,
            replaced,
            pa.array(rescued, pa.string()) if rescue else None,
        )

    return read


def _record(line: str) -> _Record:
    try:
        value = decode_document(line)
    except ValueError as error:
        raise _NoRow("json", f"no JSON: {error}; allowed: one object") from error
    except RecursionError as error:
        raise _NoRow("json", "nested too deeply to be read") from error
    if not isinstance(value, dict):
        raise _NoRow("not_object", f"got {_shown(value)}; allowed: an object")
    return _Record(value)


def _json_format(
    name: str,
    take: Take,
    ts_formats: tuple[str | None, ...],
    known: tuple[str, ...],
    numbers_only: tuple[str, ...] = (),
) -> LogFormat:
    columns = tuple(LOG_FORMATS[name])
    # JSON has escapes of its own, so nothing of what servers send stands raw in it; DEL may.
    return LogFormat(
        f"format {name}",
        (),
        "ts",
        ts_formats,
        numbers_only=numbers_only,
        read=_reader(take, columns, KnownPlace.of_paths(known)),
        controls=b"\t\r\x7f",
    )


# Keys whose values stand in columns whenever they are there: what may stand in for another is not
# here, for it would be lost beside that one.
_CADDY_KEYS = (
    *("ts", "level", "logger", "user_id", "status", "size", "duration"),
    *(f"request.{key}" for key in ("remote_ip", "remote_port", "client_ip")),
    *(f"request.{key}" for key in ("host", "method", "uri", "proto")),
    *("request.headers.Referer", "request.headers.User-Agent"),
)
_JOURNALD_KEYS = (
    *("__REALTIME_TIMESTAMP", "_HOSTNAME", "SYSLOG_IDENTIFIER", "_PID", "MESSAGE", "PRIORITY"),
    *("_SYSTEMD_UNIT", "_UID", "_BOOT_ID", "__CURSOR"),
)
CADDY = _json_format("caddy", _caddy, ("epoch_s", None), _CADDY_KEYS)
# Senders write these two as they like.
JOURNALD = _json_format("journald", _journald, ("epoch_us",), _JOURNALD_KEYS, ("pid", "priority"))
