"""Which attempts leave a row in the runs table, and what stands in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from spark.projects import DAY, SmallProject

from batchinfer.errors import InputError, Interrupted, SliceHeld
from batchinfer.lake.snapshots import exists, open_table
from batchinfer.lake.table_rows import read_table_rows
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.run_record import record_run, recorded


def _rows(context: Context) -> list[dict[str, Any]]:
    return read_table_rows(open_table(context.runs)).to_pylist() if exists(context.runs) else []


def _raises(error: BaseException) -> Callable[[], Any]:
    def work() -> Any:
        raise error

    return work


def test_a_run_that_changed_something_leaves_a_row_of_its_slice_with_its_report(
    ready: SmallProject,
) -> None:
    context = ready.context()
    before = len(_rows(context))
    report = ready.score()
    [row] = [each for each in _rows(context) if each["run_id"] == report.run_id]
    assert len(_rows(context)) == before + 1
    assert (row["command"], row["slice"], row["status"]) == ("score", DAY, "published")
    assert (row["exit_code"], row["rows_in"], row["rows_quarantined"]) == (0, 40, 0)
    assert row["version"] == report.version and row["seconds"] > 0
    assert json.loads(row["report"])["run_id"] == report.run_id


def test_a_run_that_changed_nothing_leaves_none(ready: SmallProject) -> None:
    ready.score()
    before = _rows(ready.context())
    assert ready.score().status == "unchanged"
    assert ready.extract().status == "unchanged"
    assert _rows(ready.context()) == before


@pytest.mark.parametrize("command", ["extract", "score"])
def test_one_that_comes_after_a_failed_one_leaves_a_row(ready: SmallProject, command: str) -> None:
    ready.score()
    slice_ = DAY if command == "score" else None
    with pytest.raises(InputError):
        record_run(ready.context(), command, slice_, _raises(InputError("no such file")))
    before = _rows(ready.context())
    for _ in range(2):
        report = ready.score() if command == "score" else ready.extract()
        assert report.status == "unchanged"
    [row] = [row for row in _rows(ready.context()) if row not in before]
    assert (row["command"], row["slice"], row["status"]) == (command, slice_, "unchanged")
    assert row["exit_code"] == 0


def test_a_slice_that_another_run_holds_leaves_none(local: SmallProject) -> None:
    with pytest.raises(SliceHeld):
        record_run(local.context(), "score", DAY, _raises(SliceHeld("held by another run")))
    assert _rows(local.context()) == []


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (InputError("no such slice"), "failed", 3),
        (Interrupted("told to stop", 143), "interrupted", 143),
        (ZeroDivisionError("by zero"), "failed", 1),
    ],
)
def test_an_attempt_that_failed_leaves_its_row_and_the_error_goes_on(
    local: SmallProject, error: BaseException, status: str, code: int
) -> None:
    context = local.context()
    with pytest.raises(type(error)) as caught:
        record_run(context, "score", DAY, _raises(error))
    assert caught.value is error, "not another in its place"
    [row] = _rows(context)
    assert (row["status"], row["exit_code"], row["slice"]) == (status, code, DAY)
    assert row["run_id"] == context.run_id
    assert json.loads(row["report"])["errors"], "which says what was wrong"
    assert error.__dict__["facts"]["run_id"] == context.run_id, "and so does what is printed"


def test_a_decorated_command_names_its_slice_whether_by_place_or_by_name(
    local: SmallProject,
) -> None:
    @recorded("score")
    def fails(context: Context, slice_: str | None = None) -> Any:
        raise InputError(f"{context.name} has nothing")

    for call in (lambda c: fails(c, DAY), lambda c: fails(c, slice_=DAY), fails):
        with pytest.raises(InputError):
            call(local.context().with_new_run())
    assert sorted(str(row["slice"]) for row in _rows(local.context())) == [DAY, DAY, "None"]


def test_a_row_that_cannot_be_written_is_told_and_takes_nothing_from_the_command(
    ready: SmallProject, capsys: pytest.CaptureFixture[str]
) -> None:
    log = Path(ready.context().runs) / "_delta_log"
    for commit in log.glob("*.json"):
        commit.write_text("no commit")
    assert ready.score().status == "published"
    assert "could not be recorded" in capsys.readouterr().err
