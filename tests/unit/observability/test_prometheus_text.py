"""The text files for Prometheus, as Prometheus' own parser reads them."""

from __future__ import annotations

import datetime as dt
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from batchinfer.observability import prometheus_text
from batchinfer.observability.collector_post import NotReceived
from batchinfer.observability.prometheus_text import MetricsFile, metrics_text
from batchinfer.observability.run_facts import RunBegan, RunEnded
from batchinfer.observability.run_metrics import METRICS, STATUS, Figure, run_figures

LAKE = "/data/lake"
AT = dt.datetime(2026, 11, 21, 2, 15, tzinfo=dt.timezone.utc)


def _figures(
    command: str = "score", code: int = 0, hours: int = 0, pipeline: str = "p", rows: int = 40
) -> list[Figure]:
    began = RunBegan("20261121T021500-1f2e3d4c", pipeline, command, "", None, None, AT)
    facts = {"rows_in": rows, "stage_seconds": {"read": 1.5, "write": 0.25}, "run_id": "r"}
    ended = RunEnded(
        "failed" if code else "published",
        code,
        12.5,
        AT + dt.timedelta(hours=hours),
        facts,
        newest=None if code else AT,
    )
    return run_figures(began, ended)


def _read(path: Path) -> dict[tuple[str, ...], float]:
    """Every figure by name and the values of its labels; each metric has its help and its type."""
    found: dict[tuple[str, ...], float] = {}
    for family in text_string_to_metric_families(path.read_text()):
        assert family.type == "gauge" and family.documentation.endswith(".")
        for one in family.samples:
            key = (one.name.removeprefix("batchinfer_"), *one.labels.values())
            assert key not in found, "each figure stands once"
            found[key] = one.value
    return found


def test_a_run_leaves_its_figures(tmp_path: Path) -> None:
    file = MetricsFile(tmp_path, "p", LAKE)
    file.update("score", _figures(), 1)
    seconds = AT.timestamp()
    assert _read(file.path) == {
        ("last_success_timestamp_seconds", "p", "score"): seconds,
        ("last_run_timestamp_seconds", "p", "score"): seconds,
        ("last_run_duration_seconds", "p", "score"): 12.5,
        ("last_run_exit_code", "p", "score"): 0,
        ("last_run_status", "p", "score", "published"): 1,
        ("last_run_rows", "p", "score", "in"): 40,
        ("last_run_stage_seconds", "p", "score", "read"): 1.5,
        ("last_run_stage_seconds", "p", "score", "write"): 0.25,
        ("newest_slice_timestamp_seconds", "p"): seconds,
    }
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o644, "the node exporter is another user"
    assert [each.name for each in tmp_path.glob("*.prom")] == ["batchinfer_p.prom"]


def test_the_last_success_outlives_failures_and_other_commands(tmp_path: Path) -> None:
    file = MetricsFile(tmp_path, "p", LAKE)
    file.update("extract", _figures("extract", rows=7), 1)
    file.update("score", _figures(), 1)
    for hours in (1, 2):
        file.update("score", _figures(code=8, hours=hours), 1)
    read = _read(file.path)
    assert read["last_success_timestamp_seconds", "p", "score"] == AT.timestamp()
    assert read["last_run_timestamp_seconds", "p", "score"] == AT.timestamp() + 7200
    assert read["last_run_exit_code", "p", "score"] == 8
    assert ("last_run_status", "p", "score", "published") not in read, "of the last run alone"
    assert read["newest_slice_timestamp_seconds", "p"] == AT.timestamp()
    assert read["last_run_rows", "p", "extract", "in"] == 7
    file.update("score", _figures(hours=3), 1)
    assert _read(file.path)["last_success_timestamp_seconds", "p", "score"] == (
        AT.timestamp() + 3 * 3600
    )


def test_labels_of_any_text_come_back_as_they_were(tmp_path: Path) -> None:
    odd = 'a"b\\c\nd,e}{=" '
    file = MetricsFile(tmp_path, "p", LAKE)
    figure = Figure(STATUS, (("pipeline", "p"), ("command", "score"), ("status", odd)), 1)
    file.update("score", [figure], 1)
    assert _read(file.path) == {("last_run_status", "p", "score", odd): 1}
    file.update("extract", _figures("extract"), 1)
    assert _read(file.path)["last_run_status", "p", "score", odd] == 1


def test_every_metric_is_written_with_its_unit_as_its_last_word() -> None:
    for metric in METRICS:
        assert metric.name.startswith("batchinfer_")
        assert metric.name.endswith("_seconds") == (metric.unit == "s")
    text = metrics_text(_figures())
    assert text.count("# HELP ") == text.count("# TYPE ") == len(METRICS)


