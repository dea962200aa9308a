"""Access logs: each server's lines become its columns, and a line of another shape none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from log_files import bad, read_line, read_text, rows

from batchinfer.config.log_columns import LOG_FORMATS

TIME = b"[02/Mar/2024:10:00:00 +0100]"
SERVERS = ["combined", "apache", "nginx", "varnish"]


def line(
    user: bytes = b"-", request: bytes = b"GET /a HTTP/1.1", agent: bytes = b"agent/1"
) -> bytes:
    front = b"192.0.2.1 - " + user + b" " + TIME
    return front + b' "' + request + b'" 200 5 "http://r/" "' + agent + b'"'


def row(folder: Path, text: bytes, **options: Any) -> dict[str, Any]:
    found = read_line(folder, text, **options)
    assert isinstance(found, dict), found
    return found


@pytest.mark.parametrize("format_", SERVERS)
@pytest.mark.parametrize(
    ("written", "user"),
    [
        (b"eve", "eve"),
        (b"-", None),
        (b"eve de wit", "eve de wit"),
        (b"eve [01/Jan/2020", "eve [01/Jan/2020"),
        (b"eve [01/Jan/2020:00:00:00 +0000]", "eve [01/Jan/2020:00:00:00 +0000]"),
        (b"e] [v[e", "e] [v[e"),
        (b"[e", "[e"),
        (b'e\\"v', 'e"v'),
        (b'e] \\"GET / HTTP/1.0\\" 200 5', 'e] "GET / HTTP/1.0" 200 5'),
        (b"e\\x22v \\xc3\\xab", 'e"v ë'),
        (b"", None),
        (b"- -", "- -"),
    ],
)
def test_no_name_hides_a_request(tmp_path: Path, format_: str, written: bytes, user: str) -> None:
    found = row(tmp_path, line(user=written), format=format_)
    assert (found["host"], found["user"], found["path"]) == ("192.0.2.1", user, "/a")
    assert found["ts"].isoformat() == "2024-03-02T09:00:00+00:00"


@pytest.mark.parametrize("format_", [*SERVERS, "common"])
@pytest.mark.parametrize(
    "front",
    [
        b"www.example:80 192.0.2.1 - -",
        b"www.example:80 192.0.2.1 - eve de wit",
        b"www.example 192.0.2.1 - -",
        b"www.example 192.0.2.1 -",
        b"www.example 2001:db8::1 eve",
        b"192.0.2.7, 192.0.2.1 - -",
        b"192.0.2.7, 192.0.2.8, 192.0.2.1 - -",
        b"192.0.2.7, - - -",
        b"192.0.2.7,192.0.2.1 - -",
        b"192.0.2.7, 192.0.2.1 192.0.2.9 - -",
        b"- 192.0.2.1 - -",
        b" 192.0.2.1 - -",
        b" 192.0.2.1 -",
    ],
)
def test_no_column_swallows_another(tmp_path: Path, format_: str, front: bytes) -> None:
    text = front + b" " + TIME + b' "GET /a HTTP/1.1" 200 5'
    text += b"" if format_ == "common" else b' "-" "agent/1"'
    found = read_line(tmp_path, text, format=format_)
    assert isinstance(found, str)
    assert found.startswith("no_match: ")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        (b"www.example:80 " + line(), "a virtual host stands in front: format apache_vhost"),
        (b"192.0.2.7, " + line(), "a list of addresses stands in front: `forwarded: true`"),
        (line() + b' "x"', "more columns stand behind the known ones: `extra` names them"),
    ],
)
def test_a_line_of_a_near_format_is_told_so(tmp_path: Path, text: bytes, hint: str) -> None:
    assert hint in str(read_line(tmp_path, text, format="combined"))


@pytest.mark.timeout(20)
@pytest.mark.parametrize("format_", sorted(LOG_FORMATS))
@pytest.mark.parametrize(
    "piece", ["] ", ' "', ":1 ", "a,", "\\", "/1 {", '/1 "', '" 1 1 "', "1/1/1 ", '] "', "[", '"" ']
)
def test_no_line_takes_longer_than_its_length(tmp_path: Path, format_: str, piece: str) -> None:
    found = read_line(tmp_path, piece.encode() * 200_000, format=format_)
    assert isinstance(found, str)


BACKSLASH = [
    (b'q\\"x', 'q"x'),
    (b"q\\x22x", 'q"x'),
    (b"b\\\\x", "b\\x"),
    (b"b\\x5Cx", "b\\x"),
    (b"t\\tx", "t\tx"),
    (b"t\\\\tx", "t\\tx"),
    (b"\\a\\b\\f\\n\\r\\v", "\a\b\f\n\r\v"),
    (b"l\\\\x22x", "l\\x22x"),
    (b"l\\x5Cx22x", "l\\x22x"),
    (b"\\xc3\\xa9\\xE2\\x82\\xAC", "é€"),
    (b"\\xe9x", "\ufffdx"),
    (b"\\\\xe9x", "\\xe9x"),
    ("é\\xc3\\xa9".encode(), "éé"),
    (b"c\\x01\\x00x", "c\x01\x00x"),
]


@pytest.mark.parametrize("format_", [*SERVERS, "lighttpd"])
@pytest.mark.parametrize(("written", "value"), BACKSLASH)
def test_escapes_are_undone_in_one_pass(
    tmp_path: Path, format_: str, written: bytes, value: str
) -> None:
    text = line(b"u" + written, b"GET /p" + written + b" HTTP/1.1", written)
    found = row(tmp_path, text, format=format_)
    assert (found["user"], found["user_agent"]) == ("u" + value, value)
    assert found["request"] == f"GET /p{value} HTTP/1.1"
    as_written = row(tmp_path, text, format=format_, unescape=False)
    assert as_written["user_agent"] == written.decode()
    assert as_written["path"] == "/p" + written.decode()


@given(agent=st.binary(max_size=30))
@settings(max_examples=200)
def test_what_a_server_escapes_comes_back(tmp_path_factory: Any, agent: bytes) -> None:
    """Whatever a client sends: as Apache writes it, and as nginx does."""
    folder = tmp_path_factory.getbasetemp()
    short = {8: b"b", 9: b"t", 10: b"n", 11: b"v", 13: b"r", 34: b'"', 92: b"\\"}
    plain = [bytes([byte]) for byte in range(32, 127) if byte not in (34, 92)]
    apache = b"".join(
        bytes([byte]) if bytes([byte]) in plain else b"\\" + short.get(byte, b"x%02x" % byte)
        for byte in agent
    )
    nginx = b"".join(
        bytes([byte]) if bytes([byte]) in plain else b"\\x%02X" % byte for byte in agent
    )
    sent = agent.decode(errors="replace")
    for format_, written in (("apache", apache), ("nginx", nginx)):
        found = row(folder, line(agent=b"a" + written), format=format_)
        assert found["user_agent"] == "a" + sent


def test_bytes_that_are_no_text_are_counted(tmp_path: Path) -> None:
    text = b"\n".join([line(agent=b"\\xe9"), line(agent=b"\\xc3\\xa9"), line(request=b"\\xff")])
    blocks = read_text(tmp_path, text, format="nginx")
    assert sum(block.replaced for block in blocks) == 2


def test_an_escape_that_is_none_goes_aside(tmp_path: Path) -> None:
    found = read_line(tmp_path, line(agent=b"C:\\q"), format="combined")
    assert found == (
        "escape: column user_agent: got 'C:\\\\q', which holds an escape that format combined does "
        "not have; unescape: false lands it as it is written"
    )
    assert row(tmp_path, line(agent=b"C:\\q"), format="combined", unescape=False)


@pytest.mark.parametrize(
    ("request_", "parts"),
    [
        (b"GET  /a  HTTP/1.1", ("GET", "/a", "HTTP/1.1")),
        (b"GET /a HTTP/1.1 ", ("GET", "/a", "HTTP/1.1")),
        (b"GET /a HTTP/1.1\\n", ("GET", "/a", "HTTP/1.1")),
        (b"GET /a b", ("GET", "/a b", None)),
        (b'GET /a?q=\\"x y\\"&z=\\\\', ("GET", '/a?q="x y"&z=\\', None)),
        (b"GET /a", ("GET", "/a", None)),
        (b"OPTIONS *", ("OPTIONS", "*", None)),
        (b"GET http://h/a b", ("GET", "http://h/a b", None)),
        (b"GET /a HTTP/1.1 HTTP/1.1", ("GET", "/a HTTP/1.1", "HTTP/1.1")),
        (b"- http://h HTTP/1.0", (None, "http://h", "HTTP/1.0")),
        (b"GET  HTTP/1.1", ("GET", None, "HTTP/1.1")),
        (b"  HTTP/1.1", (None, None, "HTTP/1.1")),
        (b"  ", (None, None, None)),
        (b"garbage", (None, None, None)),
        (b"two words", (None, None, None)),
        (b"\\x16\\x03\\x01", (None, None, None)),
        (b"-", (None, None, None)),
        # What scanners ask of any port.
        (b"OPTIONS / RTSP/1.0", ("OPTIONS", "/", "RTSP/1.0")),
        (b"OPTIONS sip:nm SIP/2.0", ("OPTIONS", "sip:nm", "SIP/2.0")),
        (b"GET / http/1.1", ("GET", "/", "http/1.1")),
        (b"GET /a RFC/1.0", ("GET", "/a RFC/1.0", None)),
    ],
)
def test_requests_that_servers_take_or_refuse(
    tmp_path: Path, request_: bytes, parts: tuple[str | None, ...]
) -> None:
    for format_ in SERVERS:
        found = row(tmp_path, line(request=request_), format=format_)
        assert (found["method"], found["path"], found["protocol"]) == parts


def test_absent_is_what_the_server_says(tmp_path: Path) -> None:
    text = b"- - - " + TIME + b' "-" - - "" "-"'
    absent = {"host": None, "ident": None, "user": None, "status": None, "bytes": None}
    for format_, request, referer in (("apache", None, ""), ("combined", "-", None)):
        found = row(tmp_path, text, format=format_)
        assert {name: found[name] for name in absent} == absent
        assert (found["request"], found["referer"], found["user_agent"]) == (request, referer, None)
    assert row(tmp_path, line(user=b'""'), format="apache")["user"] is None
    assert row(tmp_path, line().replace(b" 200 ", b" 000 "), format="nginx")["status"] is None


def test_columns_in_front_and_behind(tmp_path: Path) -> None:
    common = line().split(b' "http')[0]
    assert row(tmp_path, common, format="apache")["user_agent"] is None
    found = row(tmp_path, b"www.example:8080 " + line(b"eve"), format="apache_vhost")
    assert (found["vhost"], found["port"], found["host"], found["user"]) == (
        "www.example",
        8080,
        "192.0.2.1",
        "eve",
    )
    found = row(tmp_path, line(b"eve de wit").replace(b" - ", b" www ", 1), format="lighttpd")
    assert (found["vhost"], found["user"]) == ("www", "eve de wit")
    assert "ident" not in found
    main = line() + b' "\\x22a\\x22, 192.0.2.9"'
    assert row(tmp_path, main, format="nginx")["x_forwarded_for"] == '"a", 192.0.2.9'
    assert row(tmp_path, line(), format="nginx")["x_forwarded_for"] is None


@pytest.mark.parametrize("format_", ["nginx", "apache"])
@pytest.mark.parametrize(
    ("written", "value"),
    [
        (b"[::1]:8080", "[::1]:8080"),
        (b"[::1]", "[::1]"),
        (b"[www.example]", "[www.example]"),
        (b"[-]", None),
        (b'"[-]"', "[-]"),
        (b'"-"', None),
        (b'""', None),
        (b"ab#23", "ab#23"),
    ],
)
def test_one_extra_column(tmp_path: Path, format_: str, written: bytes, value: str | None) -> None:
    extra = {"x": "string", "y": "int"}
    assert row(tmp_path, line() + b" " + written + b" 1", format=format_, extra=extra)["x"] == value
    # What stands in brackets is one column, and no two.
    found = read_line(tmp_path, line() + b" [a " + written + b"]", format=format_, extra=extra)
    assert str(found).startswith("no_match")


def test_extra_columns(tmp_path: Path) -> None:
    extra = {"via": "string", "seconds": "double", "up": "double", "at": "string"}
    text = line() + b' "\\x22a" 0.25 - [x y]'
    found = row(tmp_path, text, format="nginx", extra=extra)
    assert [found[name] for name in extra] == ['"a', 0.25, None, "[x y]"]
    assert "x_forwarded_for" not in found
    for other in (text + b" 1", line() + b' "a" 0.25 -', line() + b' "a" 0.1, 0.2 - [x y]'):
        assert str(read_line(tmp_path, other, format="nginx", extra=extra)).startswith("no_match")
    wrong = read_line(tmp_path, text.replace(b"0.25", b"x"), format="nginx", extra=extra)
    assert str(wrong).startswith("type: column seconds: got 'x'")


@pytest.mark.parametrize(
    ("front", "list_", "host", "user"),
    [
        (b"192.0.2.7 - -", "192.0.2.7", "192.0.2.7", None),
        (b"192.0.2.7, ::1, ::2 - eve", "192.0.2.7, ::1, ::2", "192.0.2.7", "eve"),
        (b"192.0.2.7,192.0.2.8 - eve de wit", "192.0.2.7,192.0.2.8", "192.0.2.7", "eve de wit"),
        (b'\\"a\\", 192.0.2.8 - -', '"a", 192.0.2.8', '"a"', None),
        (b"- - -", None, None, None),
        (b" - -", None, None, None),
        (b", 192.0.2.8 - -", ", 192.0.2.8", None, None),
        (b"-, 192.0.2.8 - -", "-, 192.0.2.8", None, None),
        (b"192.0.2.7, - eve", "192.0.2.7,", "192.0.2.7", "eve"),
        (b"192.0.2.7 - -eve", "192.0.2.7", "192.0.2.7", "-eve"),
        (b"192.0.2.7 - eve-  w", "192.0.2.7", "192.0.2.7", "eve-  w"),
    ],
)
def test_a_list_of_addresses_in_front(
    tmp_path: Path, front: bytes, list_: str | None, host: str | None, user: str | None
) -> None:
    text = front + b" " + TIME + b' "GET /a HTTP/1.1" 200 5 "-" "agent/1"'
    for format_ in SERVERS:
        found = row(tmp_path, text, format=format_, forwarded=True)
        assert (found["forwarded"], found["host"], found["user"]) == (list_, host, user)
    found = row(tmp_path, b"www:80 " + text, format="apache_vhost", forwarded=True)
    assert (found["vhost"], found["host"]) == ("www", host)


@pytest.mark.parametrize(
    "front",
    [
        b"192.0.2.7, 192.0.2.8 192.0.2.1 - -",
        b"www:80 192.0.2.1 - -",
        # A client sent a list with ` - ` in it, to be taken for another.
        b"192.0.2.7 - eve - -",
        b"192.0.2.7 - eve - mallory",
        b"192.0.2.7 - eve, 192.0.2.1 - -",
        b"192.0.2.7 - - -",
        b"192.0.2.7, - - eve",
        b'192.0.2.7 - eve [x] \\"y\\" - -',
    ],
)
def test_a_list_in_front_of_another_column_matches_nothing(tmp_path: Path, front: bytes) -> None:
    text = front + b" " + TIME + b' "GET /a HTTP/1.1" 200 5 "-" "agent/1"'
    for format_ in SERVERS:
        found = str(read_line(tmp_path, text, format=format_, forwarded=True))
        assert "no_match" in found
        assert "forwarded: true" not in found


@pytest.mark.parametrize("format_", [*SERVERS, "syslog"])
@pytest.mark.parametrize("wrong", [b"\0", b"\0" * 9000, b"\x1b", b"\x0b", b"\x7f", b"\r"])
def test_control_characters_are_no_text(tmp_path: Path, format_: str, wrong: bytes) -> None:
    good = b"Mar  2 10:00:00 h a: b" if format_ == "syslog" else line()
    if (format_, wrong) == ("syslog", b"\x7f"):
        return
    text = b"\n".join([good, wrong + good, good, good.replace(b"a", wrong, 1), good])
    blocks = read_text(tmp_path, text, format=format_)
    assert [found["source_line"] for found in rows(blocks)] == [1, 3, 5]
    assert [each[::2] for each in bad(blocks)] == [(2, "control"), (4, "control")]
    told = f"the line holds the control character U+{wrong[0]:04X}, at its byte 1; allowed: text"
    assert next(each.message for block in blocks for each in block.bad) == told


def test_a_pattern_takes_control_characters_but_nul(tmp_path: Path) -> None:
    text = b"a\x1b[31m\tb\nc\0d\n"
    blocks = read_text(tmp_path, text, pattern="^(?P<all>.*)$")
    assert [found["all"] for found in rows(blocks)] == ["a\x1b[31m\tb"]
    assert bad(blocks) == [(2, b"c\0d", "control")]


def test_a_schema_types_columns_of_a_format(tmp_path: Path) -> None:
    found = row(tmp_path, line(), format="combined", schema={"status": "string"})
    assert found["status"] == "200"
