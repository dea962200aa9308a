"""Any lines, good and bad: each is a landed row, a quarantined record or blank; and what landed is
what plain Python reads.
"""

from __future__ import annotations

import datetime
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spark.projects import DAY, SmallProject
from unit.sources.text.csv_reference import read_csv

from batchinfer.command_reports import ExtractReport
from batchinfer.config.source_options import CsvOptions
from batchinfer.pipeline.definition.slice_names import is_slice_name
from batchinfer.sources import readers

CSV = """\
name: small
source:
  kind: csv
  path: in/*.csv
  options: {header: false, null_values: ["", "?"]}
  schema: {a: int, b: string, c: string}
features: [{standardize: {columns: a}}]
train: {target: {column: b, positive: ["x"]}}
model: {uri: "models:/small@champion"}
checks: {max_quarantine_rate: 1}
sink: {table: predictions/small}
"""
LOG = """\
name: small
source:
  kind: text_log
  path: in/*.log
  options: {format: combined}
  slice: {column: ts, unit: day}
features: [{standardize: {columns: bytes}}]
train: {target: {column: user_agent, positive: ["x"]}}
model: {uri: "models:/small@champion"}
checks: {max_quarantine_rate: 1}
sink: {table: predictions/small}
"""
# fmt: off
CSV_LINES = [
    b"1,x,y", b" 2 , x ,\ty", b'3,"q,r","s""t"', b'4,"a" ,?', b'5,"?",""', b'"6","",',
    b'7,6" pipe,z', b'8,"open,y',
    b'9,"a"b,c', b"2147483648,a,b", b"one,a,b", b"", b" \t", b"1,2", b"1,2,3,4", b"\xff,a,b",
    b"1,\xc3\xa9,b",
    b"1,a\rb,c", b"\x00,a,b", b"8,a\x00,b", b'"', b'20,"two', b'lines",z', b"1,a,..", b"1,a,x/y",
]
GOOD = b'::1 - - [17/May/2015:10:05:03 +0000] "GET /a HTTP/1.1" 200 12 "-" "x"'
LOG_LINES = [
    GOOD, GOOD.replace(b"17/", b"18/"), GOOD.replace(b"::1", "é".encode()),
    GOOD.replace(b"17/", b"32/"),
    GOOD.replace(b"200", b"OK"), GOOD[:-1], GOOD.replace(b"/a", b"/a\x00b"),
    GOOD.replace(b"/a", b"/\xff"),
    GOOD.replace(b"/a", b'/\\"'), GOOD + b"\r", b"", b" ", b"\r", b"x\ry", b"-",
    GOOD.replace(b"10:05", b"25:05"),
]
# fmt: on
FILES = st.lists(st.lists(st.integers(0, 24), max_size=14), min_size=1, max_size=3)


