"""`backfill`: every landed slice between two that is missing, stale or failed, one after the
other.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from batchinfer.command_reports import RunReport
from batchinfer.errors import BatchInferError, Interrupted
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.definition.slice_names import check_slice, slices_between
from batchinfer.pipeline.run_record import recorded
from batchinfer.pipeline.score import score_slice
from batchinfer.pipeline.scoring.resolved_inputs import (
    check_suite_columns,
    load_suites,
    resolve_model,
)
from batchinfer.pipeline.slices.landed import read_slices
from batchinfer.pipeline.slices.table_columns import TableColumns

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    OpenSession = Callable[[], SparkSession]


@dataclass
class BackfillReport:
    """What a backfill did, slice by slice; `exit_code` is the smallest that is not zero, else 0.

    `warnings` are those of the model, which hold for every slice; others are in the slices' runs.
    """

    run_id: str
    pipeline: str
    status: str = "done"
    slices: list[dict[str, Any]] = field(default_factory=list)
    no_data: list[str] = field(default_factory=list)
    seconds: float = 0.0
    exit_code: int = 0
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    runs: list[RunReport] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        body = {name: value for name, value in vars(self).items() if name != "runs"}
        return body | {
            counter: sum(getattr(run, counter) for run in self.runs) for counter in _COUNTERS
        }


_COUNTERS = ("rows_in", "rows_scored", "rows_reused", "rows_quarantined")


def backfill_slices(
    context: Context,
    start: str,
    end: str,
    open_session: OpenSession,
    force: bool = False,
    parallel: int = 1,
) -> BackfillReport:
    """Scores the slices from start to end, both included; goes on after a slice that fails.

    Runs on: driver.

    Raises:
        ConfigError: bounds that are no slices of the pipeline, or in the wrong order.
    """
    from concurrent.futures import ThreadPoolExecutor

    started = time.perf_counter()
    rule = context.pipeline.source.slice
    for option, bound in (("--from", start), ("--to", end)):
        check_slice(rule, bound, option)
    landed = read_slices(context.landed)
    wanted = slices_between(rule, landed, start, end)
    warnings = _check_once(context)
    report = BackfillReport(
        context.run_id,
        context.name,
        no_data=[name for name in wanted if name not in landed],
        warnings=warnings,
    )
    present = [name for name in wanted if name in landed]
    with ThreadPoolExecutor(max_workers=max(1, parallel)) as pool:
        for outcome in pool.map(
            lambda name: _score_one(context, name, open_session, force), present
        ):
            _take(report, *outcome)
    report.status = "failed" if report.exit_code else ("done" if present else "no_data")
    report.seconds = round(time.perf_counter() - started, 3)
    return report


def _check_once(context: Context) -> list[str]:
    """What would fail in every slice for the same words in a file, told once and before any of
    them; the warnings that hold for all of them.
    """
    columns, suites = TableColumns(context), load_suites(context)
    try:
        model = resolve_model(columns)
    except BatchInferError:
        # Each slice reports it, as `score` would.
        return []
    check_suite_columns(columns, suites, model)
    return list(model.outdated)


def _score_one(
    context: Context, slice_: str, open_session: OpenSession, force: bool
) -> tuple[str, RunReport | BatchInferError]:
    own = context.with_new_run()
    try:
        return slice_, recorded(
            own, "score", slice_, lambda: score_slice(own, slice_, open_session, force)
        )
    except Interrupted:
        raise
    except BatchInferError as error:
        return slice_, error
    except Exception as error:
        traceback.print_exc()
        return slice_, BatchInferError(f"{type(error).__name__}: {error}")


def _take(report: BackfillReport, slice_: str, outcome: RunReport | BatchInferError) -> None:
    from batchinfer.report.terminal import show_error

    if isinstance(outcome, BatchInferError):
        show_error(outcome)
        report.slices.append(
            {
                "slice": slice_,
                "status": "failed",
                "exit_code": outcome.exit_code,
                "errors": list(outcome.problems),
            }
        )
        report.errors += [f"slice {slice_}: {problem}" for problem in outcome.problems]
        report.exit_code = min(report.exit_code or outcome.exit_code, outcome.exit_code)
        return
    report.runs.append(outcome)
    report.slices.append({"slice": slice_, "run_id": outcome.run_id, **outcome.headline()})
