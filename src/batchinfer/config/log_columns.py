"""Columns of the known log formats, and which options a format takes.

Owns their names and types. Reads no data; how lines are written is in `sources/logs`.
"""

from __future__ import annotations

from collections.abc import Mapping

_COMMON = {
    "host": "string",
    "ident": "string",
    "user": "string",
    "ts": "timestamp",
    "request": "string",
    "method": "string",
    "path": "string",
    "protocol": "string",
    "status": "int",
    "bytes": "bigint",
}
_COMBINED = {**_COMMON, "referer": "string", "user_agent": "string"}
LOG_FORMATS: Mapping[str, Mapping[str, str]] = {
    "combined": _COMBINED,
    "common": _COMMON,
    "syslog": {
        "ts": "timestamp",
        "host": "string",
        "program": "string",
        "pid": "int",
        "message": "string",
    },
    "apache": _COMBINED,
    "apache_vhost": {"vhost": "string", "port": "int", **_COMBINED},
    "nginx": {**_COMBINED, "x_forwarded_for": "string"},
    "lighttpd": {"vhost" if name == "ident" else name: each for name, each in _COMBINED.items()},
    "varnish": _COMBINED,
}
# Lines of these begin with an address, and may go on behind the columns that are known.
ACCESS_FORMATS = (
    "combined",
    "common",
    "apache",
    "apache_vhost",
    "nginx",
    "lighttpd",
    "varnish",
)


def format_columns(format_: str, forwarded: bool, extra: Mapping[str, str]) -> dict[str, str]:
    """Columns of a format with what its options add, and their types: `forwarded` in front, `extra`
    behind.

    nginx's `x_forwarded_for` stands behind, too: where `extra` says what stands there, it names
    that one as well.
    """
    known = LOG_FORMATS[format_]
    if format_ == "nginx" and extra:
        known = {name: type_ for name, type_ in known.items() if name != "x_forwarded_for"}
    front = {"forwarded": "string"} if forwarded else {}
    return {**front, **known, **extra}