@pytest.fixture
def any_split(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Where files are cut is up to the test: `target_bytes`."""
    size = {"target_bytes": 2**24}
    plan = readers.plan_text_splits
    monkeypatch.setattr(
        readers, "plan_text_splits", lambda *arguments, **named: plan(*arguments, **(named | size))
    )
    return size


def land(
    project: SmallProject, pipeline: str, contents: dict[str, bytes], slice_: str | None
) -> ExtractReport:
    """Lands files in a project of their own, whatever stood there before."""
    import shutil

    for folder in ("in", "var"):
        shutil.rmtree(project.root / folder, ignore_errors=True)
    project.write("conf/pipelines/small.yaml", pipeline)
    (project.root / "in").mkdir()
    for name, content in contents.items():
        (project.root / "in" / name).write_bytes(content)
    return project.extract(slice_)


def landed(project: SmallProject, *columns: str) -> dict[tuple[str, int], tuple[Any, ...]]:
    if not (project.root / "var/lake/landed/small").exists():
        return {}
    rows = project.table("landed").to_pylist()
    found = {
        (row["source_file"], row["source_line"]): tuple(row[name] for name in columns)
        for row in rows
    }
    assert len(found) == len(rows), "a row landed twice"
    return found


def aside(project: SmallProject) -> dict[tuple[str, int], tuple[str, bytes]]:
    if not (project.root / "var/lake/quarantine/small").exists():
        return {}
    rows = project.table("quarantine").to_pylist()
    assert all(
        row["published"] and row["stage"] == "extract" and row["run_id"] and row["message"]
        for row in rows
    )
    found = {(row["source_file"], row["source_line"]): (row["reason"], row["raw"]) for row in rows}
    assert len(found) == len(rows), "a record was put aside twice"
    return found


def counted(report: ExtractReport, good: int, bad: int, blank: int) -> None:
    assert (report.rows_in, report.rows_landed, report.rows_quarantined, report.blank_lines) == (
        good + bad,
        good,
        bad,
        blank,
    )


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    files=FILES,
    line_end=st.sampled_from([b"\n", b"\r\n"]),
    final=st.booleans(),
    target=st.sampled_from([2**24, 9, 40]),
)
@pytest.mark.parametrize("multi_line", [False, True])
def test_csv(
    local: SmallProject,
    any_split: dict[str, int],
    multi_line: bool,
    files: list[list[int]],
    line_end: bytes,
    final: bool,
    target: int,
) -> None:
    any_split["target_bytes"] = target
    pipeline = CSV.replace("options: {", "options: {multi_line: true, ") if multi_line else CSV
    contents = {
        f"{number}.csv": line_end.join(CSV_LINES[i] for i in lines)
        + (line_end if final and lines else b"")
        for number, lines in enumerate(files)
    }
    report = land(local, pipeline, contents, DAY)
    options = CsvOptions(multi_line=multi_line, header=False, null_values=("", "?"))
    good: dict[tuple[str, int], tuple[Any, ...]] = {}
    bad: dict[tuple[str, int], tuple[str, bytes]] = {}
    blank = 0
    for name, content in contents.items():
        expected = read_csv(content, options, ["int", "string", "string"])
        good |= {(name, row[-1]): row[:-1] for row in expected.rows}
        bad |= {(name, line): (reason, raw) for line, raw, reason in expected.bad}
        blank += expected.blank
    assert landed(local, "a", "b", "c") == good
    assert aside(local) == bad
    counted(report, len(good), len(bad), blank)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=FILES)
def test_rows_without_key_or_slice_go_aside_as_they_were_read(
    local: SmallProject, files: list[list[int]]
) -> None:
    pipeline = CSV.replace("  schema:", "  key: b\n  slice: c\n  unique: assumed\n  schema:")
    contents = {
        f"{number}.csv": b"\n".join(CSV_LINES[i] for i in lines)
        for number, lines in enumerate(files)
    }
    report = land(local, pipeline, contents, None)
    good: dict[tuple[str, int], tuple[Any, ...]] = {}
    bad: dict[tuple[str, int], tuple[str, bytes]] = {}
    blank = 0
    for name, content in contents.items():
        expected = read_csv(
            content, CsvOptions(header=False, null_values=("", "?")), ["int", "string", "string"]
        )
        bad |= {(name, line): (reason, raw) for line, raw, reason in expected.bad}
        blank += expected.blank
        for a, b, c, line in expected.rows:
            reason = (
                "null_key"
                if b is None
                else "null_slice"
                if c is None
                else None
                if is_slice_name(c)
                else "slice_name"
            )
            if reason is None:
                good[name, line] = (a, b, c, c)
            else:
                bad[name, line] = (reason, content.split(b"\n")[line - 1])
    assert landed(local, "a", "b", "c", "slice") == good
    assert aside(local) == bad
    counted(report, len(good), len(bad), blank)


COMBINED = re.compile(
    r'^(\S+) (\S+) (\S+|.+?) \[([^\]]*)\] "((?:[^"\\]|\\.)*)" (\d{3}) (\d+|-) "((?:[^"\\]|\\.)*)" '
    r'"((?:[^"\\]|\\.)*)"$'
)


def read_line(raw: bytes) -> tuple[Any, ...] | None:
    try:
        match = COMBINED.match(raw.decode())
        when = (
            None if match is None else datetime.datetime.strptime(match[4], "%d/%b/%Y:%H:%M:%S %z")
        )
    except ValueError:
        return None
    if match is None or when is None or b"\x00" in raw:
        return None
    return match[1], when, match[5].replace('\\"', '"'), int(match[6]), f"{when:%Y-%m-%d}"


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    files=st.lists(
        st.lists(st.integers(0, len(LOG_LINES) - 1), max_size=14), min_size=1, max_size=3
    ),
    final=st.booleans(),
    target=st.sampled_from([2**24, 9, 200]),
)
def test_log(
    local: SmallProject, any_split: dict[str, int], files: list[list[int]], final: bool, target: int
) -> None:
    any_split["target_bytes"] = target
    contents = {
        f"{number}.log": b"\n".join(LOG_LINES[i] for i in lines)
        + (b"\n" if final and lines else b"")
        for number, lines in enumerate(files)
    }
    report = land(local, LOG, contents, None)
    good: dict[tuple[str, int], tuple[Any, ...]] = {}
    bad: set[tuple[str, int, bytes]] = set()
    blank = 0
    for name, content in contents.items():
        lines = content.split(b"\n")
        for number, line in enumerate(lines if lines[-1] else lines[:-1], 1):
            raw = line.removesuffix(b"\r")
            row = read_line(raw)
            if not raw.strip(b" \t"):
                blank += 1
            elif row is None:
                bad.add((name, number, raw))
            else:
                good[name, number] = row
    assert landed(local, "host", "ts", "request", "status", "slice") == good
    assert {(*place, raw) for place, (_, raw) in aside(local).items()} == bad
    counted(report, len(good), len(bad), blank)


def test_the_reference_reads_the_pieces_as_they_are_meant(tmp_path: Path) -> None:
    """What the tests above hold the engine against says of each piece what a person would."""
    found = read_csv(
        b"\n".join(CSV_LINES[:15]),
        CsvOptions(header=False, null_values=("", "?")),
        ["int", "string", "string"],
    )
    assert found.rows[2] == (3, "q,r", 's"t', 3)
    assert [reason for _, _, reason in found.bad] == [
        "quote",
        "quote",
        "type",
        "type",
        "field_count",
        "field_count",
    ]
    assert [read_line(line) is not None for line in LOG_LINES[:6]] == [
        True,
        True,
        True,
        False,
        False,
        False,
    ]
