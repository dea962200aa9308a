"""Which format the options of a log ask for: one of the known ones, or that of a pattern.

The place where a new format is added. Must not know how lines are matched.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from batchinfer.config.source_options import LogOptions, LogTimestamp
from batchinfer.sources.logs.access_lines import access_format
from batchinfer.sources.logs.json_lines import CADDY, JOURNALD
from batchinfer.sources.logs.log_format import LogFormat
from batchinfer.sources.logs.proxy_lines import SQUID_FORMAT, haproxy_format
from batchinfer.sources.logs.syslog_lines import SYSLOG

_FIXED: Mapping[str, LogFormat] = {
    "syslog": SYSLOG,
    "squid": SQUID_FORMAT,
    "caddy": CADDY,
    "journald": JOURNALD,
}


def log_format(options: LogOptions) -> LogFormat:
    """The format that a pipeline file names, or the one that its pattern makes.

    A pattern is searched for in the line, as it is written: `^` and `$` make it hold for the whole
    line.
    """
    timestamp = options.timestamp
    if options.format is None:
        column = timestamp.column if timestamp else None
        ts_format = (timestamp or LogTimestamp()).format
        pattern = options.pattern or ""
        return LogFormat("the pattern", (pattern,), column, (ts_format,), controls=None)
    extra = tuple(options.extra or ())
    if options.format == "haproxy":
        known = haproxy_format(extra, options.captures == "response")
    elif options.format in _FIXED:
        known = _FIXED[options.format]
    else:
        known = access_format(options.format, options.forwarded, extra)
    if not options.unescape:
        known = replace(known, escapes=None)
    return (
        replace(known, ts_formats=(timestamp.format,)) if timestamp and timestamp.format else known
    )
