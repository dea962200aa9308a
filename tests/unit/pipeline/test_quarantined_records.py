"""`quarantine`: every record is counted once, and the first of each reason are shown."""

from __future__ import annotations

import json
from typing import Any

import pytest
from spark.projects import DAY, SmallProject, csv_of

from batchinfer.errors import ConfigError
from batchinfer.pipeline.quarantined_records import show_quarantined
from batchinfer.show import show_quarantine

from .conftest import HUGE

NEXT = "2026-11-22"


@pytest.fixture
def mixed(ready: SmallProject) -> SmallProject:
    """Two slices: lines that are no records in both, and rows that the model refuses in one."""
    bad = "".join(f"no row {number}\n" for number in range(5))
    ready.write("in/b.csv", f"id,color,size,big\n90,red,{HUGE},no\n91,blue,{HUGE},no\n{bad}")
    ready.extract(DAY, "checks.max_quarantine_rate=0.9")
    ready.score()
    ready.write("in/a.csv", csv_of(range(3)) + "x" * 1000 + "\n")
    ready.extract(NEXT, "checks.max_quarantine_rate=0.9")
    return ready


def test_reasons_are_counted_the_newest_slice_and_the_commonest_first(mixed: SmallProject) -> None:
    report = show_quarantined(mixed.context())
    counted = [(one.slice, one.stage, one.reason, one.records) for one in report.reasons]
    assert counted == [
        (NEXT, "extract", "field_count", 6),
        (DAY, "extract", "field_count", 5),
        (DAY, "score", "model_error", 2),
    ]
    assert report.records == mixed.table("quarantine").num_rows == 13
    first = report.reasons[1].examples
    assert [(one.source_file, one.source_line, one.raw) for one in first] == [
        ("b.csv", 4 + number, f"no row {number}") for number in range(3)
    ]
    refused = report.reasons[2].examples
    assert [json.loads(one.key or "")["source_line"] for one in refused] == [2, 3]
    assert all("too large for me" in one.message for one in refused)
    assert all(one.published for one in report.reasons)


def test_one_slice_is_asked_for_by_its_name(mixed: SmallProject) -> None:
    body: dict[str, Any] = show_quarantined(mixed.context(), NEXT).to_json()
    assert (body["records"], body["slice"], body["status"]) == (6, NEXT, "ok")
    [reason] = body["reasons"]
    longest = max((one["raw"] for one in reason["examples"]), key=len)
    assert len(longest) == 301 and longest.endswith("x…"), "its beginning is enough"
    assert show_quarantined(mixed.context(), "2026-11-23").records == 0
    with pytest.raises(ConfigError, match="got 'today'"):
        show_quarantined(mixed.context(), "today")


def test_without_a_table_nothing_is_in_quarantine(ready: SmallProject) -> None:
    report = show_quarantined(ready.context())
    assert (report.records, report.to_json()["reasons"]) == (0, [])


def test_people_see_where_a_record_stands(
    mixed: SmallProject, capsys: pytest.CaptureFixture[str]
) -> None:
    show_quarantine(show_quarantined(mixed.context(), DAY))
    told = capsys.readouterr().err
    assert "7 records in quarantine" in told and "b.csv:4" in told and "no row 0" in told
