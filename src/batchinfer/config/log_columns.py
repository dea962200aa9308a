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
    "haproxy": {
        "log_host": "string",
        "program": "string",
        "pid": "int",
        "host": "string",
        "port": "int",
        "ts": "timestamp",
        "frontend": "string",
        "backend": "string",
        "server": "string",
        "request_ms": "bigint",
        "queue_ms": "bigint",
        "connect_ms": "bigint",
        "response_ms": "bigint",
        "total_ms": "bigint",
        "status": "int",
        "bytes": "bigint",
        "request_cookie": "string",
        "response_cookie": "string",
        "state": "string",
        "active": "int",
        "frontend_active": "int",
        "backend_active": "int",
        "server_active": "int",
        "retries": "int",
        "server_queue": "int",
        "backend_queue": "int",
        "request_captures": "array<string>",
        "response_captures": "array<string>",
        "request": "string",
        "method": "string",
        "path": "string",
        "protocol": "string",
    },
    "squid": {
        "ts": "timestamp",
        "duration_ms": "bigint",
        "host": "string",
        "ident": "string",
        "user": "string",
        "result": "string",
        "status": "int",
        "bytes": "bigint",
        "method": "string",
        "url": "string",
        "protocol": "string",
        "hierarchy": "string",
        "server": "string",
        "content_type": "string",
        "referer": "string",
        "user_agent": "string",
    },
    "caddy": {
        "ts": "timestamp",
        "level": "string",
        "logger": "string",
        "host": "string",
        "port": "int",
        "client_ip": "string",
        "user": "string",
        "vhost": "string",
        "method": "string",
        "path": "string",
        "protocol": "string",
        "status": "int",
        "bytes": "bigint",
        "duration_s": "double",
        "referer": "string",
        "user_agent": "string",
    },
    "journald": {
        "ts": "timestamp",
        "host": "string",
        "program": "string",
        "pid": "bigint",
        "message": "string",
        "priority": "int",
        "unit": "string",
        "uid": "bigint",
        "boot_id": "string",
        "cursor": "string",
    },
}
# Lines of these begin with an address.
ACCESS_FORMATS = (
    "combined",
    "common",
    "apache",
    "apache_vhost",
    "nginx",
    "lighttpd",
    "varnish",
)
EXTRA_FORMATS = (*ACCESS_FORMATS, "haproxy")
# Lines of these have nothing that could be undone without doubt.
PLAIN_FORMATS = ("syslog", "caddy", "journald")


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
