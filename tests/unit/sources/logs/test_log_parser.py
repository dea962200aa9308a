"""Logs: every line becomes a row of its format, a bad record with its reason, or a blank line."""

from __future__ import annotations

import datetime
import gzip
import os
import re
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from log_files import bad, log_source, read_log, read_text, rows

from batchinfer.config.log_columns import LOG_FORMATS
from batchinfer.errors import ConfigError, InputError
from batchinfer.sources.listing import list_files
from batchinfer.sources.logs.log_format import LogFormat, match_lines
from batchinfer.sources.readers import read_splits
from batchinfer.sources.text.byte_ranges import plan_text_splits

SHARED = Path(__file__).parents[5] / "shared" / "data"
UTC = datetime.timezone.utc


GOOD = (
    b'::1 - frank [17/May/2015:10:05:03 +0200] "GET /a b?q=\\"x\\" HTTP/1.1" 200 12 "-" '
    b'"Moz\\\\illa"'
)


def test_the_page_names_the_columns() -> None:
    page = (Path(__file__).parents[4] / "docs" / "logs.md").read_text()
    told = dict(re.findall(r"(?m)^\| `(\w+)` \|.*\| `(\w+(?:,| \w+,)[^`]+)`[^|]*\|$", page))
    assert {"combined", "haproxy", "squid", "caddy", "journald", "syslog"} <= told.keys()
    for name in told.keys() & LOG_FORMATS.keys() - {"apache_vhost"}:
        # A timestamp is named without its type, as the page says.
        columns = [
            column if type_ in ("string", "timestamp") else f"{column} {type_}"
            for column, type_ in LOG_FORMATS[name].items()
        ]
        assert told[name].split(", ") == columns, name


def test_combined(tmp_path: Path) -> None:
    spaced = GOOD.replace(b"frank", b"Frank de Vries").replace(b" 12 ", b" - ")
    blocks = read_text(tmp_path, GOOD + b"\r\n\n" + spaced, format="combined")
    first, second = rows(blocks)
    assert first == {
        "host": "::1",
        "ident": None,
        "user": "frank",
        "ts": datetime.datetime(2015, 5, 17, 8, 5, 3, tzinfo=UTC),
        "request": 'GET /a b?q="x" HTTP/1.1',
        "method": "GET",
        "path": '/a b?q="x"',
        "protocol": "HTTP/1.1",
        "status": 200,
        "bytes": 12,
        "referer": None,
        "user_agent": "Moz\\illa",
        "source_file": "x.log",
        "source_line": 1,
    }
    assert (second["user"], second["bytes"], second["source_line"]) == ("Frank de Vries", None, 3)
    assert sum(block.blank_lines for block in blocks) == 1


@pytest.mark.parametrize(
    ("request_line", "parts"),
    [
        (b"-", (None, None, None)),
        (b"", (None, None, None)),
        (rb"garbage", (None, None, None)),
        (b"GET /old", ("GET", "/old", None)),
        (b"CONNECT a.b:443 HTTP/1.0", ("CONNECT", "a.b:443", "HTTP/1.0")),
    ],
)
def test_a_malformed_request_is_still_a_row(
    tmp_path: Path, request_line: bytes, parts: tuple[str | None, ...]
) -> None:
    line = b'h - - [17/May/2015:10:05:03 +0000] "' + request_line + b'" 400 0'
    (row,) = rows(read_text(tmp_path, line, format="common"))
    assert (row["method"], row["path"], row["protocol"]) == parts
    assert row["request"] == (request_line.decode() or None)


def test_reasons(tmp_path: Path) -> None:
    lines = [
        GOOD,
        GOOD[:-1],
        GOOD.replace(b"May", b"Mai"),
        GOOD.replace(b"17/", b"32/"),
        GOOD.replace(b" 200 ", b" OK "),
        GOOD.replace(b"frank", b"\xff"),
        GOOD + b" more",
        b"::1",
    ]
    blocks = read_text(tmp_path, b"\n".join(lines), format="combined")
    assert [row["source_line"] for row in rows(blocks)] == [1]
    assert [(line, reason) for line, _, reason in bad(blocks)] == [
        (2, "no_match"),
        (3, "timestamp"),
        (4, "timestamp"),
        (5, "type"),
        (6, "not_utf8"),
        (7, "no_match"),
        (8, "no_match"),
    ]
    assert [raw for _, raw, _ in bad(blocks)] == lines[1:]


