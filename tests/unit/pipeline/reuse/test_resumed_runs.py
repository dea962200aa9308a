"""What the tasks of a run have finished that ended before its commit, the next run of the slice
takes over: if it is what that run would make, and whole.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from py4j.protocol import Py4JNetworkError
from spark.projects import DAY, SmallProject, csv_of

from batchinfer.command_reports import RunReport
from batchinfer.errors import (
    BudgetReached,
    ChecksFailed,
    InputError,
    Interrupted,
    ModelError,
    SliceHeld,
    StorageError,
    TooManyQuarantined,
)
from batchinfer.lake.fences import fenced
from batchinfer.pipeline.reuse import done_before
from batchinfer.pipeline.score import score_slice

from ..conftest import HUGE
from .landed_files import ROWS, damage, fail_after, land_five, notes, staged, told

NEXT = "2026-11-22"


@pytest.fixture
def five(ready: SmallProject, monkeypatch: pytest.MonkeyPatch) -> SmallProject:
    land_five(ready, monkeypatch)
    return ready


def cut_off(project: SmallProject, tasks: int = 3, *overrides: str, force: bool = False) -> str:
    """A run that ends when so many of its five tasks have done their part; its id."""
    context = project.context(*overrides)
    with pytest.MonkeyPatch.context() as patch:
        given = fail_after(patch, tasks)
        with pytest.raises(StorageError, match="the disk is gone"):
            score_slice(context, DAY, project.open_session, force)
    assert len(given) > tasks
    return context.run_id


def scored_anew(project: SmallProject, *overrides: str) -> tuple[RunReport, int]:
    """A run, and how many tasks it had."""
    with pytest.MonkeyPatch.context() as patch:
        given = fail_after(patch, 100)
        return project.score(DAY, *overrides), len(given)


def adds_up(report: RunReport) -> bool:
    parts = report.rows_scored + report.rows_reused + report.rows_quarantined
    return report.rows_in == parts == ROWS


def nothing_is_left(project: SmallProject) -> bool:
    log = project.root / "var/lake/predictions/small/_delta_log"
    told = "".join(commit.read_text() for commit in log.glob("*.json"))
    return not notes(project) and all(Path(path).name in told for path in staged(project))


def test_a_run_goes_on_where_one_was_cut_off(five: SmallProject) -> None:
    dead = cut_off(five)
    assert len(notes(five)) == len(staged(five)) == 3
    left = staged(five)
    report, tasks = scored_anew(five)
    assert (report.status, tasks, adds_up(report)) == ("published", 2, True)
    resumed = report.rows_resumed
    assert 90 <= resumed <= 100
    assert f"run {dead} ended before it published the slice: {resumed} rows" in report.warnings[0]
    assert left < staged(five) and nothing_is_left(five)
    rows = five.table("predictions").to_pylist()
    assert {row["run_id"] for row in rows} == {dead, report.run_id}
    assert sum(row["run_id"] == dead for row in rows) == resumed
    both = told(five)
    assert len(report.report) > 0 and len(both) == ROWS
    assert five.score(force=True).rows_resumed == 0
    assert told(five) == both
    assert five.states() == {DAY: "published"}


def test_two_runs_that_were_cut_off_leave_all_that_they_had_finished(five: SmallProject) -> None:
    first = cut_off(five, 2)
    # It takes two tasks over, and finishes one more.
    second = cut_off(five, 1)
    assert len(notes(five)) == 3
    report, tasks = scored_anew(five)
    assert (tasks, adds_up(report)) == (2, True)
    runs = {row["run_id"] for row in five.table("predictions").to_pylist()}
    assert runs == {first, second, report.run_id}
    assert nothing_is_left(five)


def test_a_task_that_has_finished_twice_counts_once(five: SmallProject) -> None:
    cut_off(five)
    for path in (five.root / "var/lake/predictions/small/_finished").rglob("*.json"):
        twin = path.with_name(path.name[: -len(".json") - 4] + "abcd.json")
        twin.write_bytes(path.read_bytes())
    report, tasks = scored_anew(five)
    assert (tasks, adds_up(report)) == (2, True)
    assert nothing_is_left(five)


def test_when_all_tasks_were_done_none_is_left(five: SmallProject) -> None:
    with pytest.MonkeyPatch.context() as patch:

        def cannot(*_: object, **__: object) -> int:
            raise StorageError("the log cannot be written")

        patch.setattr("batchinfer.pipeline.scoring.commits.commit_slice", cannot)
        with pytest.raises(StorageError):
            five.score()
    report, tasks = scored_anew(five)
    assert (report.status, tasks, report.rows_resumed) == ("published", 0, ROWS)
    assert report.equal_rows == "no row was left to be scored"
    assert adds_up(report) and nothing_is_left(five)


def test_rows_in_quarantine_are_taken_over_too(five: SmallProject) -> None:
    five.write("in/f.csv", f"id,color,size,big\n90,red,{HUGE},no\n91,blue,{HUGE},no\n")
    five.extract()
    dead = cut_off(five, 6 - 1)
    report, _ = scored_anew(five)
    assert (report.rows_in, report.rows_quarantined) == (ROWS + 2, 2)
    rows = five.table("quarantine").to_pylist()
    assert [(row["published"], row["slice"]) for row in rows] == [(True, DAY)] * 2
    assert {row["run_id"] for row in rows} <= {dead, report.run_id}
    assert five.states() == {DAY: "published"} and five.score().status == "unchanged"


@pytest.mark.parametrize("how", ["a bit", "cut short", "gone", "note"])
def test_what_is_damaged_is_scored_anew(five: SmallProject, how: str) -> None:
    cut_off(five)
    folder = five.root / "var/lake/predictions/small"
    path = sorted(folder.rglob("*.json" if how == "note" else "*.parquet"))[1]
    damage(path, how, path.stat().st_size // 2)
    report, tasks = scored_anew(five)
    assert (tasks, adds_up(report)) == (3, True)
    said = [each for each in report.warnings if "are not what was written" in each]
    assert len(said) == (how != "note")
    assert nothing_is_left(five)
    both = told(five)
    five.score(force=True)
    assert told(five) == both


def test_what_another_plan_has_finished_is_removed(five: SmallProject) -> None:
    cut_off(five)
    report, tasks = scored_anew(five, "model.precision=bf16")
    assert (tasks, report.rows_resumed) == (5, 0)
    assert any("3 files that earlier runs" in each for each in report.warnings)
    assert nothing_is_left(five)


def test_another_model_takes_nothing_over(five: SmallProject) -> None:
    cut_off(five)
    five.train()
    report, tasks = scored_anew(five)
    assert (tasks, report.rows_resumed, report.model_version) == (5, 0, "2")
    assert nothing_is_left(five)


def test_what_was_made_of_a_file_that_changed_is_scored_anew(five: SmallProject) -> None:
    cut_off(five, 4)
    five.write("in/c.csv", csv_of(range(9, 39)))
    five.extract(DAY, "source.on_changed=replace")
    report, tasks = scored_anew(five)
    assert adds_up(report)
    assert tasks in (1, 2) and report.rows_resumed in (ROWS - 60, ROWS - 30, ROWS - 70)
    lines = {row["source_file"] for row in five.table("predictions").to_pylist()}
    assert lines == {f"{name}.csv" for name in "abcde"}
    both = told(five)
    five.score(force=True)
    assert told(five) == both


def test_a_forced_run_takes_over_only_what_forced_runs_have_done(five: SmallProject) -> None:
    cut_off(five)
    assert five.score(force=True).rows_resumed == 0
    cut_off(five, 3, force=True)
    report = five.score(force=True)
    assert report.rows_resumed in (90, 100) and adds_up(report)
    assert nothing_is_left(five)


@pytest.mark.parametrize("why", ["checks", "quarantine"])
def test_a_run_that_was_judged_leaves_nothing(five: SmallProject, why: str) -> None:
    cut_off(five)
    if why == "quarantine":
        five.write("in/f.csv", f"id,color,size,big\n90,red,{HUGE},no\n")
        five.extract()
        with pytest.raises(TooManyQuarantined):
            five.score(DAY, "checks.max_quarantine_rate=0.001")
    else:
        with pytest.MonkeyPatch.context() as patch:

            def fails(*_: object) -> None:
                raise ChecksFailed("no")

            patch.setattr(
                "batchinfer.pipeline.scoring.publication.Publication._check_predictions", fails
            )
            with pytest.raises(ChecksFailed):
                five.score()
    assert notes(five) == [] and staged(five) == set()


def test_a_run_that_has_lost_its_lease_removes_nothing(
    five: SmallProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost() -> None:
        raise SliceHeld("another run has it")

    def fails(*_: object) -> None:
        raise ChecksFailed("no")

    judge = "batchinfer.pipeline.scoring.publication.Publication._check_predictions"
    with monkeypatch.context() as patch, fenced(lost), pytest.raises(ChecksFailed):
        patch.setattr(judge, fails)
        five.score()
    assert len(notes(five)) == len(staged(five)) == 5
    assert five.score().rows_resumed == ROWS


@pytest.mark.parametrize(
    ("error", "goes_on"),
    [
        (Interrupted("SIGTERM"), True),
        (StorageError("full"), True),
        (SliceHeld("held"), True),
        (BudgetReached("spent"), True),
        (Py4JNetworkError("gone"), True),
        (ConnectionRefusedError(), True),
        (ChecksFailed("no"), False),
        (TooManyQuarantined("no"), False),
        (InputError("no"), False),
        (ModelError("no"), False),
        (RuntimeError("rows were lost"), False),
        (KeyError("x"), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_who_was_not_judged_is_gone_on_with(error: BaseException, goes_on: bool) -> None:
    assert done_before.may_go_on(error) == goes_on


def test_runs_of_other_slices_leave_it_alone_for_a_week(
    five: SmallProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_off(five)
    five.extract(NEXT)
    five.score(NEXT)
    assert len(notes(five)) == 3
    later = time.time() + 8 * 24 * 3600
    monkeypatch.setattr(done_before.time, "time", lambda: later)
    five.score(NEXT, force=True)
    assert nothing_is_left(five)


def test_a_slice_that_was_published_since_needs_nothing_of_it(five: SmallProject) -> None:
    five.score()
    cut_off(five, force=True)
    before = five.table("predictions")
    assert five.score().status == "unchanged"
    assert five.table("predictions") == before and nothing_is_left(five)


def test_a_note_cannot_name_files_elsewhere(five: SmallProject) -> None:
    from batchinfer.lake.task_notes import leave_note

    context = five.context()
    victim = Path(context.landed) / "part-x-1.parquet"
    victim.write_bytes(b"mine")
    leave_note(
        context.predictions,
        "small",
        DAY,
        "x",
        {"slice": DAY, "files": [{"table": context.landed, "path": victim.name}]},
    )
    five.score()
    assert victim.exists() and notes(five) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda project: project.edit("sink: {table: predictions/small}", "sink: {carry: [color]}"),
        lambda project: project.edit("features:", "sensitive: [color]\nfeatures:"),
    ],
    ids=["carried", "sensitive"],
)
def test_what_rows_look_like_is_a_part_of_the_plan(
    five: SmallProject, change: Callable[[SmallProject], None]
) -> None:
    cut_off(five)
    change(five)
    report, tasks = scored_anew(five)
    assert (tasks, report.rows_resumed) == (5, 0)
