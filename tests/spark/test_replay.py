"""`replay`: rows that could not be scored join their slice once they can be, and every row stays
accounted for.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from spark.earlier_build import forget_what_it_was_made_of
from spark.projects import DAY, SmallProject, csv_of
from spark.refusing import again, aside, refuse, with_own_net

from batchinfer import errors
from batchinfer.lake import quarantine
from batchinfer.pipeline.scoring import commits, publication
from batchinfer.pipeline.status import pipeline_status

# Standardised sizes of these rows are above 1.5, and of the last two above 1.6.
REFUSED = (37, 38, 39)


def rows(project: SmallProject) -> pa.Table:
    """The predictions, without what differs from run to run."""
    return project.table("predictions").drop_columns(["run_id", "scored_at"]).sort_by("id")


@contextmanager
def cut_off(place: object, step: str, error: BaseException | None = None) -> Iterator[None]:
    """What runs inside ends where it comes to this step."""
    error = error or errors.StorageError("no space left")

    def ended(*_: object, **__: object) -> NoReturn:
        raise error

    with pytest.MonkeyPatch.context() as patch, pytest.raises(type(error)):
        patch.setattr(place, step, ended)
        yield


def assert_close(found: pa.Table, expected: pa.Table) -> None:
    exact = [name for name in expected.column_names if name != "score"]
    assert found.select(exact) == expected.select(exact)
    assert found["score"].to_pylist() == pytest.approx(
        expected["score"].to_pylist(), rel=1e-5, abs=1e-6
    )


@pytest.fixture
def whole(small: SmallProject) -> pa.Table:
    """The predictions of all forty rows; then the slice is scored while the model refuses three of
    them.
    """
    with_own_net(small)
    small.extract()
    small.train()
    small.score()
    expected = rows(small)
    refuse(small, 1.5)
    report = small.score(force=True)
    assert (report.rows_in, report.rows_quarantined) == (40, 3)
    assert sorted(row["key"] for row in aside(small)) == [f'{{"id":{id_}}}' for id_ in REFUSED]
    return expected


def test_rows_that_pass_now_make_the_table_whole(small: SmallProject, whole: pa.Table) -> None:
    before = rows(small)
    refuse(small, 1e9)
    report = again(small)
    assert (report.status, report.rows_in, report.rows_scored, report.rows_quarantined) == (
        "published",
        3,
        3,
        0,
    )
    assert (report.road, "3 rows of the quarantine" in report.road_reason) == ("arrow", True)
    assert_close(rows(small), whole)
    assert rows(small).num_rows == before.num_rows + 3
    assert aside(small) == []
    assert Path(report.report).is_file()
    # It counts as scored, and there is nothing left to do for either command.
    done = small.score()
    assert (done.status, done.rows_in, done.rows_quarantined) == ("unchanged", 40, 0)
    nothing = again(small)
    assert (nothing.status, nothing.rows_in, nothing.version) == ("unchanged", 0, report.version)
    assert small.states() == {DAY: "published"}


def test_rows_that_fail_once_more_stay_with_what_is_wrong_now(
    small: SmallProject, whole: pa.Table
) -> None:
    refuse(small, 1.6)
    first = again(small)
    assert (first.status, first.rows_in) == ("published", 3)
    assert first.rows_scored + first.rows_quarantined == 3
    assert 0 < first.rows_quarantined < 3
    left = aside(small)
    assert len(left) == first.rows_quarantined
    assert all((row["run_id"], row["published"]) == (first.run_id, True) for row in left)
    assert all("above 1.6" in str(row["message"]) for row in left)
    assert rows(small).num_rows + len(left) == 40
    # None of them passes: nothing is published, and the table is not touched.
    nothing = again(small)
    assert (nothing.status, nothing.rows_scored, nothing.version) == ("unchanged", 0, first.version)
    assert {row["run_id"] for row in aside(small)} == {nothing.run_id}
    refuse(small, 1e9)
    assert again(small).rows_scored == len(left)
    assert_close(rows(small), whole)
    assert aside(small) == []


def test_a_replay_that_ends_between_its_commits_is_finished_by_the_next(
    small: SmallProject, whole: pa.Table
) -> None:
    refuse(small, 1.6)
    with cut_off(quarantine, "commit_replayed"):
        again(small)
    there = rows(small).num_rows
    assert (37 < there < 40, len(aside(small))) == (True, 3), "rows are in both"
    [warning] = pipeline_status(small.context())["warnings"]
    assert f"batchinfer replay {small.named} --slice {DAY} takes them out" in warning
    refuse(small, 1e9)
    report = again(small)
    assert report.rows_in == 40 - there, "what was published is not scored again"
    assert report.warnings == [f"a replay was interrupted after it had published {there - 37} "
                               "rows; they have left "
                               f"{small.root}/var/lake/quarantine/small now"]  # fmt: skip
    assert_close(rows(small), whole)
    assert aside(small) == []


def test_a_quarantine_of_another_run_than_the_predictions_is_refused(
    small: SmallProject, whole: pa.Table
) -> None:
    """A run that scored the slice ended between its two commits: it had refused fewer rows than the
    one that is published.
    """
    before = rows(small)
    refuse(small, 1.6)
    with cut_off(commits, "ensure_predictions"):
        small.score(force=True)
    with pytest.raises(
        errors.InputError, match=r"cut off between its commits, so its quarantine is of another run"
    ) as raised:
        again(small)
    assert f"batchinfer score {small.named}" in str(raised.value.hint)
    assert rows(small) == before
    assert small.states() == {DAY: "failed"}
    report = small.score()
    assert report.status == "published"
    refuse(small, 1e9)
    assert again(small).rows_scored == report.rows_quarantined
    assert_close(rows(small), whole)


def test_a_run_that_is_cut_off_after_it_put_nothing_aside_is_made_up_for(
    small: SmallProject, whole: pa.Table
) -> None:
    """The predictions lack three rows, and the quarantine has lost them: only the next run can tell
    where they are.
    """
    refuse(small, 1e9)
    with cut_off(commits, "ensure_predictions", errors.Interrupted("SIGTERM", exit_code=143)):
        small.score(force=True)
    assert (rows(small).num_rows, aside(small)) == (37, [])
    assert small.states() == {DAY: "stale"}
    with pytest.raises(errors.InputError, match="was cut off between its commits"):
        again(small)
    assert small.score().status == "published"
    assert_close(rows(small), whole)
    # Runs with nothing aside, after one that had something, are no such runs.
    assert small.score().status == "unchanged"
    small.score(force=True)
    assert (small.score().status, small.states()) == ("unchanged", {DAY: "published"})


def test_a_slice_of_which_all_rows_were_refused_is_stale_when_it_was_cut_off(
    small: SmallProject, whole: pa.Table
) -> None:
    refuse(small, -9)
    assert small.score(DAY, "checks.max_quarantine_rate=1.0", force=True).rows_quarantined == 40
    assert small.states() == {DAY: "published"}
    assert again(small).rows_quarantined == 40 and rows(small).num_rows == 0
    refuse(small, 1e9)
    with cut_off(commits, "ensure_predictions", errors.Interrupted("SIGTERM", exit_code=143)):
        small.score(force=True)
    assert small.states() == {DAY: "stale"}
    small.score()
    assert_close(rows(small), whole)


def test_a_slice_of_which_all_rows_were_refused_gets_them_by_a_replay(
    small: SmallProject, whole: pa.Table
) -> None:
    refuse(small, -9)
    small.score(DAY, "checks.max_quarantine_rate=1.0", force=True)
    assert small.table("predictions").num_rows == 0 and small.table("quarantine").num_rows == 40
    refuse(small, 1e9)
    report = again(small)
    assert (report.status, report.rows_scored, report.rows_quarantined) == ("published", 40, 0)
    assert_close(rows(small), whole)
    assert small.states() == {DAY: "published"} and small.table("quarantine").num_rows == 0


@pytest.mark.usefixtures("whole")
def test_a_slice_without_rows_of_an_earlier_build_is_no_case_for_a_replay(
    small: SmallProject,
) -> None:
    refuse(small, -9)
    small.score(DAY, "checks.max_quarantine_rate=1.0", force=True)
    forget_what_it_was_made_of(small.context().predictions)
    with pytest.raises(errors.InputError, match="earlier build published it without a row"):
        again(small)


def test_a_key_of_several_rows_is_left_and_the_others_are_scored(small: SmallProject) -> None:
    """Where the pipeline file says that keys are unique, and they are not: nothing is lost,
    whatever is cut off.
    """
    with_own_net(small)
    small.edit("  key: id\n", "  key: id\n  unique: assumed\n")
    small.write(
        "in/a.csv", csv_of(range(38)) + "38,red,14.06,no\n39,red,14.43,no\n39,blue,30.0,no\n"
    )
    small.extract()
    small.train()
    small.score()
    expected = rows(small)
    refuse(small, 1.0)
    assert small.score(force=True).rows_quarantined > 3
    # One of the two rows passes now.
    refuse(small, 3.0)
    with cut_off(quarantine, "commit_replayed"):
        again(small)
    refuse(small, 1e9)
    report = again(small)
    left = aside(small)
    assert [row["key"] for row in left] == ['{"id":39}'] * 2
    assert rows(small).num_rows + len(left) == expected.num_rows == 41
    assert any(
        '1 keys in quarantine stand on several rows, such as {"id":39}' in one
        for one in report.warnings
    )


def test_rows_that_something_else_took_out_are_said(small: SmallProject, whole: pa.Table) -> None:
    shutil.rmtree(small.root / "var/lake/quarantine/small")
    report = again(small)
    assert (report.status, report.rows_in) == ("unchanged", 0)
    assert "40 rows landed, 37 are published and 0 are in quarantine" in report.warnings[0]


def test_a_record_whose_key_no_row_has_ends_the_replay_before_anything_joins(
    small: SmallProject, whole: pa.Table
) -> None:
    place = str(small.root / "var/lake/quarantine/small")
    [record] = [row for row in aside(small) if row["key"] == f'{{"id":{min(REFUSED)}}}']
    schema = small.table("quarantine").schema
    stranger = pa.Table.from_pylist([{**record, "key": '{"id":7000}'}], schema)
    write_deltalake(place, stranger, mode="append")
    refuse(small, 1e9)
    before = rows(small)
    with pytest.raises(errors.InputError, match="4 rows are in quarantine, and 3 of") as told:
        again(small)
    assert "--force scores all rows of the slice" in str(told.value.hint)
    assert rows(small) == before and len(aside(small)) == 4


def test_rows_of_another_model_are_said_and_the_slice_is_stale(
    small: SmallProject, whole: pa.Table
) -> None:
    refuse(small, 1e9)
    other = small.train("train.params.seed=5")
    report = again(small)
    assert (report.status, report.rows_scored, report.model_version) == (
        "published",
        3,
        other.model_version,
    )
    assert "scored now of version 2" in report.warnings[0]
    versions = {row["id"]: row["model_version"] for row in small.table("predictions").to_pylist()}
    assert {id_ for id_, version in versions.items() if version == "2"} == set(REFUSED)
    assert len(versions) == 40
    assert small.states() == {DAY: "stale"}
    # Whichever of the two is asked for, some of the rows are of the other.
    assert small.score(DAY, "model.uri=models:/small/1").status == "published"
    assert set(small.table("predictions")["model_version"].to_pylist()) == {"1"}
    assert small.score().status == "published"
    assert small.states() == {DAY: "published"}
    assert set(small.table("predictions")["model_version"].to_pylist()) == {"2"}


def test_checks_judge_the_whole_slice_and_refuse_without_a_trace(
    small: SmallProject, whole: pa.Table
) -> None:
    def expect(count: int) -> str:
        small.write("conf/rows.yaml", f"- expect_table_row_count_to_equal: {{value: {count}}}\n")
        return "checks.predictions=conf/rows.yaml"

    refuse(small, 1e9)
    before, records = rows(small), aside(small)
    with pytest.MonkeyPatch.context() as patch:
        # Rows that are published are read beside those scored now; pandas judges both.
        patch.delattr(publication, "files_frame")
        with pytest.raises(errors.ChecksFailed):
            again(small, DAY, expect(3))
        assert (rows(small), aside(small)) == (before, records)
        assert again(small, DAY, expect(40)).status == "published"
    assert_close(rows(small), whole)


def test_what_cannot_be_replayed_says_why(small: SmallProject, whole: pa.Table) -> None:
    with pytest.raises(errors.InputMissing, match="has never landed"):
        again(small, "2026-11-20")
    with pytest.raises(
        errors.InputError,
        match=r"scored in another model\.precision or model\.quantize than bf16",
    ) as raised:
        again(small, DAY, "model.precision=bf16")
    assert f"batchinfer score {small.named}" in str(raised.value.hint)
    small.write("in/b.csv", csv_of(range(40, 42)))
    small.extract()
    with pytest.raises(
        errors.InputError,
        match=f"slice {DAY} of pipeline small: its data changed after it was scored",
    ):
        again(small)
    small.extract("2026-11-22")
    with pytest.raises(errors.InputMissing, match="was never published"):
        again(small, "2026-11-22")


def test_a_slice_without_quarantine_is_left_as_it_is(small: SmallProject) -> None:
    small.extract()
    small.train()
    scored = small.score()
    report = again(small)
    assert (report.status, report.rows_in, report.version) == ("unchanged", 0, scored.version)