def test_syslog(tmp_path: Path) -> None:
    text = b"""<34>Oct 11 22:14:15 mymachine su[10]: 'su root' failed
Oct  1 02:14:15 host kernel: [ 1.2] up
2003-10-11T22:14:15.003+02:00 host sshd(pam_unix)[7]: hi: there
Oct 11 22:14:15 host last message repeated 2 times
<165>1 2003-10-11T22:14:15.003Z host app 123 ID47 [x@1 a="b\\]"] text
<165>1 2003-10-11T22:14:15Z - app - - -
Oct 32 22:14:15 host a: b
hello
"""
    blocks = read_text(tmp_path, text, format="syslog", timestamp={"year": 2010})
    found = [
        (row["ts"], row["host"], row["program"], row["pid"], row["message"]) for row in rows(blocks)
    ]
    assert found == [
        (
            datetime.datetime(2010, 10, 11, 22, 14, 15, tzinfo=UTC),
            "mymachine",
            "su",
            10,
            "'su root' failed",
        ),
        (
            datetime.datetime(2010, 10, 1, 2, 14, 15, tzinfo=UTC),
            "host",
            "kernel",
            None,
            "[ 1.2] up",
        ),
        (
            datetime.datetime(2003, 10, 11, 20, 14, 15, 3000, tzinfo=UTC),
            "host",
            "sshd(pam_unix)",
            7,
            "hi: there",
        ),
        (
            datetime.datetime(2010, 10, 11, 22, 14, 15, tzinfo=UTC),
            "host",
            None,
            None,
            "last message repeated 2 times",
        ),
        (datetime.datetime(2003, 10, 11, 22, 14, 15, 3000, tzinfo=UTC), "host", "app", 123, "text"),
        (datetime.datetime(2003, 10, 11, 22, 14, 15, tzinfo=UTC), None, "app", None, None),
    ]
    assert [(line, reason) for line, _, reason in bad(blocks)] == [
        (7, "timestamp"),
        (8, "no_match"),
    ]


def test_the_missing_year_is_that_of_the_file_or_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_text("Dec 31 23:59:59 h a: b\nJan  1 00:00:01 h a: b\nFeb 29 00:00:00 h a: b\n")
    modified = datetime.datetime(2017, 3, 2, tzinfo=UTC).timestamp()
    os.utime(path, (modified, modified))
    blocks = read_log(path, log_source(path, format="syslog"))
    assert [row["ts"].strftime("%Y-%m-%d") for row in rows(blocks)] == [
        "2016-12-31",
        "2017-01-01",
        "2016-02-29",
    ]


@pytest.mark.parametrize(
    ("zone", "written", "line", "year"),
    [
        ("Asia/Tokyo", "2016-12-31T23:30", "Jan  1 08:29:59", 2017),
        ("UTC", "2016-12-31T23:30", "Jan  1 08:29:59", 2017),  # a clock that is ahead by hours
        ("UTC", "2016-12-31T23:30", "Jan  2 00:00:00", 2016),
        ("UTC", "2017-01-01T00:30", "Dec 31 23:59:59", 2016),
        ("America/New_York", "2017-01-01T00:30", "Dec 31 19:29:59", 2016),
        ("America/New_York", "2017-01-03T00:30", "Jan  1 00:00:00", 2017),
        ("UTC", "2017-06-01T00:00", "Jul  1 00:00:00", 2016),
    ],
)
def test_years_around_new_year(
    tmp_path: Path, zone: str, written: str, line: str, year: int
) -> None:
    path = tmp_path / "x.log"
    path.write_text(f"{line} h a: b\n")
    modified = datetime.datetime.fromisoformat(f"{written}+00:00").timestamp()
    os.utime(path, (modified, modified))
    (row,) = rows(read_log(path, log_source(path, format="syslog", timestamp={"timezone": zone})))
    local = datetime.datetime.strptime(f"{year} {line}", "%Y %b %d %H:%M:%S").replace(
        tzinfo=ZoneInfo(zone)
    )
    assert row["ts"] == local


def test_a_leap_day_of_no_year_near_goes_aside(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_text("Feb 29 00:00:00 h a: b\n")
    modified = datetime.datetime(2018, 3, 2, tzinfo=UTC).timestamp()
    os.utime(path, (modified, modified))
    blocks = read_log(path, log_source(path, format="syslog"))
    assert (rows(blocks), bad(blocks)) == ([], [(1, b"Feb 29 00:00:00 h a: b", "timestamp")])


def test_an_hour_that_the_zone_skips_goes_aside(tmp_path: Path) -> None:
    text = (
        b"Mar 29 01:59:59 h a: b\nMar 29 02:30:00 h a: b\nMar 29 03:00:00 h a: b\nOct 25 "
        b"02:30:00 h a: b\n"
    )
    blocks = read_text(
        tmp_path, text, format="syslog", timestamp={"year": 2020, "timezone": "Europe/Paris"}
    )
    assert [f"{row['ts']:%m-%d %H:%M}" for row in rows(blocks)] == [
        "03-29 00:59",
        "03-29 01:00",
        "10-25 00:30",
    ]
    assert bad(blocks) == [(2, b"Mar 29 02:30:00 h a: b", "timestamp")]
    (message,) = [each.message for block in blocks for each in block.bad]
    assert (
        message
        == "column ts: got 'Mar 29 02:30:00'; allowed: timestamp ('%b %d %H:%M:%S', a time that "
        "Europe/Paris has)"
    )


def test_a_line_that_is_too_long_names_its_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"x.log has a line longer than 64 MiB"):
        read_text(tmp_path, GOOD + b"\n" + b"x" * 80_000_000 + b"\n" + GOOD, format="combined")


