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
# A number is no host: what stands there is a year behind the time, or a broken header. Nor is
# what ends with a colon, or holds the id of a process: that is a program.
_HOST = r"(?P<host>[^\s\[\]]*[^\s\[\]0-9][^\s\[\]]*[^\s\[\]:]|[^\s\[\]]*[^\s\[\]0-9:])"
_TIME = rf"^(?:<[0-9]{{1,3}}>)?{_TS} "
_HEAD = rf"{_TIME}{_HOST} "
_PROGRAM = r"(?P<program>{})(?:\[(?P<pid>[^\]]*)\])?: ?"
# The mark of UTF-8 is none of the message's characters.
_MESSAGE = r"(?:\x{FEFF})?(?P<message>.*)$"
DATA = r'(?:-|(?:\[(?:[^"\]]|"(?:[^"\\]|\\.)*")*\])+)'
_PATTERNS = (
    # Version, timestamp, host, program, process, message id, structured data, message. A message
    # that came by RFC 3164 keeps the space in front of it; a process without id leaves nothing.
    rf"^<[0-9]{{1,3}}>1 (?P<ts>\S+) (?P<host>\S+) (?P<program>\S+) (?P<pid>\S*) \S+ {DATA}"
    rf"(?:  ?{_MESSAGE}|$)",
    _HEAD + _PROGRAM.format(r"[^\s:\[]+") + _MESSAGE,
    # What came by RFC 5424 has no colon. Without the id of a process, nothing tells its program
    # from the message.
    rf"{_HEAD}(?P<program>[^\s:\[\]]+)\[(?P<pid>[^\]\s]+)\] {_MESSAGE}",
    # Lines of the logger itself, such as `last message repeated 2 times`, name no program.
    rf"{_HEAD}{_MESSAGE}",
    # What programs send to their own machine names no host; nor does journalctl where the journal
    # does not, or with --no-hostname. An address is no program.
    _TIME + _PROGRAM.format(r"[^\s:\[]*[A-Za-z_][^\s:\[]*") + _MESSAGE,
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
