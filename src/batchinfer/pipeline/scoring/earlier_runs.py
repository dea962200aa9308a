"""What earlier runs of a bundle tell about the next one: its batch size and how long it will take.

Read from the runs table, so that it holds for every machine that shares the lake. Advice only:
without it a run does the same work, and finds its batch size by itself.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING

from batchinfer.errors import DamagedFile, StorageError, TableTooNew
from batchinfer.json_values import as_value
from batchinfer.pipeline.scoring.task_result import Rates
from batchinfer.report.timing import WORKER_STAGES
from batchinfer.spark.held_resources import HeldResources

if TYPE_CHECKING:
    from batchinfer.lake.runs import LatestRun

# Runs that are looked at: more say nothing new, and each is a file.
_NEWEST = 64
# Runs that an estimate is made from: machines and data change.
_LATEST = 5
# What takes less than this was no start of Spark, but a session that was open.
_STARTED_S = 0.5
# Stages of workers that more rows do not make longer.
_ONCE = ("load", "compile")
# Stages that rows which are carried over do without.
_MODEL = ("encode", "forward", "decode")
# Up to so many times the rows that were measured, a measurement tells what a row takes.
_NEAR = 10


def runs_of_bundle(runs: str, name: str, digest: str) -> list[LatestRun]:
    """The latest runs with this bundle, one a slice, that were published, oldest first.

    A table that cannot be read is said, and never keeps a run from its work. Runs on: driver,
    without Spark.

    Raises:
        TableTooNew: a newer build has made the table, so that this run could not be recorded.
    """
    from batchinfer.lake.runs import latest_runs

    try:
        latest = latest_runs(runs, name, "score", digest, newest=_NEWEST).values()
    except TableTooNew:
        raise
    except (StorageError, DamagedFile) as error:
        print(f"batchinfer: earlier runs cannot be read: {error}", file=sys.stderr)
        return []
    return sorted(
        (run for run in latest if run.exit_code == 0 and run.rows_in),
        key=lambda run: run.started_at,
    )


def known_rates(runs: Sequence[LatestRun]) -> Rates:
    """What the latest of the runs on each device measured.

    A run hands on what it was told, so the latest knows what those before knew and what no longer
    holds.
    """
    found: dict[str, Mapping[int, float]] = {}
    for run in runs:
        told = run.report.get("batch_rates", {})
        found |= as_value(dict[str, Mapping[int, float]], told)
    return Rates(found)


def estimated_seconds(
    runs: Sequence[LatestRun],
    rows: int,
    starts_spark: bool = True,
    just_now: Sequence[LatestRun] = (),
) -> float | None:
    """Seconds that a run of so many rows will take, from what the latest runs took; None without
    any.

    A run has a part that grows with its rows, most of the inference, and one that hardly does:
    the load of the model, checks, commit, and the start of Spark. Some of the latest runs may have
    found a session open, as in a night or a backfill: the start is what the others took for it.

    Args:
        starts_spark: whether the run needs a session, and has to open it.
        just_now: runs of this process, oldest first. The part that does not grow is theirs alone;
            so is what a row takes, unless they had far fewer rows than are asked for.
    """
    runs, just_now = _scored_whole(runs), _scored_whole(just_now)
    latest = [*runs, *just_now][-_LATEST:]
    if not latest:
        return None
    alike = list(just_now[-_LATEST:]) or latest
    fixed = median((run.seconds or 0.0) - _growing_s(run) - _start_seconds(run) for run in alike)
    measured = alike if _NEAR * _rows(alike) >= rows else latest
    a_row = sum(map(_growing_s, measured)) / _rows(measured)
    starts = [start for run in runs if (start := _start_seconds(run)) >= _STARTED_S]
    start = median(starts[-_LATEST:]) if starts_spark and starts else 0.0
    return round(fixed + start + a_row * rows, 1)


def model_seconds(runs: Sequence[LatestRun]) -> float | None:
    """Seconds of a worker in which the model scores a row, as the latest runs took them: the one
    that scored most rows tells best. None where none of them tells.
    """
    told = [
        # What was taken over from a run that ended took none of this one's time.
        (
            run.report.get("rows_scored", 0) - run.report.get("rows_resumed", 0),
            run.report.get("stage_seconds", {}),
        )
        for run in runs[-_LATEST:]
    ]
    rows, stages = max(told, key=lambda each: each[0], default=(0, {}))
    seconds = sum(stages.get(stage, 0.0) for stage in _MODEL)
    return seconds / rows if rows > 0 and seconds else None


def _scored_whole(runs: Sequence[LatestRun]) -> Sequence[LatestRun]:
    """Those that scored all of their rows: others say little of how long it takes. Where each of
    them has carried rows over, these: how many rows the next run scores is not known.
    """
    whole = [
        run for run in runs if not (run.report.get("rows_resumed") or run.report.get("rows_kept"))
    ]
    return [run for run in whole if not run.report.get("rows_carried")] or whole


def reckoned_shares(runs: Sequence[LatestRun]) -> tuple[float, float] | None:
    """How long the latest runs took, as shares of what `estimated_seconds` makes of their rows: the
    least and the greatest; None of fewer than two runs. The start of Spark is in neither.
    """
    shares: list[float] = []
    for run in _scored_whole(runs)[-_LATEST:]:
        reckoned = estimated_seconds(runs, run.rows_in or 0, starts_spark=False)
        if reckoned:
            shares.append(((run.seconds or 0.0) - _start_seconds(run)) / reckoned)
    return (min(shares), max(shares)) if len(shares) > 1 else None


def held_before(runs: Sequence[LatestRun]) -> HeldResources | None:
    """What the latest run held that says it; None where none does."""
    for run in reversed(runs):
        if count := run.report.get("cores"):
            return HeldResources(int(count), float(run.report.get("gpus", 0.0)))
    return None


def _start_seconds(run: LatestRun) -> float:
    return run.report.get("stage_seconds", {}).get("session", 0.0)


def _rows(runs: Sequence[LatestRun]) -> int:
    return sum(run.rows_in or 0 for run in runs)


def _growing_s(run: LatestRun) -> float:
    """Seconds of the inference without the load of the model, and without the start of a worker
    where that is known; all of it where the stages of the workers were not timed.
    """
    stages = run.report.get("stage_seconds", {})
    inference = stages.get("inference", run.seconds or 0.0)
    busy = sum(stages.get(stage, 0.0) for stage in WORKER_STAGES if stage != "idle")
    if not busy:
        return inference
    # So many workers were at work at a time; with one, what it waited was its start.
    at_once = max(1.0, busy / inference) if inference else 1.0
    return (busy - sum(stages.get(stage, 0.0) for stage in _ONCE)) / at_once


def worker_bytes(runs: Sequence[LatestRun]) -> int | None:
    """The most memory that one worker took in the latest runs; None if none of them says."""
    told = [run.report.get("worker_bytes", 0) for run in runs[-_LATEST:]]
    return max(told, default=0) or None
