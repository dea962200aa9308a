"""How lines of syslog are written: RFC 5424, RFC 3164, and what rsyslog makes of either.

Owns their patterns. Must not know how lines are matched.

Sources: RFC 3164; RFC 5424; rsyslog's templates RSYSLOG_TraditionalFileFormat, RSYSLOG_FileFormat
and RSYSLOG_SyslogProtocol23Format; journalctl, output modes short, short-precise and short-iso.
"""

from __future__ import annotations

from batchinfer.sources.logs.log_format import LogFormat

_TS = (
    r"(?P<ts>[A-Z][a-z]{2} [ 0-9][0-9] (?:[0-9]{4} )?[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?|"
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.]+(?:Z|[+-][0-9:]+)?)"
)
# A number is no host: what stands there is a year behind the time, or a broken header.
_HOST = r"(?P<host>[0-9]*[^\s0-9]\S*)"
_HEAD = rf"^(?:<[0-9]{{1,3}}>)?{_TS} {_HOST} "
# The mark of UTF-8 is none of the message's characters.
_MESSAGE = r"(?:\x{FEFF})?(?P<message>.*)$"
DATA = r'(?:-|(?:\[(?:[^"\]]|"(?:[^"\\]|\\.)*")*\])+)'
_PATTERNS = (
    # Version, timestamp, host, program, process, message id, structured data, message. A message
    # that came by RFC 3164 keeps the space in front of it; a process without id leaves nothing.
    rf"^<[0-9]{{1,3}}>1 (?P<ts>\S+) (?P<host>\S+) (?P<program>\S+) (?P<pid>\S*) \S+ {DATA}"
    rf"(?:  ?{_MESSAGE}|$)",
    rf"{_HEAD}(?P<program>[^\s:\[]+)(?:\[(?P<pid>[^\]]*)\])?: ?{_MESSAGE}",
    # What came by RFC 5424 has no colon. Without the id of a process, nothing tells its program
    # from the message.
    rf"{_HEAD}(?P<program>[^\s:\[\]]+)\[(?P<pid>[^\]\s]+)\] {_MESSAGE}",
    # Lines of the logger itself, such as `last message repeated 2 times`, name no program.
    rf"{_HEAD}{_MESSAGE}",
)
SYSLOG = LogFormat(
    "format syslog",
    _PATTERNS,
    "ts",
    ("%b %d %H:%M:%S", None, "%b %d %H:%M:%S.%f", "%b %d %Y %H:%M:%S"),
    dict.fromkeys(("ts", "host", "program", "pid"), ("", "-")),
    numbers_only=("pid",),
    # Daemons write tabs, and rsyslog leaves a DEL as it is.
    controls=b"\t\x7f",
)