def test_pipelines_have_files_of_their_own_and_of_other_lakes_too(tmp_path: Path) -> None:
    MetricsFile(tmp_path, "p", LAKE).update("score", _figures(), 1)
    MetricsFile(tmp_path, "q", LAKE).update("score", _figures(pipeline="q"), 1)
    other = MetricsFile(tmp_path, "p", "/other/lake")
    with pytest.raises(NotReceived, match=r"same name in the lake /data/lake.*of /other/lake"):
        other.update("score", _figures(code=3), 1)
    assert _read(other.path)["last_run_exit_code", "p", "score"] == 0, "not written over"
    assert sorted(each.name for each in tmp_path.glob("*.prom")) == [
        "batchinfer_p.prom",
        "batchinfer_q.prom",
    ]


def test_runs_that_end_together_lose_nothing_of_each_other(tmp_path: Path) -> None:
    commands = [f"command{number}" for number in range(12)]

    def write(command: str) -> None:
        MetricsFile(tmp_path, "p", LAKE).update(command, _figures(command), 20)

    threads = [threading.Thread(target=write, args=(command,)) for command in commands]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    read = _read(MetricsFile(tmp_path, "p", LAKE).path)
    assert all(("last_run_exit_code", "p", command) in read for command in commands)


def test_who_holds_the_file_is_waited_for_and_no_longer(tmp_path: Path) -> None:
    file = MetricsFile(tmp_path, "p", LAKE)
    file.update("score", _figures(), 1)
    with file._alone(1), pytest.raises(NotReceived, match="another run is writing"):
        file.update("score", _figures(code=3), 0.05)
    file.update("score", _figures(code=3), 0.05)
    assert _read(file.path)["last_run_exit_code", "p", "score"] == 3


def test_a_process_killed_while_it_writes_leaves_the_former_file(tmp_path: Path) -> None:
    """Killed behind every call that writes, at the very moment before the file is put in place."""
    file = MetricsFile(tmp_path, "p", LAKE)
    file.update("score", _figures(), 1)
    before = file.path.read_bytes()
    script = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from batchinfer.observability import prometheus_text as module\n"
        "from batchinfer.observability.run_metrics import EXIT_CODE, Figure\n"
        "def stop(*_):\n"
        "    Path(sys.argv[1], 'reached').touch()\n"
        "    os.kill(os.getpid(), 9)\n"
        "module.os.replace = stop\n"
        "figure = Figure(EXIT_CODE, (('pipeline', 'p'), ('command', 'score')), 1)\n"
        f"module.MetricsFile(Path(sys.argv[1]), 'p', {LAKE!r}).update('score', [figure], 1)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert done.returncode == -9 and (tmp_path / "reached").exists()
    assert file.path.read_bytes() == before
    file.update("score", _figures(code=3), 1)
    assert _read(file.path)["last_run_exit_code", "p", "score"] == 3, "and is in nobody's way"


def test_a_reader_never_sees_half_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = MetricsFile(tmp_path, "p", LAKE)
    file.update("score", _figures(), 1)
    seen: list[Sequence[str]] = []

    def look(new: Path, path: Path) -> None:
        assert new.parent == path.parent, "of one file system, or it would be no rename"
        seen.append(path.read_text().splitlines())
        os.rename(new, path)

    monkeypatch.setattr(prometheus_text.os, "replace", look)
    file.update("score", _figures(code=3), 1)
    [former] = seen
    assert any("exit_code" in line and line.endswith(" 0") for line in former)


def test_lines_of_others_are_told_and_replaced(tmp_path: Path) -> None:
    file = MetricsFile(tmp_path, "p", LAKE)
    for text in (
        "half a li",
        "other_metric 1\n",
        f"# lake: {LAKE}\nbatchinfer_last_run_exit_code 1\n",
    ):
        file.path.write_text(text)
        with pytest.raises(NotReceived, match=r"is written, but .*last success is gone"):
            file.update("score", _figures(), 1)
        assert _read(file.path)["last_run_exit_code", "p", "score"] == 0
    file.path.write_bytes(b"\xff\xfe")
    with pytest.raises(NotReceived, match="is written, but"):
        file.update("score", _figures(), 1)


@pytest.mark.parametrize("what", ["missing", "a file"])
def test_a_folder_that_is_none_is_told(tmp_path: Path, what: str) -> None:
    folder = tmp_path / "metrics"
    if what == "a file":
        folder.touch()
    with pytest.raises(NotReceived, match=r"batchinfer_p.prom: (No such file|Not a directory)"):
        MetricsFile(folder, "p", LAKE).update("score", _figures(), 1)
    assert not folder.is_dir(), "a folder that nobody reads is not made"
