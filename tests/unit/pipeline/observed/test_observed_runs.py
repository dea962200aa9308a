"""What a run's figures are, and runs whose collectors fail: no run fails because of them."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from collector import Taken, closed_port, waited_for
from spark.projects import DAY, SmallProject

from batchinfer import stopping
from batchinfer.command import run_work
from batchinfer.errors import ConfigError, InputError, Interrupted, SetupError
from batchinfer.lake.snapshots import open_table
from batchinfer.lake.table_rows import read_table_rows
from batchinfer.observability import collectors
from batchinfer.pipeline.observed import observed_run
from batchinfer.pipeline.run_record import record_run

from .conftest import watch


def _fails(error: BaseException) -> Any:
    def work() -> Any:
        raise error

    return work


def _file(project: SmallProject) -> str:
    return (project.root / "metrics" / "batchinfer_small.prom").read_text()


def _last_success(project: SmallProject) -> list[str]:
    lines = _file(project).splitlines()
    return [line for line in lines if line.startswith("batchinfer_last_success")]


@pytest.fixture
def heard() -> Iterator[None]:
    """Signals are listened to as in a command, and forgotten behind the test."""
    stopping.listen()
    yield
    stopping.stop_listening()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    stopping.forget()


def test_file_and_collector_get_the_same_figures(watched: SmallProject, taken: Taken) -> None:
    report = watched.score()
    sent = taken.figures()
    written = _file(watched)
    assert sent["batchinfer_last_run_rows", "small", "score", "scored"] == 40
    assert sent["batchinfer_last_run_exit_code", "small", "score"] == 0
    assert sent["batchinfer_newest_slice_timestamp_seconds", "small"] == 1_795_219_200
    assert (
        sent["batchinfer_last_run_stage_seconds", "small", "score", "read"]
        == (report.stage_seconds["read"])
    )
    lines = [line for line in written.splitlines() if not line.startswith("#")]
    assert len(lines) == len(sent)
    for value in sent.values():
        assert any(float(line.rpartition(" ")[2]) == value for line in lines)


def test_a_failure_leaves_the_last_success_and_sends_none(
    watched: SmallProject, taken: Taken
) -> None:
    watched.score()
    success = _last_success(watched)
    taken.requests.clear()
    with pytest.raises(InputError):
        record_run(watched.context(), "score", DAY, _fails(InputError("gone")))
    written = _file(watched).splitlines()
    assert len(success) == 1 and _last_success(watched) == success
    assert 'batchinfer_last_run_exit_code{pipeline="small",command="score"} 3' in written
    assert 'batchinfer_newest_slice_timestamp_seconds{pipeline="small"} 1795219200' in written
    names = {name for name, *_ in taken.figures()}
    assert "batchinfer_last_success_timestamp_seconds" not in names
    assert taken.figures()["batchinfer_last_run_exit_code", "small", "score"] == 3


def test_a_run_that_had_nothing_to_do_is_a_success(watched: SmallProject, taken: Taken) -> None:
    watched.score()
    taken.requests.clear()
    assert watched.score().status == "unchanged"
    assert taken.figures()["batchinfer_last_run_status", "small", "score", "unchanged"] == 1
    assert ("batchinfer_last_success_timestamp_seconds", "small", "score") in taken.figures()


def test_collectors_that_are_down_are_told_and_fail_nothing(
    ready: SmallProject, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = watch(ready, closed_port())
    folder.rename(folder.with_name("elsewhere"))
    report = ready.score()
    assert report.status == "published" and len(report.warnings) == 3
    said = capsys.readouterr().err
    for warning, what in zip(
        report.warnings,
        (
            "observability.prometheus: the figures did not arrive: ",
            "observability.otlp: the figures did not arrive: no connection",
            "observability.openlineage: START and the event of its end did not arrive: no conn",
        ),
        strict=True,
    ):
        assert warning.startswith(what) and f"batchinfer: warning: {warning}" in said
    [row] = [
        each
        for each in read_table_rows(open_table(ready.context().runs)).to_pylist()
        if each["run_id"] == report.run_id
    ]
    assert row["exit_code"] == 0, "it was recorded before anyone was told"


def test_a_failed_run_says_in_its_line_what_did_not_arrive(
    watched: SmallProject, taken: Taken
) -> None:
    taken.answers[:] = [500] * 3
    (watched.root / "metrics").chmod(0o755)
    code, body = run_work(
        lambda: record_run(watched.context(), "score", DAY, _fails(InputError("gone"))), {}
    )
    assert (code, body["errors"]) == (3, ["gone"])
    assert [each.partition(":")[0] for each in body["warnings"]] == [
        "observability.otlp",
        "observability.openlineage",
    ]
    assert all(each.endswith("the server answered 500") for each in body["warnings"])


def test_silent_collectors_cost_a_process_their_limit_once(
    watched: SmallProject, taken: Taken, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = f"{{otlp: {{endpoint: '{taken.url}'}}, openlineage: {{url: '{taken.url}'}}}}"
    watched.write("conf/environments/local.yaml", f"observability: {both}\n")
    taken.answers[:] = [0] * 20
    monkeypatch.setattr(observed_run, "LIMIT_S", 0.4)
    ends: list[float] = []
    wait = observed_run.Courier.wait

    def seen(self: Any, until: float) -> list[str]:
        ends.append(until)
        return wait(self, until)

    monkeypatch.setattr(observed_run.Courier, "wait", seen)
    report = watched.score()
    assert report.status == "published" and len(report.warnings) == 2
    assert all("no answer in time" in each for each in report.warnings)
    assert len(ends) == 2 and len(set(ends)) == 1, "one limit for all of them together"
    asked = len(taken.paths)
    again = watched.score(force=True)
    assert len(again.warnings) == 2 and len(taken.paths) == asked
    assert all("was not tried again" in each for each in again.warnings)


def test_a_collector_that_answers_late_does_not_keep_the_work_from_beginning(
    watched: SmallProject, taken: Taken
) -> None:
    taken.answers[:] = [0]
    worked = threading.Event()
    record = threading.Thread(
        target=lambda: record_run(watched.context(), "score", DAY, lambda: worked.set() or _Done()),
        daemon=True,
    )
    record.start()
    assert worked.wait(3), "START waits for its answer while the work goes on"
    taken.closing.set()


class _Done:
    """A report of work that was done at once."""

    status, seconds = "published", 0.1

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def to_json(self) -> dict[str, Any]:
        return {"status": self.status}


@pytest.mark.usefixtures("heard")
def test_a_signal_while_it_waits_ends_the_run_as_any_other(
    watched: SmallProject, taken: Taken, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken.answers[:] = [0] * 20
    # Longer than a test may take.
    monkeypatch.setattr(observed_run, "LIMIT_S", 3600)
    context = watched.context()

    def tell() -> None:
        # START has come in, and now the figures: the work is over.
        if waited_for(lambda: len(taken.paths) == 2, 120):
            os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=tell, daemon=True).start()
    with pytest.raises(Interrupted) as caught:
        record_run(context, "score", DAY, _Done)
    assert caught.value.exit_code == 143
    assert caught.value.facts == {"run_id": context.run_id, "pipeline": "small", "slice": DAY}
    rows = read_table_rows(open_table(context.runs)).to_pylist()
    codes = [each["exit_code"] for each in rows if each["run_id"] == context.run_id]
    assert codes == [0], "its work was done, and is recorded so"


@pytest.mark.parametrize("command", ["score", "backfill"])
def test_a_variable_that_is_not_set_ends_the_command_before_its_work(
    watched: SmallProject, command: str
) -> None:
    watched.write(
        "conf/environments/local.yaml", "observability: {otlp: {endpoint_env: NO_SUCH}}\n"
    )
    with pytest.raises(ConfigError, match=r"observability.otlp.endpoint_env: variable NO_SUCH"):
        watched.score() if command == "score" else watched.backfill(DAY, DAY)
    assert watched.states() == {DAY: "missing"}, "it says nothing of the slice"


def test_a_package_that_is_not_there_ends_the_command_before_its_work(
    watched: SmallProject, taken: Taken, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = ("no_such_package_here.client", "openlineage-python")
    monkeypatch.setitem(collectors._NEEDED, collectors.OPENLINEAGE, missing)
    with pytest.raises(SetupError, match="openlineage-python"):
        watched.score()
    assert taken.events == [] and watched.states() == {DAY: "missing"}


def test_without_collectors_nothing_is_loaded_and_nothing_is_written(
    ready: SmallProject, taken: Taken, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENLINEAGE_URL", taken.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", taken.url)
    assert observed_run.observe(ready.context(), "score", DAY) is None
    assert ready.score().warnings == []
    assert taken.paths == []


def test_what_cannot_be_told_of_a_run_is_a_warning(
    watched: SmallProject, taken: Taken, monkeypatch: pytest.MonkeyPatch
) -> None:
    from batchinfer.observability import lineage_events

    def breaks(*_: Any) -> Any:
        raise RuntimeError("no such facet")

    monkeypatch.setattr(lineage_events, "end_event", breaks)
    report = watched.score()
    assert report.status == "published"
    assert report.warnings == [
        "observability.openlineage: nothing could be told of the run: RuntimeError: no such facet"
    ]
    assert json.dumps(taken.kinds) == '["small.score START"]'


def test_other_lakes_do_not_write_over_each_other(
    watched: SmallProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched.score()
    before = _file(watched)
    monkeypatch.setenv("BATCHINFER_HOME", str(tmp_path / "another"))
    report = record_run(watched.context(), "score", DAY, _Done)
    assert _file(watched) == before
    assert "same name in the lake" in report.warnings[0]
