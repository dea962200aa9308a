"""One attempt at a slice: all of its rows are published or put into quarantine, or nothing is
published and the table stays as it was.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
from spark.projects import DAY, SmallProject, csv_of

from batchinfer import contracts, predictions_table
from batchinfer.errors import InputError, ModelError, SliceHeld, TooManyQuarantined
from batchinfer.lake import delta
from batchinfer.lake.leases import hold
from batchinfer.pipeline.scoring import publication
from batchinfer.pipeline.scoring.task_result import TaskResult

from ..conftest import HUGE


@pytest.fixture
def mixed(ready: SmallProject) -> SmallProject:
    """Forty rows that can be scored, and two that cannot."""
    ready.write("in/b.csv", f"id,color,size,big\n90,red,{HUGE},no\n91,blue,{HUGE},no\n")
    ready.extract()
    return ready


def quarantined(project: SmallProject) -> list[tuple[str, bool]]:
    rows = project.table("quarantine").to_pylist()
    assert {row["stage"] for row in rows} <= {"score"}
    return sorted((row["key"], row["published"]) for row in rows)


def files_of(project: SmallProject) -> set[str]:
    return {path.name for path in (project.root / "var/lake/predictions").rglob("*.parquet")}


KEYS = [f'{{"source_file":"b.csv","source_line":{line}}}' for line in (2, 3)]


def test_every_row_is_a_prediction_or_a_record_of_the_quarantine(mixed: SmallProject) -> None:
    report = mixed.score()
    assert (report.status, report.road, report.rows_in) == ("published", "direct", 42)
    assert (report.rows_scored + report.rows_reused, report.rows_quarantined) == (40, 2)
    rows = mixed.table("predictions").to_pylist()
    assert {(row["source_file"], row["source_line"]) for row in rows} == {
        ("a.csv", line) for line in range(2, 42)
    }
    facts = {tuple(row[name] for name in (
        contracts.RUN_ID, contracts.MODEL_VERSION, contracts.BUNDLE_DIGEST,
        contracts.SOURCE_VERSION, contracts.SLICE,
    )) for row in rows}  # fmt: skip
    assert facts == {(report.run_id, "1", report.bundle_digest, report.source_version, DAY)}
    assert quarantined(mixed) == [(key, True) for key in KEYS]
    [first, _] = mixed.table("quarantine").sort_by("key").to_pylist()
    assert (first["reason"], first["slice"]) == ("model_error", DAY)
    assert "this size is too large for me" in first["message"]
    assert json.loads(first["raw"])["size"] == float(HUGE)


def test_equal_rows_are_scored_once_and_counted(ready: SmallProject) -> None:
    ready.write("in/b.csv", csv_of(range(15)))
    ready.extract()
    report = ready.score()
    assert (report.rows_in, report.rows_scored, report.rows_reused) == (55, 40, 15)
    assert ready.table("predictions").num_rows == 55


def test_a_second_run_does_nothing_and_a_forced_one_replaces_the_slice(
    mixed: SmallProject,
) -> None:
    first = mixed.score()
    again = mixed.score()
    assert (again.status, again.version) == ("unchanged", first.version)
    assert (again.rows_in, again.rows_reused, again.rows_quarantined) == (42, 40, 2)
    forced = mixed.score(force=True)
    assert forced.status == "published" and forced.version is not None
    assert {row["run_id"] for row in mixed.table("predictions").to_pylist()} == {forced.run_id}
    assert mixed.table("predictions").num_rows == 40
    assert quarantined(mixed) == [(key, True) for key in KEYS], "those of the first run are gone"


def test_too_many_rows_that_fail_publish_nothing_and_are_kept(mixed: SmallProject) -> None:
    mixed.score()
    before, files = mixed.table("predictions"), files_of(mixed)
    with pytest.raises(TooManyQuarantined) as caught:
        mixed.score(DAY, "checks.max_quarantine_rate=0.01", force=True)
    assert caught.value.exit_code == 5
    said = str(caught.value)
    assert "2 of 42 rows could not be scored (model_error 2)" in said
    assert "Nothing was published" in said and "too large for me" in said
    hint = str(caught.value.hint)
    assert hint.startswith(f"batchinfer quarantine {mixed.named} --set ")
    assert f" --set checks.max_quarantine_rate=0.01 --slice {DAY} shows why" in hint
    assert mixed.table("predictions") == before and files_of(mixed) == files
    assert quarantined(mixed) == sorted((key, how) for key in KEYS for how in (False, True))
    facts: dict[str, Any] = caught.value.facts
    assert (facts["rows_in"], facts["rows_quarantined"]) == (42, 2)
    page = mixed.root / "var/reports" / f"{facts['run_id']}.html"
    assert page.is_file() and "too large for me" in page.read_text()


class PowerCut(Exception):
    """Ends a run where a test says; nothing in the code catches it."""


def test_a_run_cut_off_before_its_last_commit_is_made_up_for(
    mixed: SmallProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    mixed.score()
    before, files = mixed.table("predictions"), files_of(mixed)

    def cut(*_: object, **__: object) -> int:
        raise PowerCut

    with monkeypatch.context() as patch:
        patch.setattr(delta, "commit", cut)
        with pytest.raises(PowerCut):
            mixed.score(force=True)
    assert mixed.table("predictions") == before and files_of(mixed) == files
    assert mixed.states() == {DAY: "failed"}, "its quarantine is of a run that it does not have"
    assert mixed.score().status == "published", "without being forced"
    assert mixed.states() == {DAY: "published"}
    assert quarantined(mixed) == [(key, True) for key in KEYS]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda result: replace(result, rows_scored=result.rows_scored - 1),
        lambda result: replace(result, rows_in=result.rows_in + 1),
        lambda result: replace(result, files=()),
        lambda result: replace(result, rows_quarantined=result.rows_quarantined + 1),
    ],
    ids=["scored", "in", "written", "quarantined"],
)
def test_a_row_that_is_not_accounted_for_ends_the_run(
    ready: SmallProject,
    monkeypatch: pytest.MonkeyPatch,
    wrong: Callable[[TaskResult], TaskResult],
) -> None:
    real = publication.run_road

    def losing(*arguments: Any) -> Any:
        done = real(*arguments)
        done.results[0] = wrong(done.results[0])
        return done

    monkeypatch.setattr(publication, "run_road", losing)
    with pytest.raises(RuntimeError, match="rows were lost: 40 landed"):
        ready.score()
    assert ready.states() == {DAY: "failed"}
    assert not (ready.root / "var/lake/predictions/small/_delta_log").exists()


def test_a_table_that_lacks_a_column_gets_it_where_that_is_asked_for(ready: SmallProject) -> None:
    from batchinfer.pipeline.score import score_slice

    context = ready.context()
    key = {"source_file": pa.string(), "source_line": pa.int64()}
    delta.ensure_table(
        context.predictions,
        predictions_table.predictions_schema(key, {"label": pa.string()}),
        [contracts.SLICE],
        configuration={contracts.KEY_PROPERTY: "source_file,source_line"},
    )
    with pytest.raises(InputError, match="no column score"):
        ready.score()
    assert ready.table("predictions").num_rows == 0 and files_of(ready) == set()
    report = score_slice(ready.context(), DAY, ready.open_session, evolve=True)
    assert report.status == "published"
    assert ready.table("predictions").column("score").null_count == 0


def test_a_slice_without_rows_is_published_as_one(ready: SmallProject) -> None:
    ready.write("in/a.csv", csv_of(range(0)))
    ready.extract("2026-11-22")
    report = ready.score("2026-11-22")
    assert (report.status, report.rows_in) == ("published", 0)
    assert ready.states()["2026-11-22"] == "published"


def test_one_run_at_a_time_scores_a_slice(ready: SmallProject) -> None:
    with (
        hold(ready.context().environment.lake, "small", DAY, "another"),
        pytest.raises(SliceHeld, match="run another"),
    ):
        ready.score()
    assert ready.score().status == "published"


def test_a_model_of_other_steps_is_refused_before_a_session_is_opened(
    ready: SmallProject,
) -> None:
    ready.edit("  - standardize: {columns: size}\n", "  - min_max: {columns: size}\n")

    def no_session() -> None:
        raise AssertionError("a session was opened")

    ready.open_session = no_session
    with pytest.raises(ModelError, match=r"features, step 1: got .*min_max") as caught:
        ready.score()
    assert caught.value.exit_code == 7
