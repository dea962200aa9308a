"""Which format the options of a log ask for: one of the known ones, or that of a pattern.

The place where a new format is added. Must not know how lines are matched.
"""

from __future__ import annotations

from dataclasses import replace

from batchinfer.config.source_options import LogOptions, LogTimestamp
from batchinfer.sources.logs.access_lines import access_format
from batchinfer.sources.logs.log_format import LogFormat
from batchinfer.sources.logs.syslog_lines import SYSLOG


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
    if options.format == "syslog":
        known = SYSLOG
    else:
        known = access_format(options.format, options.forwarded, tuple(options.extra or ()))
    if not options.unescape:
        known = replace(known, escapes=None)
    return (
        replace(known, ts_formats=(timestamp.format,)) if timestamp and timestamp.format else known
    )
