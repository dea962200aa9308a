"""How web servers write a request on a line: `common`, `combined`, and what each makes of them.

Owns their patterns. A client chooses its user name, and some servers write it down unasked, with
spaces and brackets in it: so a name ends at the last bracket before the first quote, and one with
spaces is taken only where no other column can hide in it. Must not know how lines are matched.

Sources: Apache HTTP Server, module mod_log_config; nginx, module ngx_http_log_module and the
`main` of its packages; lighttpd, mod_accesslog; varnishncsa.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from batchinfer.sources.logs.escapes import BACKSLASH
from batchinfer.sources.logs.log_format import EXTRA, LogFormat

_TS = ("%d/%b/%Y:%H:%M:%S %z",)
_IN_QUOTES = r'(?:[^"\\]|\\.)*'
_QUOTED = rf'"(?P<{{}}>{_IN_QUOTES})"'
_TIME_AND_REQUEST = r" \[(?P<ts>[^\[\]\"]*)\] " + _QUOTED.format("request")
_NUMBERS = r" (?P<status>\S+) (?P<bytes>\S+)"
_AGENT = f" {_QUOTED.format('referer')} {_QUOTED.format('user_agent')}"
# Quotes in a name are escaped; where they are not, there are no brackets.
_ANY_USER = r"(?P<user>(?:[^\"\\]|\\.)*?|[^\[\]]*)"
# Where any word may stand in front of it, a name does not begin with a dash of its own.
_USER_BEHIND_A_WORD = r"(?P<user>(?:-[^ \"\\]|\\.|[^-\"\\])(?:[^\"\\]|\\.)*?)"
# A list of addresses is what a client sent: ` - ` in it begins a name of its own, and leaves the
# server's dash in that name.
_WORD = r"(?:(?:[^- \"\\]|\\.)(?:[^ \"\\]|\\.)*|-(?:[^ \"\\]|\\.)+)?"
_USER_BEHIND_A_LIST = rf"(?P<user>{_WORD}(?: {_WORD})*)"
_ADDRESS = r"(?P<host>[0-9A-Fa-f.:]+(?:%[\w.-]+)?|unix:[^\s,]*|-)"
# An address is the client's: a virtual host stands in front of it.
_IDENT = r"(?P<ident>[^\s.:]+|\S*[^\s0-9A-Fa-f.:]\S*)"
_NAME_OR_ADDRESS = r"(?P<host>[0-9A-Fa-f.:]+(?:%[\w.-]+)?|[^\s,:\"]{})"
# The last item is no dash, which would be the server's behind a list that ends with a comma.
_LIST = r"(?P<forwarded>-|(?:[^\s,]*, ?)*(?:[^\s,-][^\s,]*|-[^\s,]+)?)"
_NGINX_MAIN = rf"(?: {_QUOTED.format('x_forwarded_for')})?"
_BEHIND = "more columns stand behind the known ones: `extra` names them"
_VHOST_HINT = (
    r"^\S*:[0-9]+ \S+ \S+ \S.* \[",
    "a virtual host stands in front: format apache_vhost reads it",
)
_LIST_HINT = (r"^[^\[\"]*,", "a list of addresses stands in front: `forwarded: true` reads it")
_HINTS = ((r'" \S+ \S+ "' + _IN_QUOTES + '" "' + _IN_QUOTES + '" .', _BEHIND),)


@dataclass(frozen=True)
class _Server:
    """What differs from one server to another.

    Attributes:
        front: of the pattern, up to the user, for a name without spaces and for any.
        users: the two patterns of the name.
        empty: columns in which an empty value is one, and not absent.
        dash: columns in which `-` is no absent value, although it is everywhere else.
        zeros: whether a status of `000` stands for none.
    """

    front: tuple[str, str]
    users: tuple[str, str] = (r"(?P<user>\S+)", _ANY_USER)
    empty: tuple[str, ...] = ("request", "referer", "user_agent")
    dash: tuple[str, ...] = ()
    zeros: bool = False


_GENERIC = _Server(
    (rf"(?P<host>[^\s,]+) {_IDENT}", r"(?P<host>[^\s,]*) (?P<ident>-)"),
    empty=(),
    dash=("request",),
)
_APACHE = _Server(
    (
        f"{_NAME_OR_ADDRESS.format('+')} {_IDENT}",
        _NAME_OR_ADDRESS.format("*") + " (?P<ident>-)",
    )
)
_VHOST = r"(?P<vhost>\S*):(?P<port>[0-9]+) "
_DASH = f"{_ADDRESS} (?P<ident>-)"
_SERVERS: Mapping[str, _Server] = {
    "common": _GENERIC,
    "combined": _GENERIC,
    "apache": _APACHE,
    "apache_vhost": replace(_APACHE, front=(_VHOST + _APACHE.front[0], _VHOST + _APACHE.front[1])),
    "nginx": _Server((_DASH, _DASH), zeros=True),
    "lighttpd": _Server(
        (rf"{_ADDRESS} (?P<vhost>\S+)", rf"{_ADDRESS} (?P<vhost>\S+)"),
        (r"(?P<user>\S+)", _USER_BEHIND_A_WORD),
    ),
    "varnish": _Server((_DASH, _DASH)),
}


def access_format(name: str, forwarded: bool, extra: Sequence[str]) -> LogFormat:
    """The format of a web server's access log.

    Args:
        forwarded: whether a list of addresses stands where the client's address does.
        extra: columns behind the known ones.
    """
    server = _SERVERS[name]
    front, users = server.front, server.users
    if forwarded:
        front = (_forwarded(front[0]), _forwarded(front[1]))
        users = (users[0], _USER_BEHIND_A_LIST)
    behind = "".join(EXTRA.format(each) for each in extra)
    if name == "nginx" and not extra:
        behind = _NGINX_MAIN
    tails = (_NUMBERS + behind,) if name == "common" else (_NUMBERS + _AGENT + behind,)
    if name == "apache" and not extra:
        # `common` is what Apache itself writes, `combined` what most systems make of it.
        tails = (*tails, _NUMBERS)
    heads = [
        f"^{before} {user}{_TIME_AND_REQUEST}" for before, user in zip(front, users, strict=True)
    ]
    last = () if name == "common" else ("referer", "user_agent")
    main = ("x_forwarded_for",) if behind == _NGINX_MAIN else ()
    first = ("vhost",) if "vhost" in front[0] else ()
    list_ = ("forwarded",) if forwarded else ()
    undone = ("user", "request", *last, *main, *extra, *list_)
    return LogFormat(
        f"format {name}",
        tuple(f"{head}{tail}$" for tail in tails for head in heads),
        "ts",
        _TS,
        _absent(server, ("host", "ident", "bytes", "status", *first, *undone)),
        quoted=tuple(extra),
        escapes=BACKSLASH,
        escaped=undone,
        split_request=True,
        first_of={"host": "forwarded"} if forwarded else {},
        hints=(
            *(() if name == "apache_vhost" else (_VHOST_HINT,)),
            *(() if forwarded else (_LIST_HINT,)),
            *_HINTS,
        ),
    )


def _forwarded(front: str) -> str:
    """The front with a list of addresses for the host; nobody is asked for an ident any more."""
    start = front.index("(?P<host>")
    behind = front.index(" ", start)
    return f"{front[:start]}{_LIST}{front[behind:]}".replace(_IDENT, "(?P<ident>-)")


def _absent(server: _Server, columns: Sequence[str]) -> dict[str, tuple[str, ...]]:
    absent: dict[str, tuple[str, ...]] = {}
    for name in columns:
        markers = () if name in server.dash else ("-",)
        absent[name] = markers if name in server.empty else ("", *markers)
    # An empty name, as Apache writes it.
    absent["user"] += ('""',)
    if server.zeros:
        absent["status"] += ("000",)
    return absent
