"""`status --check`: what a monitor is told, and by which exit code."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from hinted import commands_in, problem_of
from spark.projects import DAY, SmallProject

from batchinfer.errors import TooManyQuarantined
from batchinfer.pipeline.scheduled.freshness import find_lateness
from batchinfer.pipeline.status import Status, pipeline_status

from .conftest import HUGE

FAILING = f"id,color,size,big\n90,red,{HUGE},no\n91,red,{HUGE},no\n"
FRESH = "fresh_within=26h"


def checked(project: SmallProject, *overrides: str) -> Status:
    found = pipeline_status(project.context(*overrides), check=True)
    assert found["check"]["ok"] is (found.exit_code == 0)
    assert found.get("errors", []) == found["check"]["problems"]
    for words in commands_in(found.get("hint", "")):
        assert problem_of(words) is None
    return found


def test_a_slice_that_waits_is_late_unless_a_time_is_given(ready: SmallProject) -> None:
    late = checked(ready)
    assert (late.exit_code, late["status"]) == (3, "failed")
    assert late["check"]["problems"] == [f"slice {DAY} has landed and is not published"]
    assert late["hint"] == f"batchinfer score {ready.named} --slice {DAY}"
    assert checked(ready, FRESH)["check"]["problems"] == ["no slice has been published"]
    ready.score()
    assert checked(ready).exit_code == checked(ready, FRESH).exit_code == 0
    ready.extract("2026-11-22")
    assert checked(ready, FRESH).exit_code == 0, "the newest published slice is young enough"
    assert checked(ready).exit_code == 3


def test_a_failed_attempt_gives_its_own_exit_code(ready: SmallProject) -> None:
    ready.write("in/b.csv", FAILING)
    ready.extract()
    with pytest.raises(TooManyQuarantined):
        ready.score(DAY, "checks.max_quarantine_rate=0")
    found = checked(ready, FRESH)
    [first, _] = [*found["check"]["problems"], ""][:2]
    assert found.exit_code == 5
    assert first.startswith(f"slice {DAY} failed at ") and " with exit 5 (run " in first


def test_what_is_older_than_it_may_be_is_told_with_since_when(ready: SmallProject) -> None:
    ready.score()
    slices = pipeline_status(ready.context())["slices"]
    scored_at = slices[0]["scored_at"]
    context = ready.context(FRESH)
    hours = dt.timedelta(hours=1)
    assert find_lateness(context, slices, scored_at + 26 * hours, whole=False) == []
    [late] = find_lateness(context, slices, scored_at + 27 * hours, whole=False)
    since = scored_at + 26 * hours
    assert f"late since {since:%Y-%m-%d %H:%M:%S} UTC" in late.problem and "is 26h" in late.problem
    assert (late.exit_code, late.command) == (3, context.extract_command())


def test_only_the_last_week_is_judged_unless_slices_are_named(ready: SmallProject) -> None:
    ready.extract("2026-11-29")
    context = ready.context()
    slices = pipeline_status(context)["slices"]
    now = dt.datetime.now(dt.UTC)
    assert [one["slice"] for one in slices] == [DAY, "2026-11-29"]
    slices = [{**one, "rows_published": 1} for one in slices]
    judged = find_lateness(context, slices, now, whole=False)
    assert [late.problem.split()[1] for late in judged] == ["2026-11-29"]
    judged = find_lateness(context, slices, now, whole=True)
    assert [late.problem.split()[1] for late in judged] == [DAY, "2026-11-29"]


def test_a_slice_of_days_to_come_neither_hides_nor_is_what_is_late(ready: SmallProject) -> None:
    ready.score()
    ready.extract("2099-01-01")
    ready.score("2099-01-01")
    context = ready.context(FRESH)
    slices = pipeline_status(context)["slices"]
    hours = dt.timedelta(hours=1)
    later = slices[0]["scored_at"] + 27 * hours
    [late] = find_lateness(context, slices, later, whole=False)
    assert f"the newest published slice, {DAY}, was scored" in late.problem
    stale = [{**slices[0], "status": "stale"}, slices[1]]
    [found] = find_lateness(ready.context(), stale, later, whole=False)
    assert found.problem.startswith(f"slice {DAY} is stale")
    assert find_lateness(ready.context(), [*slices], later, whole=False) == []


def test_a_first_landing_that_failed_is_what_a_monitor_is_told(local: SmallProject) -> None:
    local.write("in/a.csv", "id,color,size,big\n1,red,0.5,no\nno row\n")
    with pytest.raises(TooManyQuarantined):
        local.extract(DAY, "checks.max_quarantine_rate=0.1")
    found = checked(local)
    assert found.exit_code == 5
    [told] = found["check"]["problems"]
    assert told.startswith("nothing has landed: the last extract failed at ")
    assert "with exit 5 (run " in told and "1 of 2 records cannot be landed" in told
    assert found["hint"] == f"batchinfer quarantine {local.named}"
    assert found["warnings"][-1] == f"{told}; next: {found['hint']}"
    local.extract(DAY, "checks.max_quarantine_rate=0.5")
    assert not any("last extract" in text for text in checked(local).get("warnings", ()))


def test_a_slice_that_was_passed_by_is_late_whatever_the_age(ready: SmallProject) -> None:
    ready.extract("2026-11-22")
    ready.score("2026-11-22")
    found = checked(ready, FRESH)
    assert found["check"]["problems"] == [f"slice {DAY} has landed and is not published"]
    ready.score()
    assert checked(ready, FRESH).exit_code == 0


@pytest.mark.parametrize("text", ["26", "0h", "26 hours", "1.5h", "-1h", "h"])
def test_a_time_without_a_unit_is_refused(local: SmallProject, text: str) -> None:
    path = Path(local.root / "conf/pipelines/small.yaml")
    path.write_text(path.read_text() + f"fresh_within: {text}\n")
    with pytest.raises(ValueError, match=r"fresh_within.*allowed: a time with its unit, such as"):
        local.context()
