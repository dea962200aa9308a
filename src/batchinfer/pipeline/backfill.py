"""`backfill`: every landed slice between two that is missing, stale or failed, one after the
other.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from batchinfer import stopping
from batchinfer.command_reports import RunReport
from batchinfer.errors import BatchInferError, Interrupted
from batchinfer.hints import hint_fields
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.definition.costs import cost_of
from batchinfer.pipeline.fallbacks.settled_fallbacks import settle_fallbacks
from batchinfer.pipeline.observed.observed_run import observe
from batchinfer.pipeline.planning.budget import open_budget
from batchinfer.pipeline.run_record import record_unchanged
from batchinfer.pipeline.score import score_slice
from batchinfer.pipeline.scoring.resolved_inputs import (
    check_suite_columns,
    load_suites,
    resolve_model,
)
from batchinfer.pipeline.slices.span import find_span
from batchinfer.pipeline.slices.table_columns import TableColumns
from batchinfer.report.terminal import show_error
from batchinfer.spark.held_resources import HeldResources, held_by_settings
from batchinfer.spark.jvm import cancel_jobs, end_children

if TYPE_CHECKING:
    from batchinfer.spark.session import OpenSession

_Outcome = RunReport | BatchInferError
# A slice that is broken off has so long to remove what it had staged, twice.
_TIDIES_S = 0.8
# What a slice that failed tells of its run, as far as that has come.
_OF_FAILED = ("run_id", "rows_in", "rows_quarantined", "rows_removed")
_LOOKS_S = 0.5


@dataclass
class BackfillReport:
    """What a backfill did, slice by slice; `exit_code` is the smallest that is not zero, else 0.

    `warnings` are those of the model, which hold for every slice, and those of slices that were up
    to date; others are in the slices' runs. `cost` is what the executors cost while it went, at the
    pipeline's prices: slices at the same time share them. `left` are slices that it did not begin
    because of what it may cost.
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
    left: list[str] = field(default_factory=list)
    cost: float | None = None
    hint: str | None = None
    runs: list[RunReport] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        body = {name: value for name, value in vars(self).items() if name not in ("runs", "hint")}
        return (
            body
            | hint_fields(self.hint)
            | {counter: sum(getattr(run, counter) for run in self.runs) for counter in _COUNTERS}
        )


_COUNTERS = ("rows_in", "rows_scored", "rows_reused", "rows_quarantined")


def backfill_slices(
    context: Context,
    start: str,
    end: str,
    open_session: OpenSession,
    force: bool = False,
    parallel: int = 1,
    before: Sequence[str] = (),
    max_cost: float | None = None,
) -> BackfillReport:
    """Scores the slices from start to end, both included; goes on after a slice that fails.

    Args:
        before: landed slices outside of the span that are scored before those in it, in this order.
        max_cost: no slice is begun with which all would cost more, at the pipeline's prices.

    Runs on: driver.

    Raises:
        ConfigError: bounds that are no slices of the pipeline, or in the wrong order; an estimate
            above `max_cost`, or none; a collector of the environment that cannot be asked for.
        Interrupted: a signal came; the slices that were at work are left as they were.
    """
    started = time.perf_counter()
    seen = observe(context, "backfill")
    try:
        report = _backfill(context, start, end, open_session, force, parallel, before, max_cost)
        report.seconds = round(time.perf_counter() - started, 3)
    except (Exception, Interrupted) as error:
        if seen is not None:
            seen.finish_failed(error, time.perf_counter() - started)
        raise
    _tell_cost(context, report)
    if max_cost is not None and report.cost is not None and report.cost > max_cost:
        report.warnings.append(
            f"the backfill cost {report.cost:.4g}, more than --max-cost {max_cost:g}: a slice that "
            "has begun is not broken off"
        )
    if seen is not None:
        told = seen.finish(
            report.status, report.exit_code, report.seconds, report.to_json(), report.errors
        )
        report.warnings += told
    return report


def _backfill(
    context: Context,
    start: str,
    end: str,
    open_session: OpenSession,
    force: bool,
    parallel: int,
    before: Sequence[str],
    max_cost: float | None,
) -> BackfillReport:
    span = find_span(context, start, end)
    warnings = [*_check_once(context), *([span.note] if span.note else [])]
    report = BackfillReport(
        context.run_id, context.name, no_data=list(span.no_data), warnings=warnings
    )
    budget = None if max_cost is None else open_budget(context, span, force, max_cost)

    def score_one(name: str) -> _Outcome | None:
        if budget is not None and not budget.admits(name):
            return None
        outcome = _score_one(context, name, open_session, force)
        if budget is not None:
            budget.ended(name, outcome)
        return outcome

    present = [*before, *span.landed]
    began = dt.datetime.now(dt.UTC)
    try:
        _score_all(report, present, parallel, score_one)
    finally:
        unchanged = [run for run in report.runs if run.status == "unchanged"]
        record_unchanged(context, "score", began, unchanged)
    _settle(context, report, open_session)
    if budget is not None and (reached := budget.reached(end)):
        report.left = sorted(budget.left)
        report.errors += reached.problems
        report.hint = reached.hint
        report.exit_code = min(report.exit_code or reached.exit_code, reached.exit_code)
    report.status = "failed" if report.exit_code else ("done" if present else "no_data")
    return report


