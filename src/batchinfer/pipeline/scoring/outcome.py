"""What the tasks of one run staged, counted and timed, added up on the driver."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from batchinfer.contracts import StagedFile


@dataclass
class RunOutcome:
    """What the tasks of one run staged and counted."""

    files: list[StagedFile] = field(default_factory=list)
    quarantine: list[StagedFile] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    seconds: Counter[str] = field(default_factory=Counter)
    rows_in: int = 0
    rows_scored: int = 0
    rows_reused: int = 0
    rows_quarantined: int = 0
    rows_removed: int = 0
    worker_bytes: int = 0
    rates: dict[str, dict[str, float]] = field(default_factory=dict)
    tasks: list[dict[str, Any]] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def add(self, result: dict[str, Any]) -> None:
        self.files += [StagedFile.from_json(value) for value in result["files"]]
        self.quarantine += [StagedFile.from_json(value) for value in result["quarantine"]]
        self.reasons.update(result["reasons"])
        self.examples += result["examples"]
        self.seconds.update(result["seconds"])
        self.rows_in += result["rows_in"]
        self.rows_scored += result["rows_scored"]
        self.rows_reused += result["rows_reused"]
        self.rows_quarantined += result["rows_quarantined"]
        self.rows_removed += result["rows_removed"]
        self.stopped += result["stopped"]
        # Every worker that met it says it.
        self.warnings += [
            warning for warning in result.get("warnings", ()) if warning not in self.warnings
        ]
        for device, rates in result["rates"].items():
            known = self.rates.setdefault(device, {})
            known |= {rows: max(rate, known.get(rows, 0.0)) for rows, rate in rates.items()}
        self.worker_bytes = max(self.worker_bytes, result["worker_bytes"])
        stages = {stage: round(seconds, 4) for stage, seconds in result["seconds"].items()}
        told = {
            "seconds": result["task_s"],
            "rows": result["rows_in"],
            "stages": stages,
            "use": result["use"],
        }
        # The GPU that Spark gave to the task, where it gave one.
        gpu = {} if result["gpu"] is None else {"gpu": result["gpu"]}
        self.tasks.append(told | result["counts"] | gpu)

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


def ordered(rates: dict[str, float]) -> dict[str, float]:
    """Rates by batch size, the smallest size first."""
    return {rows: round(rates[rows], 1) for rows in sorted(rates, key=int)}
