"""Rows that tasks tell of while they score."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from batchinfer.spark.progress import RowCounts, RowProgress, TaskProgress


def _session(master: str) -> Any:
    return SimpleNamespace(sparkContext=SimpleNamespace(master=master))


def _beat(folder: str, task: int, attempt: int, monkeypatch: pytest.MonkeyPatch) -> TaskProgress:
    import pyspark

    told = SimpleNamespace(partitionId=lambda: task, attemptNumber=lambda: attempt)
    monkeypatch.setattr(pyspark.TaskContext, "get", lambda: told)
    return TaskProgress(folder)


def test_counts_of_all_tasks_add_up_and_only_the_last_attempt_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with RowProgress(_session("local[2,4]"), 100) as row_progress:
        assert row_progress.count() == RowCounts(0, 0)
        _beat(row_progress.folder, 0, 0, monkeypatch).end(30, 1)
        _beat(row_progress.folder, 1, 0, monkeypatch).end(40, 2)
        _beat(row_progress.folder, 1, 1, monkeypatch).tell(5, 0)
        assert row_progress.count() == RowCounts(35, 1)
        (Path(row_progress.folder) / "2-0").write_text("half-writ")
        assert row_progress.count() == RowCounts(35, 1)
    assert not Path(row_progress.folder).exists()


def test_a_count_is_written_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    with RowProgress(_session("local[1]"), 100) as row_progress:
        task_progress = _beat(row_progress.folder, 0, 0, monkeypatch)
        for rows in range(10, 60, 10):
            task_progress.tell(rows, 0)
        assert row_progress.count().rows == 10, "one in half a second"
        task_progress.end(50, 3)
        assert row_progress.count() == RowCounts(50, 3)


def test_no_folder_on_a_cluster_and_a_folder_that_is_gone_stops_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert RowProgress(_session("k8s://https://host"), 100).folder == ""
    _beat("", 0, 0, monkeypatch).end(1, 1)
    gone = _beat(str(tmp_path / "gone"), 0, 0, monkeypatch)
    gone.tell(1, 0)
    gone.end(2, 0)
    assert not (tmp_path / "gone").exists()
