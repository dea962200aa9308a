"""`status`: each slice as the tables say, whatever attempts left behind."""

from __future__ import annotations

import pytest
from spark.projects import DAY, SmallProject, csv_of

from batchinfer.errors import ConfigError, ModelError, TooManyQuarantined
from batchinfer.lake import delta
from batchinfer.lake.leases import hold
from batchinfer.lake.ledger import Publisher, publisher_of, replay_transactions, run_transactions
from batchinfer.lake.log import read_transactions
from batchinfer.pipeline.status import pipeline_status
from batchinfer.show import show_status

from .conftest import HUGE

FAILING = f"id,color,size,big\n90,red,{HUGE},no\n91,red,{HUGE},no\n"


def test_a_slice_is_missing_then_published_then_stale_then_published(ready: SmallProject) -> None:
    [before] = pipeline_status(ready.context())["slices"]
    assert (before["status"], before["rows_landed"], before["rows_published"]) == ("missing", 40, 0)
    assert before["version"] is None and before["model_version"] is None
    report = ready.score()
    [after] = pipeline_status(ready.context())["slices"]
    assert (after["status"], after["rows_published"]) == ("published", 40)
    assert (after["version"], after["model_version"], after["run_id"]) == (
        report.version,
        "1",
        report.run_id,
    )
    ready.write("in/b.csv", csv_of(range(40, 43)))
    ready.extract()
    assert ready.states() == {DAY: "stale"}
    ready.score()
    assert ready.states() == {DAY: "published"}


def test_status_says_where_the_state_is(
    local: SmallProject, capsys: pytest.CaptureFixture[str]
) -> None:
    body = show_status(pipeline_status(local.context()))
    home = local.root / "var"
    assert body["state"] == {
        "home": str(home),
        "lake": f"{home}/lake",
        "registry": f"sqlite:///{home}/mlflow.db",
    }
    assert str(home) in capsys.readouterr().err.replace("\n", "")
    assert not home.exists(), "nothing is written by asking"


def test_the_run_that_makes_the_state_folder_says_where(
    local: SmallProject, capsys: pytest.CaptureFixture[str]
) -> None:
    said = f"this run makes the state folder {local.root}/var"
    local.write("in/a.csv", csv_of(range(3)))
    local.extract()
    assert said in capsys.readouterr().err and (local.root / "var").is_dir()
    local.write("in/b.csv", csv_of(range(3, 5)))
    local.extract()
    assert said not in capsys.readouterr().err


def test_state_of_an_earlier_place_is_told(
    local: SmallProject, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(local.root)
    former = local.root / "conf/pipelines/var"
    (former / "lake/landed/small/_delta_log").mkdir(parents=True)
    [said] = pipeline_status(local.context())["warnings"][:1]
    assert f"lies in {former}" in said
    assert f"batchinfer: {said}" in capsys.readouterr().err


def test_bounds_in_the_wrong_order_are_refused(local: SmallProject) -> None:
    with pytest.raises(ConfigError, match="--from 2026-11-30 is after --to 2026-11-01"):
        pipeline_status(local.context(), "2026-11-30", "2026-11-01")


def test_a_failed_attempt_counts_only_where_the_slice_is_not_up_to_date(
    ready: SmallProject,
) -> None:
    ready.score()
    none = "checks.max_quarantine_rate=0"
    ready.write("in/b.csv", FAILING)
    ready.extract()
    with pytest.raises(TooManyQuarantined):
        ready.score(DAY, none)
    assert ready.states() == {DAY: "failed"}
    ready.score()
    assert ready.states() == {DAY: "published"}
    with pytest.raises(TooManyQuarantined):
        ready.score(DAY, none, force=True)
    assert ready.states() == {DAY: "published"}, "what is published is of this data and model"
    [one] = pipeline_status(ready.context())["slices"]
    assert (one["last_attempt"]["status"], one["last_attempt"]["exit_code"]) == ("failed", 5)
    assert one["last_attempt"]["run_id"] != one["run_id"], "and what came of the last try is told"
    ready.score(force=True)
    [one] = pipeline_status(ready.context())["slices"]
    assert one["last_attempt"] is None


@pytest.mark.parametrize("again", ["score", "backfill"])
def test_an_attempt_that_finds_all_well_is_the_last_one(ready: SmallProject, again: str) -> None:
    ready.write("in/b.csv", csv_of(range(40, 45)))
    ready.extract("2026-11-22")
    for day in (DAY, "2026-11-22"):
        ready.score(day)
        with pytest.raises(ModelError):
            ready.score(day, "model.uri=models:/small/9")

    def failed() -> list[str]:
        told = pipeline_status(ready.context())["slices"]
        return [one["slice"] for one in told if one["last_attempt"]]

    assert failed() == [DAY, "2026-11-22"]
    if again == "score":
        assert ready.score(DAY).status == "unchanged" and failed() == ["2026-11-22"]
    else:
        report = ready.backfill(DAY, "2026-11-22")
        assert {one["status"] for one in report.slices} == {"unchanged"} and failed() == []


def test_slices_between_two_bounds(ready: SmallProject, capsys: pytest.CaptureFixture[str]) -> None:
    for day in ("2026-11-20", "2026-11-22"):
        ready.extract(day)

    def told(start: str | None, end: str | None) -> list[str]:
        return [one["slice"] for one in pipeline_status(ready.context(), start, end)["slices"]]

    assert told(None, None) == ["2026-11-20", DAY, "2026-11-22"]
    assert told(DAY, None) == [DAY, "2026-11-22"] and told(None, DAY) == ["2026-11-20", DAY]
    assert told(DAY, DAY) == [DAY] and told("2026-11-23", None) == []
    with pytest.raises(ConfigError, match="--to: got 'today'"):
        told(None, "today")
    show_status(pipeline_status(ready.context()))
    shown = capsys.readouterr().err
    assert shown.index("2026-11-22") < shown.index("2026-11-20"), "people see the newest first"


def test_a_slice_that_is_held_is_running(ready: SmallProject) -> None:
    with hold(ready.context().environment.lake, "small", DAY, "another"):
        assert ready.states() == {DAY: "running"}
    assert ready.states() == {DAY: "missing"}


def test_without_the_model_only_changed_data_count_as_stale(ready: SmallProject) -> None:
    ready.score()
    lost = ready.context("model.uri=models:/nowhere@champion")
    status = pipeline_status(lost)
    assert [one["status"] for one in status["slices"]] == ["published"]
    [warning] = status["warnings"]
    assert warning.startswith("the model could not be resolved") and "nowhere" in warning


def test_another_precision_is_another_model(ready: SmallProject) -> None:
    ready.score()
    ready.overrides = (*ready.overrides, "model.precision=bf16")
    assert ready.states() == {DAY: "stale"}


def test_a_replay_that_was_cut_off_is_said(ready: SmallProject) -> None:
    ready.write("in/b.csv", FAILING)
    ready.extract()
    report = ready.score()
    assert "warnings" not in pipeline_status(ready.context())
    run = publisher_of(read_transactions(report.table), DAY).run
    replay = Publisher(run + 1, before=run)
    delta.commit(
        report.table,
        [],
        transactions=run_transactions(DAY, replay.run) | replay_transactions(DAY, replay),
    )
    [warning] = pipeline_status(ready.context())["warnings"]
    assert warning.startswith(f"slice {DAY}: a replay was cut off")
    assert f"batchinfer replay {ready.named} --slice {DAY}" in warning