def _settle(context: Context, report: BackfillReport, open_session: OpenSession) -> None:
    """Brings the fallbacks to what is published, once for all slices."""
    try:
        report.warnings += settle_fallbacks(context, open_session)
    except BatchInferError as error:
        show_error(error)
        report.errors += error.problems
        report.exit_code = min(report.exit_code or error.exit_code, error.exit_code)


def _tell_cost(context: Context, report: BackfillReport) -> None:
    """What the executors cost from the beginning to the end; 0 where no slice had to be scored."""
    held: HeldResources | None = max(
        (HeldResources(run.cores, run.gpus) for run in report.runs),
        default=HeldResources(0),
        key=_size,
    )
    if held == HeldResources(0) and any(one["status"] == "failed" for one in report.slices):
        # Not every run that fails comes to tell what it held.
        settings, device = context.environment.spark, context.pipeline.model.device
        held = held_by_settings(settings, device)
    report.cost = cost_of(context.pipeline.prices, held, report.seconds)


def _size(held: HeldResources) -> tuple[float, int]:
    return held.gpus, held.cores


def _check_once(context: Context) -> list[str]:
    """What would fail in every slice for the same words in a file, told once and before any of
    them; the warnings that hold for all of them.
    """
    columns, suites = TableColumns(context), load_suites(context.pipeline, context.root)
    try:
        model = resolve_model(columns)
    except BatchInferError:
        # Each slice reports it, as `score` would.
        return []
    check_suite_columns(columns, suites, model)
    return list(model.warnings)


def _score_all(
    report: BackfillReport,
    names: Sequence[str],
    parallel: int,
    score: Callable[[str], _Outcome | None],
) -> None:
    """Scores the slices in threads, so many at a time; their outcomes, in order, go into the
    report. A slice that is not begun has none.
    """
    from concurrent.futures import ThreadPoolExecutor, wait

    stop = threading.Event()

    def score_next(name: str) -> _Outcome | None:
        return None if stop.is_set() else score(name)

    pool = ThreadPoolExecutor(max_workers=max(1, parallel))
    futures = [pool.submit(score_next, name) for name in names]
    try:
        for name, future in zip(names, futures, strict=True):
            while not wait([future], _LOOKS_S).done:
                stopping.check()
            if outcome := future.result():
                _take(report, name, outcome)
            stopping.check()
    except BaseException as error:
        stop.set()
        pool.shutdown(wait=False, cancel_futures=True)
        _break_off(futures)
        if isinstance(error, Interrupted):
            error.facts |= {"run_id": report.run_id, "slices": report.slices}
        raise
    pool.shutdown()


def _break_off(futures: Sequence[Future[Any]]) -> None:
    """Ends the slices that are at work: their threads wait for Spark or for a child, and tidy up
    when these are gone.
    """
    from concurrent.futures import wait

    cancel_jobs()
    if wait(futures, _TIDIES_S).not_done:
        end_children()
        wait(futures, _TIDIES_S)


def _score_one(context: Context, slice_: str, open_session: OpenSession, force: bool) -> _Outcome:
    own = context.child_of("backfill")
    try:
        return score_slice(own, slice_, open_session, force, settles=False)
    except BatchInferError as error:
        return error
    except Exception as error:
        traceback.print_exc()
        return BatchInferError(f"{type(error).__name__}: {error}")


def _take(report: BackfillReport, slice_: str, outcome: RunReport | BatchInferError) -> None:
    if isinstance(outcome, BatchInferError):
        show_error(outcome)
        report.slices.append(
            {
                "slice": slice_,
                "status": "failed",
                "exit_code": outcome.exit_code,
                "errors": list(outcome.problems),
                "hint": None,
                **{name: outcome.facts[name] for name in _OF_FAILED if name in outcome.facts},
            }
            | hint_fields(outcome.hint)
        )
        report.errors += [f"slice {slice_}: {problem}" for problem in outcome.problems]
        report.exit_code = min(report.exit_code or outcome.exit_code, outcome.exit_code)
        return
    report.runs.append(outcome)
    if outcome.status == "unchanged":
        # It has no run of its own that would tell.
        known = set(report.warnings)
        report.warnings += [
            f"slice {slice_}: {each}" for each in outcome.warnings if each not in known
        ]
    told = {"slice": slice_, "run_id": outcome.run_id, **outcome.headline()}
    report.slices.append(told | {"rows_removed": outcome.rows_removed})
