"""Published files stay where the slice is scored again, if all that they were made from is there
still; what is published then is what a whole run would publish.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from deltalake import DeltaTable
from spark.projects import DAY, SmallProject, csv_of

from batchinfer.errors import ChecksFailed
from batchinfer.pipeline.reuse.task_origins import TaskOrigin

from ..conftest import HUGE
from .landed_files import ROWS, damage, fail_after, land_five, notes, staged, told


@pytest.fixture
def five(ready: SmallProject, monkeypatch: pytest.MonkeyPatch) -> SmallProject:
    land_five(ready, monkeypatch)
    return ready


def held(project: SmallProject) -> set[str]:
    table = DeltaTable(str(project.root / "var/lake/predictions/small"))
    return set(table.get_add_actions()["path"].to_pylist())


def change(project: SmallProject, name: str = "c", start: int = 9) -> None:
    """Another content of one source file, and of the one landed file that has it."""
    project.write(f"in/{name}.csv", csv_of(range(start, start + 30)))
    project.extract(DAY, "source.on_changed=replace")


def equal_to_a_whole_run(project: SmallProject) -> bool:
    before = told(project)
    whole = project.score(force=True)
    assert whole.rows_kept == 0
    return told(project) == before


def test_files_of_sources_that_did_not_change_stay(five: SmallProject) -> None:
    first = five.score()
    before, files = told(five), held(five)
    assert len(files) == 5 and first.rows_kept == 0
    change(five)
    with pytest.MonkeyPatch.context() as patch:
        tasks = fail_after(patch, 100)
        report = five.score()
    # The one landed file, shared by two workers.
    assert [part.rows for task in tasks for part in task.split.parts] == [(0, 15), (15, 30)]
    assert (report.status, report.rows_in, report.rows_kept) == ("published", ROWS, ROWS - 30)
    assert report.rows_scored + report.rows_reused + report.rows_quarantined == ROWS
    assert report.rows_reused >= report.rows_kept
    assert len(files & held(five)) == 4 and len(held(five)) == 6
    runs = [row["run_id"] for row in five.table("predictions").to_pylist()]
    # Of the file that was read again, rows with the features of a published one are carried over.
    assert runs.count(first.run_id) == ROWS - 30 + report.rows_carried
    assert runs.count(report.run_id) == 30 - report.rows_carried
    assert five.states() == {DAY: "published"} and five.score().status == "unchanged"
    assert told(five) != before and equal_to_a_whole_run(five)


def test_a_file_that_came_is_all_that_is_scored(five: SmallProject) -> None:
    five.score()
    five.write("in/f.csv", csv_of(range(3, 12)))
    five.extract()
    report = five.score()
    assert (report.rows_in, report.rows_kept) == (ROWS + 9, ROWS)
    assert equal_to_a_whole_run(five)


def test_nothing_is_scored_where_everything_stays(five: SmallProject) -> None:
    five.score()
    files = held(five)
    # Nothing but the version at which the slice changed.
    change(five, "c", 2)
    change(five, "c", 3)
    five.score()
    assert len(held(five) & files) == 4
    files = held(five)
    landed = five.context().landed
    from batchinfer.lake.delta import commit, table_version
    from batchinfer.lake.ledger import slice_id

    commit(landed, [], transactions={slice_id(DAY): table_version(landed) + 1})
    report = five.score()
    assert (report.status, report.rows_kept, report.rows_reused) == ("published", ROWS, ROWS)
    assert held(five) == files
    assert report.report and equal_to_a_whole_run(five)


def test_a_task_with_rows_in_quarantine_is_scored_again(five: SmallProject) -> None:
    five.write("in/f.csv", csv_of(range(3, 12)) + f"91,blue,{HUGE},no\n")
    five.extract()
    five.score()
    change(five)
    report = five.score()
    assert (report.rows_kept, report.rows_quarantined) == (ROWS - 30, 1)
    rows = five.table("quarantine").to_pylist()
    assert [(row["published"], row["run_id"]) for row in rows] == [(True, report.run_id)]
    assert equal_to_a_whole_run(five)


@pytest.mark.parametrize("how", ["forced", "bf16", "retrained"])
def test_another_plan_keeps_nothing(five: SmallProject, how: str) -> None:
    five.score()
    files = held(five)
    if how == "retrained":
        five.train()
    change(five)
    options = ["model.precision=bf16"] if how == "bf16" else []
    report = five.score(DAY, *options, force=how == "forced")
    assert report.rows_kept == 0 and not held(five) & files


@pytest.mark.parametrize("how", ["a bit", "a bit of the footer", "cut short", "gone"])
def test_a_published_file_that_is_damaged_does_not_stay(five: SmallProject, how: str) -> None:
    five.score()
    change(five)
    folder = five.root / "var/lake/predictions/small"
    path = folder / sorted(held(five))[0]
    damage(path, how, 100 if how == "a bit" else -100)
    report = five.score()
    assert report.rows_kept in (ROWS - 70, ROWS - 60, ROWS - 40, ROWS - 30)
    assert str(path.relative_to(folder)) not in held(five)
    assert equal_to_a_whole_run(five)


def test_files_that_others_have_rewritten_do_not_stay(five: SmallProject) -> None:
    five.score()
    change(five)
    DeltaTable(str(five.root / "var/lake/predictions/small")).optimize.compact()
    report = five.score()
    assert report.rows_kept == 0 and equal_to_a_whole_run(five)


def test_checks_judge_the_files_that_stay_as_well(
    five: SmallProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    from batchinfer.pipeline.scoring import publication

    five.score()
    files = held(five)
    change(five)
    judged: list[set[str]] = []

    def judge(attempt: publication.Publication) -> None:
        files = [*attempt.rows.published_beside(), *attempt.outcome.files]
        judged.append({file.path for file in files})
        raise ChecksFailed("no")

    with monkeypatch.context() as patch:
        patch.setattr(publication.Publication, "_check_predictions", judge)
        with pytest.raises(ChecksFailed):
            five.score()
    assert len(judged[0]) == 6 and len(judged[0] & files) == 4
    assert held(five) == files and notes(five) == []
    assert {Path(path).name for path in staged(five)} == {Path(path).name for path in files}
    assert five.score().rows_kept == ROWS - 30


def test_a_run_that_is_cut_off_beside_files_that_stay_is_gone_on_with(five: SmallProject) -> None:
    from batchinfer.errors import StorageError

    five.score()
    change(five)
    change(five, "d", 2)
    with pytest.MonkeyPatch.context() as patch:
        fail_after(patch, 1)
        with pytest.raises(StorageError):
            five.score()
    report = five.score()
    assert (report.rows_kept, report.rows_resumed) == (ROWS - 60, 30)
    assert equal_to_a_whole_run(five)


def test_an_origin_that_would_fill_the_footer_is_not_told() -> None:
    from batchinfer.inference.split_reading import Part, Split

    few, many = (
        TaskOrigin.of("plan", Split(tuple(Part(f"{'x' * 100}{n}") for n in range(count)), 1, 1))
        for count in (10, 1_000)
    )
    assert TaskOrigin.told_by(few.as_facts()) == few
    assert many.as_facts() == {}
    assert TaskOrigin.told_by({"batchinfer.task": "{"}) is None
