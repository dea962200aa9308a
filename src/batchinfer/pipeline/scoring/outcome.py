"""What the tasks of one run staged, counted and timed, added up on the driver."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from batchinfer.contracts import DataFile, StagedFile
from batchinfer.json_values import as_value
from batchinfer.pipeline.reuse.done_before import DoneBefore
from batchinfer.pipeline.scoring.task_result import Rates, TaskResult
from batchinfer.pipeline.slices.staged_rows import StagedRows


@dataclass
class RunOutcome(StagedRows):
    """What the tasks of one run staged and counted.

    Attributes:
        rows_resumed: rows, in any of the other counts, that tasks of earlier runs have read.
        kept: published files that stay; their rows are in `rows_reused`.
    """

    examples: list[str] = field(default_factory=list)
    rows_scored: int = 0
    rows_reused: int = 0
    rows_carried: int = 0
    rows_removed: int = 0
    rows_resumed: int = 0
    kept: list[DataFile] = field(default_factory=list)
    worker_bytes: int = 0
    rates: list[Rates] = field(default_factory=list)
    tasks: list[dict[str, Any]] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def rows_kept(self) -> int:
        return sum(file.known_rows for file in self.kept)

    @property
    def published(self) -> list[StagedFile | DataFile]:
        """The files that the slice has where the run is published, the new ones first."""
        return [*self.files, *self.kept]

    def take_over(self, done: DoneBefore) -> None:
        """Adds the rows that were done before; they took none of this run's time."""
        for finished in done.finished:
            result = as_value(TaskResult, finished.result)
            self._add_rows(replace(result, seconds={}))
            self.rows_resumed += result.rows_in
        self.kept += done.kept
        self.rows_in += self.rows_kept
        self.rows_reused += self.rows_kept

    def _add_rows(self, result: TaskResult) -> None:
        self.add_counts(result)
        self.examples += result.examples
        self.rows_scored += result.rows_scored
        self.rows_reused += result.rows_reused
        self.rows_carried += result.rows_carried
        self.rows_removed += result.rows_removed

    def add(self, result: TaskResult) -> None:
        self._add_rows(result)
        self.stopped += result.stopped
        # Every worker that met it says it.
        self.warnings += [
            warning for warning in result.compiled.warnings if warning not in self.warnings
        ]
        self.rates.append(result.rates)
        self.worker_bytes = max(self.worker_bytes, result.worker_bytes)
        told = {
            "seconds": result.task_s,
            "rows": result.rows_in,
            "stages": {stage: round(seconds, 4) for stage, seconds in result.seconds.items()},
            "use": asdict(result.use),
        }
        # The GPU that Spark gave to the task, where it gave one.
        gpu = {} if result.gpu is None else {"gpu": result.gpu}
        self.tasks.append(told | dict(result.counts) | gpu)

    def check_complete(self, rows: int) -> None:
        """Whether all rows of the data were read, and each of them has a prediction that was
        written or is in quarantine.

        Raises:
            RuntimeError: rows were lost, or are there twice.
        """
        passed = self.rows_scored + self.rows_reused
        written = sum(file.rows for file in self.files) + self.rows_kept
        if rows == self.rows_in == passed + self.rows_quarantined and written == passed:
            return
        raise RuntimeError(
            f"rows were lost: {rows} landed, {self.rows_in} read, {self.rows_scored} scored, "
            f"{self.rows_reused} reused, {self.rows_quarantined} quarantined, {written} written"
        )

    def stages(self, inference_s: float, workers: int) -> dict[str, float]:
        """Seconds of the workers by stage, added up; with what the engine itself took, and what
        they waited for work.
        """
        busy = sum(task["seconds"] for task in self.tasks)
        known = {
            stage: self.seconds[stage]
            for stage in ("load", "read", "fingerprint", "encode", "forward", "decode", "write")
        }
        known |= {stage: seconds for stage, seconds in self.seconds.items() if stage not in known}
        known |= {
            "engine": max(0.0, busy - sum(known.values())),
            "idle": max(0.0, workers * inference_s - busy),
        }
        return {stage: round(seconds, 3) for stage, seconds in known.items()}
