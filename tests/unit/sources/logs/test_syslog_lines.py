"""Syslog: RFC 3164, RFC 5424, and what rsyslog's templates make of either."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from log_files import bad, read_line, read_text, rows

STAMP = "2024-03-02T09:00:00+00:00"


def parts(folder: Path, line: str, **options: Any) -> tuple[Any, ...] | str:
    found = read_line(folder, line.encode(), format="syslog", timestamp={"year": 2024}, **options)
    if isinstance(found, str):
        return found
    assert found["ts"] is None or found["ts"].isoformat().startswith(STAMP[:19])
    return (found["host"], found["program"], found["pid"], found["message"])


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("Mar  2 09:00:00 h a[12]: m", ("h", "a", 12, "m")),
        ("Mar  2 09:00:00.036386 h a[12]: m", ("h", "a", 12, "m")),
        ("Mar  2 2024 09:00:00 h a: m", ("h", "a", None, "m")),
        ("<13>Mar  2 09:00:00 h a/b/c[12]: m: n", ("h", "a/b/c", 12, "m: n")),
        (f"{STAMP} h a[12]: m", ("h", "a", 12, "m")),
        ("2024-03-02T10:00:00+0100 h a[12]: m", ("h", "a", 12, "m")),
        # What programs send to their own machine, and journalctl --no-hostname.
        ("<13>Mar  2 09:00:00 a[12]: m", (None, "a", 12, "m")),
        ("Mar  2 09:00:00 a: b: c[3]: m", (None, "a", None, "b: c[3]: m")),
        ("Mar  2 09:00:00 a[b c]: m", (None, "a", None, "m")),
        (f"{STAMP} a[12]:", (None, "a", 12, None)),
        ("Mar  2 09:00:00 2nd: m", (None, "2nd", None, "m")),
        ("Mar  2 09:00:00 h -- MARK --", ("h", None, None, "-- MARK --")),
        # What came by RFC 5424 has no colon in a file of lines.
        ("Mar  2 09:00:00 h a[12] m n", ("h", "a", 12, "m n")),
        (f"{STAMP} h a[worker-3] m", ("h", "a", None, "m")),
        (f"{STAMP} h a[12] ", ("h", "a", 12, None)),
        (f"{STAMP} h a[12] \ufeffm é", ("h", "a", 12, "m é")),
        (f"{STAMP} h a m", ("h", None, None, "a m")),
        (f"{STAMP} 192.0.2.1 a: m", ("192.0.2.1", "a", None, "m")),
        (f"{STAMP} 2nd a: m", ("2nd", "a", None, "m")),
        ("Mar  2 09:00:00 fe80::1 a[12]: m", ("fe80::1", "a", 12, "m")),
        # An id of a process is any text; the column holds numbers.
        ("Mar  2 09:00:00 h a[worker-3]: m", ("h", "a", None, "m")),
        ("Mar  2 09:00:00 h a[9999999999]: m", ("h", "a", None, "m")),
        (f"<13>1 {STAMP} h a 12 - - m", ("h", "a", 12, "m")),
        (f"<13>1 {STAMP} h a 12 - -  m", ("h", "a", 12, "m")),
        (f"<13>1 {STAMP} h a 12 - -   m", ("h", "a", 12, " m")),
        (f"<13>1 {STAMP} h a 12 - -", ("h", "a", 12, None)),
        (f"<13>1 {STAMP} h a 12 ID - \ufeffm é", ("h", "a", 12, "m é")),
        (f"<13>1 {STAMP} h a 12-b.3 - - m", ("h", "a", None, "m")),
        (f"<13>1 {STAMP} h a  - -  m", ("h", "a", None, "m")),
        (f"<13>1 {STAMP} - - - - - m", (None, None, None, "m")),
        ("<13>1 - h a 12 - - m", ("h", "a", 12, "m")),
        (f'<13>1 {STAMP} h a 12 - [x@1 b="[q]" c="\\"\\]"][y] m', ("h", "a", 12, "m")),
        # A tab and a DEL are what daemons write.
        ("Mar  2 09:00:00 h a: m\tn\x7f", ("h", "a", None, "m\tn\x7f")),
        # rsyslog leaves a `#` as it is, so this may have been sent just so.
        ("Mar  2 09:00:00 h a: m#012n\\n", ("h", "a", None, "m#012n\\n")),
    ],
)
def test_lines(tmp_path: Path, line: str, expected: tuple[Any, ...]) -> None:
    assert parts(tmp_path, line) == expected


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("Mar  2 23:59:60 h a: m", "timestamp"),
        ("Feb 30 09:00:00 h a: m", "timestamp"),
        ("<nonsense>1 2024-03-02T09:00:00Z h a 1 - - m", "no_match"),
        ("     a line that goes on", "no_match"),
        # An address is no program, a year no host.
        ("Mar  2 09:00:00 192.0.2.1: m", "no_match"),
        ("Mar  2 09:00:00 a[12]b: m", "no_match"),
        ("Mar  2 09:00:00 2024 h a[12]: m", "no_match"),
        (f"{STAMP} 2 2024-03-02T09: m", "no_match"),
        ("Mar  2 09:00:00 h a: m\x1b[31m", "control"),
    ],
)
def test_what_goes_aside(tmp_path: Path, line: str, reason: str) -> None:
    assert str(parts(tmp_path, line)).startswith(f"{reason}: ")


def test_the_id_of_a_process_as_text(tmp_path: Path) -> None:
    found = parts(tmp_path, f"<13>1 {STAMP} h a 12-b.3 - - m", schema={"pid": "string"})
    assert found == ("h", "a", "12-b.3", "m")


def test_a_number_that_is_none_costs_no_line(tmp_path: Path) -> None:
    text = f"{STAMP} h a[x]: m\n{STAMP} h a[12]: m\n".encode()
    blocks = read_text(tmp_path, text, format="syslog")
    assert [row["pid"] for row in rows(blocks)] == [None, 12]
    assert bad(blocks) == []
