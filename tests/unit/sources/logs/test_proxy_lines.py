"""Logs of proxies: HAProxy's and Squid's lines become columns by each one's own signs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from log_files import read_line

HAPROXY = (
    "192.0.2.1:50000 [02/Mar/2024:10:00:00.125] web app/one 1/2/3/4/10 200 500 - - ---- "
    '5/4/3/2/1 7/6 {} "GET /a HTTP/1.1"'
)


def row(folder: Path, line: str, **options: Any) -> dict[str, Any]:
    found = read_line(folder, line.encode(), **options)
    assert isinstance(found, dict), found
    return found


@pytest.mark.parametrize(
    ("head", "log_host", "program", "pid"),
    [
        ("Mar  2 10:00:00 box haproxy[77]: ", "box", "haproxy", 77),
        ("<134>Mar  2 10:00:00 box haproxy[77]: ", "box", "haproxy", 77),
        ("2024-03-02T10:00:00.125+01:00 box haproxy[77]: ", "box", "haproxy", 77),
        ("<134>1 2024-03-02T10:00:00+01:00 box haproxy 77 - - ", "box", "haproxy", 77),
        ("<134>1 2024-03-02T10:00:00+01:00 box haproxy - - -  ", "box", "haproxy", None),
        # What HAProxy itself sends has no host.
        ("<134>Mar  2 10:00:00 haproxy[77]: ", None, "haproxy", 77),
        ("<134>", None, None, None),
        # HAProxy's `timed` and `iso`.
        ("<134>2024-03-02T10:00:00.125000+01:00 ", None, None, None),
        ("2024-03-02T10:00:00+01:00 ", None, None, None),
        ('<134>1 2024-03-02T10:00:00Z box haproxy 77 - [a@1 b="]"] ', "box", "haproxy", 77),
        ("<134>1 2024-03-02T10:00:00Z box haproxy 77 - - \ufeff", "box", "haproxy", 77),
        ("", None, None, None),
    ],
)
def test_haproxy(
    tmp_path: Path, head: str, log_host: str | None, program: str | None, pid: int | None
) -> None:
    line = head + HAPROXY.replace("{}", "{q#22x|#7C|} {r}")
    found = row(tmp_path, line, format="haproxy", timestamp={"timezone": "Europe/Paris"})
    assert found.pop("ts").isoformat() == "2024-03-02T09:00:00.125000+00:00"
    assert found == {
        "log_host": log_host,
        "program": program,
        "pid": pid,
        "host": "192.0.2.1",
        "port": 50000,
        "frontend": "web",
        "backend": "app",
        "server": "one",
        "request_ms": 1,
        "queue_ms": 2,
        "connect_ms": 3,
        "response_ms": 4,
        "total_ms": 10,
        "status": 200,
        "bytes": 500,
        "request_cookie": None,
        "response_cookie": None,
        "state": "----",
        "active": 5,
        "frontend_active": 4,
        "backend_active": 3,
        "server_active": 2,
        "retries": 1,
        "server_queue": 7,
        "backend_queue": 6,
        "request_captures": ['q"x', "|", None],
        "response_captures": ["r"],
        "request": "GET /a HTTP/1.1",
        "method": "GET",
        "path": "/a",
        "protocol": "HTTP/1.1",
    }


def test_haproxy_with_captures_of_responses_alone(tmp_path: Path) -> None:
    line = HAPROXY.replace("{}", "{a#7Cb|}")
    found = row(tmp_path, line, format="haproxy")
    assert (found["request_captures"], found["response_captures"]) == (["a|b", None], None)
    found = row(tmp_path, line, format="haproxy", captures="response")
    assert (found["request_captures"], found["response_captures"]) == (None, ["a|b", None])
    none = row(tmp_path, HAPROXY.replace(" {}", ""), format="haproxy", captures="response")
    assert (none["request_captures"], none["response_captures"]) == (None, None)
    both = HAPROXY.replace("{}", "{a} {b}").encode()
    assert "no_match" in str(read_line(tmp_path, both, format="haproxy", captures="response"))


def test_haproxy_of_old(tmp_path: Path) -> None:
    found = row(tmp_path, HAPROXY.replace(".125]", "]"), format="haproxy")
    assert found["ts"].isoformat() == "2024-03-02T10:00:00+00:00"


def test_cookies_of_haproxy_are_not_escaped(tmp_path: Path) -> None:
    """It writes them as they came, unlike requests and captures."""
    line = HAPROXY.replace(" - - ", ' SID=a#23b#1 SID="é" ')
    found = row(tmp_path, line, format="haproxy")
    assert (found["request_cookie"], found["response_cookie"]) == ("SID=a#23b#1", 'SID="é"')


def test_haproxy_without_a_request(tmp_path: Path) -> None:
    line = (
        "::1:50000 [02/Mar/2024:10:00:00.125] web~ web/<NOSRV> -1/-1/-1/-1/+5 -1 +0 - - CR-- "
        '1/1/0/0/+0 0/0 "<BADREQ>"'
    )
    found = row(tmp_path, line, format="haproxy")
    assert (found["host"], found["frontend"], found["server"]) == ("::1", "web~", None)
    assert (found["request_ms"], found["total_ms"], found["status"], found["bytes"]) == (
        None,
        5,
        None,
        0,
    )
    assert (found["request"], found["method"], found["request_captures"]) == (
        "<BADREQ>",
        None,
        None,
    )


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (HAPROXY[:-5], "no_match: the line does not match format haproxy: it is cut off"),
        ("Mar  2 10:00:00 box haproxy[7]: Proxy web started.", "no_match: "),
        (HAPROXY.replace("/a", "/#zz"), "escape: column request: got 'GET /#zz HTTP/1.1'"),
        (HAPROXY.replace("{}", "{a|#}"), "escape: column request_captures: got '#'"),
        (HAPROXY + " x", "no_match: the line does not match format haproxy: more columns stand"),
        (HAPROXY.replace("192.0.2.1", "x192.0.2.1"), "no_match: "),
        (HAPROXY.replace("192.0.2.1", "-"), "no_match: "),
        (
            "192.0.2.1:50000 [02/Mar/2024:10:00:00.125] db pool/one 1/0/+5 +145 -- 1/1/0/0/+0 0/0",
            "no_match: the line does not match format haproxy: it is of `option tcplog`",
        ),
        (
            '192.0.2.1 - - [02/Mar/2024:10:00:00 +0000] "GET / HTTP/1.1" 200 5 "" "" 50000 125',
            "no_match: the line does not match format haproxy: it is of `option httplog clf`",
        ),
        ("Connect from 192.0.2.1:1 to 192.0.2.2:2 (web/HTTP)", "no_match: the line does not match"),
    ],
)
def test_haproxy_that_goes_aside(tmp_path: Path, line: str, told: str) -> None:
    assert str(read_line(tmp_path, line.encode(), format="haproxy")).startswith(told)


def test_haproxy_as_it_is_written(tmp_path: Path) -> None:
    line = HAPROXY.replace("{}", "{a#7Cb}").replace("/a", "/#zz{|}")
    found = row(tmp_path, line, format="haproxy", unescape=False)
    assert (found["path"], found["request_captures"]) == ("/#zz{|}", ["a#7Cb"])


def test_haproxy_with_more_columns(tmp_path: Path) -> None:
    extra = {"errors": "string", "tls": "string"}
    found = row(tmp_path, HAPROXY + " 0/0/0 -/TLSv1.3/X", format="haproxy", extra=extra)
    assert (found["errors"], found["tls"]) == ("0/0/0", "-/TLSv1.3/X")
    # What a sample expression gives is not escaped.
    found = row(tmp_path, HAPROXY + ' a#23b#1 "c #22d"', format="haproxy", extra=extra)
    assert (found["errors"], found["tls"]) == ("a#23b#1", "c #22d")


SQUID = "1709370000.125     %s 192.0.2.1 TCP_MISS/%s 500 %s http://h/a %s HIER_DIRECT/%s %s"


def test_squid(tmp_path: Path) -> None:
    line = SQUID % (9, 200, "GET", "eve", "192.0.2.9", "text/html")
    found = row(tmp_path, line, format="squid")
    assert found.pop("ts").isoformat() == "2024-03-02T09:00:00.125000+00:00"
    assert {name: value for name, value in found.items() if value is not None} == {
        "duration_ms": 9,
        "host": "192.0.2.1",
        "user": "eve",
        "result": "TCP_MISS",
        "status": 200,
        "bytes": 500,
        "method": "GET",
        "url": "http://h/a",
        "hierarchy": "HIER_DIRECT",
        "server": "192.0.2.9",
        "content_type": "text/html",
    }
    absent = row(tmp_path, SQUID % (-1, "000", "-", "-", "-", "-"), format="squid")
    for name in ("status", "method", "user", "server", "content_type"):
        assert absent[name] is None


@pytest.mark.parametrize(
    ("written", "user"),
    [
        ("eve de wit", "eve de wit"),
        ('e"v%5b%5d', 'e"v[]'),
        ("zo%c3%ab", "zoë"),
        ("a\\\\b\\n%25", "a\\b\n%"),
        ("x HIER_DIRECT/192.0.2.6 text/plain", "x HIER_DIRECT/192.0.2.6 text/plain"),
    ],
)
def test_users_of_squid(tmp_path: Path, written: str, user: str) -> None:
    line = SQUID % (9, 407, "GET", written, "192.0.2.9", "text/html")
    found = row(tmp_path, line, format="squid")
    assert (found["user"], found["server"]) == (user, "192.0.2.9")


@pytest.mark.parametrize(
    "line",
    [
        # `uri_whitespace allow` leaves the spaces of a URL; nobody can tell it from a name.
        SQUID % (9, 200, "GET", "b c -", "192.0.2.9", "text/html"),
        SQUID % (9, 200, "GET", "eve", "192.0.2.9", "text/html") + " [Host: h] [Via: IIS/7 x]",
    ],
)
def test_squid_that_goes_aside(tmp_path: Path, line: str) -> None:
    assert "no_match" in str(read_line(tmp_path, line.encode(), format="squid"))


COMBINED = (
    '192.0.2.1 - %s [02/Mar/2024:10:00:00 +0100] "GET http://h/a HTTP/1.1" 200 5 "http://r/" "%s" '
    "TCP_MISS:HIER_DIRECT"
)


def test_squid_combined(tmp_path: Path) -> None:
    found = row(tmp_path, COMBINED % ("eve%5b wit", 'a "q" b\tc\\'), format="squid")
    assert found["ts"].isoformat() == "2024-03-02T09:00:00+00:00"
    assert (found["user"], found["url"], found["user_agent"]) == (
        "eve[ wit",
        "http://h/a",
        'a "q" b\tc\\',
    )
    # Whose quotes these are nobody can tell.
    doubtful = (COMBINED % ("-", 'a" "b')).encode()
    assert "no_match" in str(read_line(tmp_path, doubtful, format="squid"))
    none = row(
        tmp_path,
        '192.0.2.1 - - [02/Mar/2024:10:00:00 +0100] "- error:x NONE/0.0" 0 0 "-" "-" NONE:NONE',
        format="squid",
    )
    assert (none["status"], none["protocol"], none["method"]) == (None, None, None)
