"""How proxies write a request on a line: HAProxy's HTTP format, Squid's native one and its
`combined`.

Owns their patterns. Must not know how lines are matched.

Sources: HAProxy, configuration manual, section 8.2.3 (`option httplog`); Squid, `logformat` (squid,
combined).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from batchinfer.sources.logs.escapes import HAPROXY, SQUID
from batchinfer.sources.logs.log_format import EXTRA, LogFormat
from batchinfer.sources.logs.syslog_lines import DATA

_SYSLOG_TS = r"(?:[A-Z][a-z]{2} [ 0-9][0-9] [0-9:.]+|[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.]+\S*)"
# What stands in front depends on who writes the file: a syslog daemon, or HAProxy itself.
_HEADS = (
    rf"^(?:<[0-9]{{1,3}}>)?{_SYSLOG_TS} (?:(?P<log_host>\S+) )?"
    r"(?P<program>[^\s:\[]+)(?:\[(?P<pid>[^\]\s]*)\])?: ",
    rf"^<[0-9]{{1,3}}>1 \S+ (?P<log_host>\S+) (?P<program>\S+) (?P<pid>\S*) \S+ {DATA}  ?"
    r"(?:\x{FEFF})?",
    # Its own formats `raw`, `short`, `timed` and `iso`.
    rf"^(?:<[0-9]{{1,3}}>)?(?:{_SYSLOG_TS} )?",
)
_TIMERS = "/".join(
    rf"\+?(?P<{name}>-?[0-9]+)"
    for name in ("request_ms", "queue_ms", "connect_ms", "response_ms", "total_ms")
)
_CONNECTIONS = "/".join(
    rf"\+?(?P<{name}>[0-9]+)"
    for name in (
        "active",
        "frontend_active",
        "backend_active",
        "server_active",
        "retries",
    )
)
_HAPROXY = (
    r"(?P<host>[0-9A-Fa-f.:]+(?:%[\w.-]+)?|unix):(?P<port>[0-9]+) \[(?P<ts>[^\]\s]+)\] "
    r"(?P<frontend>\S+) "
    rf"(?P<backend>[^\s/]+)/(?P<server>\S+) {_TIMERS} (?P<status>-?[0-9]+) \+?(?P<bytes>[0-9]+) "
    rf"(?P<request_cookie>\S+) (?P<response_cookie>\S+) (?P<state>\S{{4}}) {_CONNECTIONS} "
    r"(?P<server_queue>[0-9]+)/(?P<backend_queue>[0-9]+)"
    r'{captures} "(?P<request>[^"]*)"'
)
# Of requests first; where there is one list, nothing says whose it is.
_BOTH = r"(?: \{(?P<request_captures>[^{}]*)\})?(?: \{(?P<response_captures>[^{}]*)\})?"
_OF_RESPONSES = r"(?P<request_captures>)(?: \{(?P<response_captures>[^{}]*)\})?"
_MINUS_ONE = ("", "-1")
_CAPTURES = ("request_captures", "response_captures")
_HAPROXY_FORMAT = LogFormat(
    "format haproxy",
    tuple(head + _HAPROXY for head in _HEADS),
    "ts",
    # Old ones count no milliseconds.
    ("%d/%b/%Y:%H:%M:%S.%f", "%d/%b/%Y:%H:%M:%S"),
    {
        "log_host": ("", "-"),
        "program": ("", "-"),
        "pid": ("", "-"),
        "server": ("", "<NOSRV>"),
        "request_cookie": ("", "-"),
        "response_cookie": ("", "-"),
        "status": _MINUS_ONE,
        "request_ms": _MINUS_ONE,
        "queue_ms": _MINUS_ONE,
        "connect_ms": _MINUS_ONE,
        "response_ms": _MINUS_ONE,
        "total_ms": _MINUS_ONE,
    },
    escapes=HAPROXY,
    # Cookies are not: they stand there as they came.
    escaped=("request",),
    lists=dict.fromkeys(_CAPTURES, "|"),
    split_request=True,
    numbers_only=("pid",),
    hints=(
        (
            r'^[^"]*"[^"]*$',
            "it is cut off before its last quote: HAProxy cuts lines at 1024 bytes, unless `log` "
            "has a greater `len`",
        ),
        (r"(?:^|[ >])(?:Proxy|Server|backend|Connect from) ", "it tells no request"),
        (
            r" -?[0-9]+/-?[0-9]+/\+?[0-9]+ \+?[0-9]+ \S\S [0-9/+]+ [0-9]+/[0-9]+$",
            "it is of `option tcplog`, which tells a connection and no request",
        ),
        (
            r'\] "[^"]*" -?[0-9]+ [0-9]+ "" ""',
            "it is of `option httplog clf`: a `pattern` reads it",
        ),
        (
            r'/[0-9]+ (?:\{[^{}]*\} ){0,2}"[^"]*" \S',
            "more columns stand behind the known ones: `extra` names them",
        ),
    ),
)
_UNESCAPED = r'(?:[^"]|"(?:[^" ]| [^"]))*'
_ABSENT_DASH = (
    "host", "ident", "user", "method", "url", "server", "content_type", "referer", "user_agent",
    "bytes",
)  # fmt: skip
SQUID_FORMAT = LogFormat(
    "format squid",
    (
        r"^ *(?P<ts>[0-9]+\.[0-9]+) +(?P<duration_ms>-?[0-9]+) (?P<host>\S+) "
        r"(?P<result>[^\s/]+)/(?P<status>[0-9]+|-) (?P<bytes>-?[0-9]+) (?P<method>\S+) "
        # A dash behind a name is the name that was not given: the URL holds a space. Headers behind
        # the known columns (`log_mime_hdrs`) stand in brackets.
        r"(?P<url>\S+) (?P<user>\S+|.*[^-]|.*[^ ]-) (?P<hierarchy>[A-Z_]+)/(?P<server>\S+) "
        r"(?P<content_type>[^\s\]]+)$",
        # The quotes of a client are not escaped: where they may be the server's, nothing matches.
        r"^(?P<host>\S+) (?P<ident>\S+) (?P<user>[^\[\]]*) \[(?P<ts>[^\[\]\"]*)\] "
        r'"(?P<method>\S+) (?P<url>\S+) (?P<protocol>[A-Z]+/[0-9.]+)" (?P<status>[0-9]+|-) '
        rf'(?P<bytes>-?[0-9]+) "(?P<referer>{_UNESCAPED})" "(?P<user_agent>{_UNESCAPED})" '
        r"(?P<result>[^\s:]+):(?P<hierarchy>[A-Z_]+)$",
    ),
    "ts",
    ("epoch_s", "%d/%b/%Y:%H:%M:%S %z"),
    {
        **dict.fromkeys(_ABSENT_DASH, ("", "-")),
        "status": ("", "-", "0", "000"),
        "protocol": ("", "NONE/0.0"),
    },
    escapes=SQUID,
    escaped=("ident", "user"),
    # It writes those of a header as they came.
    controls=b"\t",
)


def haproxy_format(extra: Sequence[str], of_responses: bool = False) -> LogFormat:
    """HAProxy's, with the columns that stand behind the known ones.

    Args:
        extra: they land as they are written: what a sample expression gives is not escaped.
        of_responses: whether headers of responses alone are captured.
    """
    captures = _OF_RESPONSES if of_responses else _BOTH
    behind = "".join(EXTRA.format(name) for name in extra) + " ?$"
    return replace(
        _HAPROXY_FORMAT,
        patterns=tuple(
            pattern.replace("{captures}", captures) + behind for pattern in _HAPROXY_FORMAT.patterns
        ),
        absent={**_HAPROXY_FORMAT.absent, **dict.fromkeys(extra, ("", "-"))},
        quoted=tuple(extra),
    )