def test_a_pattern_with_types_zone_and_format(tmp_path: Path) -> None:
    text = (
        b"05.01.2020 12:00 level=3 msg=x\n05.07.2020 12:00 level= msg=y\n05.07.2020 12:00 "
        b"level=a msg=z\nnothing\n"
    )
    options = {
        "pattern": r"^(?P<at>\S+ \S+) level=(?P<level>\S*) msg=(?P<msg>.*)$",
        "timestamp": {"column": "at", "format": "%d.%m.%Y %H:%M", "timezone": "Europe/Paris"},
        "schema": {"level": "int"},
    }
    blocks = read_text(tmp_path, text, **options)
    assert [(row["at"], row["level"], row["msg"]) for row in rows(blocks)] == [
        (datetime.datetime(2020, 1, 5, 11, tzinfo=UTC), 3, "x"),
        (datetime.datetime(2020, 7, 5, 10, tzinfo=UTC), None, "y"),
    ]
    assert [(line, reason) for line, _, reason in bad(blocks)] == [(3, "type"), (4, "no_match")]


def test_a_pattern_that_re2_refuses_is_read_by_python() -> None:
    import pyarrow as pa

    lookahead = LogFormat("the pattern", (r"^(?P<a>\w+)(?=;);(?P<b>x)?",), None, (None,))
    found = match_lines(pa.array(["one;x", "two", "three;"]), lookahead)
    assert found.problems == {1: ("no_match", "the line does not match the pattern")}
    assert {name: column.to_pylist() for name, column in found.columns.items()} == {
        "a": ["one", None, "three"],
        "b": ["x", None, None],
    }


def test_a_column_that_the_pattern_lacks_is_a_configuration_error(tmp_path: Path) -> None:
    import pyarrow as pa

    path = tmp_path / "x.log"
    path.write_text("x\n")
    source = log_source(path, pattern="(?P<a>.)")
    (split,) = plan_text_splits(list_files([str(path)], tmp_path), source)
    with pytest.raises(ConfigError, match="got b; the pattern gives a"):
        list(read_splits([split], source, {"a": pa.string(), "b": pa.string()}))


COMBINED = re.compile(
    r'^(\S+) (\S+) (\S+|.+?) \[([^\]]*)\] "((?:[^"\\]|\\.)*)" (\d{3}) (\d+|-) "((?:[^"\\]|\\.)*)" '
    r'"((?:[^"\\]|\\.)*)"$'
)
LINES = [GOOD, GOOD.replace(b"::1", "é".encode()), GOOD[:-1], b"", b" ", b"\xff", b"x\ry", b"-"]


def matches(line: bytes) -> re.Match[str] | None:
    return COMBINED.match(line.decode("utf-8", "replace"))


@settings(max_examples=150, deadline=None)
@given(
    lines=st.lists(st.sampled_from(LINES), max_size=20),
    final=st.booleans(),
    sizes=st.sampled_from([(2**21, 2**24), (1, 7), (64, 100), (2**21, 33)]),
)
def test_lines_are_rows_bad_or_blank(
    tmp_path_factory: pytest.TempPathFactory,
    lines: list[bytes],
    final: bool,
    sizes: tuple[int, int],
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.log"
    data = b"\n".join(lines) + (b"\n" if final else b"")
    path.write_bytes(data)
    blocks = read_log(path, log_source(path, format="combined"), *sizes)
    physical = data.split(b"\n")
    physical = physical if physical[-1] else physical[:-1]
    numbered = list(enumerate(physical, 1))
    assert [row["source_line"] for row in rows(blocks)] == [
        i for i, line in numbered if matches(line)
    ]
    assert [(line, raw) for line, raw, _ in bad(blocks)] == [
        (i, line) for i, line in numbered if line.strip() and not matches(line)
    ]
    assert sum(block.blank_lines for block in blocks) == sum(not line.strip() for line in physical)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared real data are not here")
def test_the_real_access_log(tmp_path: Path) -> None:
    path = SHARED / "apache_access.log"
    source = log_source(path, format="combined")
    blocks = read_log(path, source)
    found = rows(blocks)
    assert len(found) == 9_999
    assert [(line, reason) for line, _, reason in bad(blocks)] == [(8899, "no_match")]
    assert set(found[0]) == {*LOG_FORMATS["combined"], "source_file", "source_line"}
    lines = path.read_bytes().split(b"\n")
    for row in found[::97]:
        match = matches(lines[row["source_line"] - 1])
        assert match is not None
        when = datetime.datetime.strptime(match[4], "%d/%b/%Y:%H:%M:%S %z")
        size = None if match[7] == "-" else int(match[7])
        assert (row["host"], row["ts"], row["status"], row["bytes"]) == (
            match[1],
            when,
            int(match[6]),
            size,
        )
    packed = tmp_path / "apache_access.log.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    for other in (
        read_log(path, source, 10_000, 300_000),
        read_log(packed, log_source(packed, format="combined")),
    ):
        assert [{**row, "source_file": ""} for row in rows(other)] == [
            {**row, "source_file": ""} for row in found
        ]
