"""What one task of a scoring run tells: the files that it staged, what it counted, and where its
time went.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from batchinfer.contracts import StagedFile
from batchinfer.json_values import to_json
from batchinfer.pipeline.reuse.finished_tasks import FinishedTask, noted
from batchinfer.pipeline.reuse.task_origins import TaskOrigin


@dataclass(frozen=True)
class DeviceSeconds:
    """What a device did in a task, in seconds; the rest of the task it waited for the model, or for
    the task to end.

    Attributes:
        device: in words.
        computing: seconds that it computed.
        input: seconds that it waited for rows.
        output: seconds that it waited for what it gave to be taken.
    """

    device: str
    computing: float
    input: float
    output: float


@dataclass(frozen=True)
class CompiledPrograms:
    """What a task compiled, where the pipeline asks for it.

    Attributes:
        programs: by device, as `compiled_programs.device_key` calls it; base64.
        warnings: what went wrong.
    """

    programs: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rates:
    """Rows per second by batch size, by device (as `devices.describe_device` calls it)."""

    by_device: Mapping[str, Mapping[int, float]] = field(default_factory=dict)

    @classmethod
    def greatest(cls, of_tasks: Iterable[Rates]) -> Rates:
        """The greatest rate of each size that some tasks of a run measured."""
        found: dict[str, dict[int, float]] = {}
        for rates in of_tasks:
            for device, by_size in rates.by_device.items():
                known = found.setdefault(device, {})
                known |= {rows: max(rate, known.get(rows, 0.0)) for rows, rate in by_size.items()}
        return cls(found)

    def of(self, device: str) -> Mapping[int, float]:
        return self.by_device.get(device, {})

    def best_rows(self) -> dict[str, int]:
        """The batch size of the greatest rate, of each device that was measured."""
        return {
            device: max(by_size, key=lambda rows: by_size[rows])
            for device, by_size in self.by_device.items()
            if by_size
        }

    def greatest_rate(self) -> float | None:
        """Rows per second of the fastest device; None where none was measured."""
        rates = (rate for by_size in self.by_device.values() for rate in by_size.values())
        return max(rates, default=None)

    def rounded(self) -> dict[str, dict[int, float]]:
        """As reports tell it: the smallest size first."""
        return {
            device: {rows: round(by_size[rows], 1) for rows in sorted(by_size)}
            for device, by_size in self.by_device.items()
            if by_size
        }


@dataclass(frozen=True)
class TaskResult:
    """One task, as it travels from the executor to the driver.

    Attributes:
        files: predictions that were staged.
        quarantine: files of the rows that failed.
        rows_reused: rows that have the prediction of an equal row, of this run or an earlier one.
        rows_carried: those of them that have it of an earlier run.
        rows_removed: rows that a table transform removed; they are quarantined.
        reasons: of the rows that are quarantined, and how many of each.
        examples: what was wrong with the first row that failed.
        seconds: of each stage.
        task_s: seconds from the first to the last.
        counts: of batches and of attempts at them.
        gpu: the address that Spark gave to the task; None: it gave none.
        worker_bytes: most memory that the process held.
        stopped: why it stopped before its last row; empty where it did not.
    """

    files: tuple[StagedFile, ...]
    quarantine: tuple[StagedFile, ...]
    rows_in: int
    rows_scored: int
    rows_reused: int
    rows_quarantined: int
    rows_removed: int
    reasons: Mapping[str, int]
    examples: tuple[str, ...]
    seconds: Mapping[str, float]
    task_s: float
    use: DeviceSeconds
    counts: Mapping[str, int]
    rates: Rates
    gpu: str | None
    worker_bytes: int
    rows_carried: int = 0
    stopped: tuple[str, ...] = ()
    compiled: CompiledPrograms = CompiledPrograms()

    def as_finished(
        self, origin: TaskOrigin, forced: bool, predictions: str, quarantine: str
    ) -> FinishedTask:
        """What a later run has to know of the task: all that it tells but compiled programs.

        Args:
            predictions, quarantine: tables that its files are staged in.
        """
        files = (*noted(predictions, self.files), *noted(quarantine, self.quarantine))
        told = json.loads(to_json(replace(self, compiled=CompiledPrograms())))
        return FinishedTask(origin, forced, self.rows_in, files, told)
