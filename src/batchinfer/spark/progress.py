"""How many rows the tasks of a run have scored, told while they score.

Spark tells of tasks only when they end, and a run may have few long ones. Where workers share the
driver's machine, each task keeps a small file of its counts, which the driver adds up. On a cluster
there is no such folder; the bar then counts tasks.
"""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from batchinfer.scratch import process_folder
from batchinfer.spark.shipping import is_local

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


_EVERY_S = 0.5
_POLL_S = 0.2


class RowCounts(NamedTuple):
    """Rows of all tasks so far: all that came in, and those of them that could not be scored."""

    rows: int
    failed: int


class RowProgress:
    """The driver's side: a folder for the tasks' counts, while a run goes.

    Args:
        total: rows of the run.
    """

    def __init__(self, spark: SparkSession, total: int) -> None:
        self.total = total
        # local-cluster[…] too: its executors are processes of this machine.
        self.folder = str(process_folder("progress")) if is_local(spark.sparkContext.master) else ""

    def __enter__(self) -> RowProgress:
        return self

    def __exit__(self, *_: object) -> None:
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def count(self) -> RowCounts:
        """What the tasks have told; of a task that was tried again, what its last attempt has."""
        latest: dict[str, tuple[int, RowCounts]] = {}
        for path in Path(self.folder).glob("*-*"):
            task, _, attempt = path.name.partition("-")
            with contextlib.suppress(OSError, ValueError):
                rows, failed = path.read_text().split()
                if int(attempt) >= latest.get(task, (-1,))[0]:
                    latest[task] = int(attempt), RowCounts(int(rows), int(failed))
        return RowCounts(
            sum(counts.rows for _, counts in latest.values()),
            sum(counts.failed for _, counts in latest.values()),
        )


class TaskProgress:
    """A task's side: writes its counts now and then. Progress is no part of the work: a folder that
    is gone stops nothing.

    Runs on: executor.
    """

    def __init__(self, folder: str) -> None:
        self._path = Path(folder) / _name() if folder else None
        self._next = 0.0

    def tell(self, rows: int, failed: int) -> None:
        """Writes the counts, if the last time is long enough ago."""
        now = time.monotonic()
        if self._path is None or now < self._next:
            return
        self._next = now + _EVERY_S
        self._write(rows, failed)

    def end(self, rows: int, failed: int) -> None:
        """Writes the last counts."""
        if self._path is not None:
            self._write(rows, failed)

    def _write(self, rows: int, failed: int) -> None:
        assert self._path is not None
        try:
            self._path.write_text(f"{rows} {failed}")
        except OSError:
            self._path = None


def _name() -> str:
    """Of this task's file: its number, and which attempt at it this is."""
    from pyspark import TaskContext

    task = TaskContext.get()
    return f"{task.partitionId()}-{task.attemptNumber()}" if task is not None else "0-0"


class show_progress:  # noqa: N801 - reads as the verb it is
    """Shows a bar of Spark tasks while a job runs; asks Spark's status tracker from a thread of its
    own.
    """

    def __init__(
        self, spark: SparkSession, description: str, total: int, row_progress: RowProgress | None
    ) -> None:
        self.context, self.description, self.total = spark.sparkContext, description, total
        self.row_progress = (
            row_progress if row_progress is not None and row_progress.folder else None
        )
        self.done = threading.Event()

    def __enter__(self) -> None:
        self.context.setJobGroup(self.description, self.description, interruptOnCancel=True)
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.thread.join(timeout=5)

    def _watch(self) -> None:
        from py4j.protocol import Py4JError

        try:
            self._show_tasks() if self.row_progress is None else self._show_rows(self.row_progress)
        except (Py4JError, OSError):
            # The JVM is gone. Whoever waits for the tasks learns of it, and tells it better than a
            # progress bar.
            return

    def _show_rows(self, row_progress: RowProgress) -> None:
        from batchinfer.report.terminal import progress

        with progress(self.description, row_progress.total, "rows") as advance:
            shown, ended = 0, False
            while not ended:
                ended = self.done.wait(_POLL_S)
                counts = row_progress.count()
                advance(
                    counts.rows - shown, f"{counts.failed:,} quarantined" if counts.failed else ""
                )
                shown = counts.rows

    def _show_tasks(self) -> None:
        from batchinfer.report.terminal import progress

        tracker = self.context.statusTracker()
        before = set(tracker.getJobIdsForGroup(self.description))
        with progress(self.description, self.total) as advance:
            shown = 0
            while not self.done.wait(_POLL_S):
                completed = sum(
                    _completed(tracker, job)
                    for job in set(tracker.getJobIdsForGroup(self.description)) - before
                )
                advance(completed - shown)
                shown = completed
            advance(self.total - shown)


def _completed(tracker: Any, job: int) -> int:
    info = tracker.getJobInfo(job)
    stages = [tracker.getStageInfo(stage) for stage in info.stageIds] if info else []
    return sum(stage.numCompletedTasks for stage in stages if stage)
