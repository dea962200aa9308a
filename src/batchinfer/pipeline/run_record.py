"""The record of every attempt: one row in the append-only `runs` table, whatever became of it."""

from __future__ import annotations

import datetime as dt
import functools
import inspect
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from batchinfer import stopping
from batchinfer.contracts import BUNDLE_DIGEST, MODEL_VERSION, SOURCE_VERSION
from batchinfer.credentials import IDENTIFIERS, told_without_secrets
from batchinfer.errors import BatchInferError, Interrupted, SliceHeld, StorageError, TableTooNew
from batchinfer.pipeline.damaged_files import damage_behind, remedies
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.definition.next_steps import next_step
from batchinfer.pipeline.definition.untold_values import telling_no_values, without_values
from batchinfer.pipeline.observed.observed_run import ObservedRun, observe
from batchinfer.report.terminal import show_line
from batchinfer.spark.jvm import as_ended, is_running, why_started

if TYPE_CHECKING:
    from batchinfer.lake.runs import LatestRun

Given = ParamSpec("Given")
Result = TypeVar("Result")


def recorded(
    command: str,
) -> Callable[
    [Callable[Concatenate[Context, Given], Result]], Callable[Concatenate[Context, Given], Result]
]:
    """Decorates the function of a command, so that each call of it is recorded; see `record_run`.
    An argument `slice_` names the slice that the run is of.
    """

    def decorate(
        work: Callable[Concatenate[Context, Given], Result],
    ) -> Callable[Concatenate[Context, Given], Result]:
        signature = inspect.signature(work)

        @functools.wraps(work)
        def run(context: Context, *args: Given.args, **kwargs: Given.kwargs) -> Result:
            slice_ = signature.bind(context, *args, **kwargs).arguments.get("slice_")
            return record_run(context, command, slice_, lambda: work(context, *args, **kwargs))

        return run

    return decorate


def record_run(
    context: Context, command: str, slice_: str | None, work: Callable[[], Result]
) -> Result:
    """Runs `work` and appends its row to the runs table; an error is recorded and raised again.
    The environment's collectors are told of it when it begins and when it has ended.

    A run that did nothing (unchanged, or a slice that another run holds) leaves no row: it would
    hide the former one. An unchanged one that comes after an attempt that failed does leave one:
    all is well again. Those of a backfill it records together.

    Runs on: driver. Writes to: stderr, where it makes the state folder.

    Raises:
        TableTooNew: the runs table is of a newer build; then nothing was done.
    """
    started, began = time.perf_counter(), dt.datetime.now(dt.UTC)
    base = {
        "run_id": context.run_id,
        "pipeline": context.name,
        "command": command,
        "slice": slice_,
        "started_at": began,
    }
    facts = {"run_id": context.run_id, "pipeline": context.name} | (
        {"slice": slice_} if slice_ else {}
    )
    if told := context.loaded.state.told_once():
        show_line(told)
    seen: ObservedRun | None = None
    had_session = is_running()
    try:
        _check_format(context.runs)
        seen = observe(context, command, slice_)
        with remedies(context), telling_no_values(context):
            result = work()
        _tell_session(result, had_session)
        without_values(context, result)
    except (Exception, Interrupted) as error:
        told = _told(error)
        if isinstance(told, _Unforeseen):
            told = damage_behind(context, slice_, error) or told
        told.facts |= facts
        if isinstance(told, BatchInferError) and told.hint is None:
            told.hint = next_step(context.asked, command, slice_, told)
        seconds = time.perf_counter() - started
        ended = {
            "status": "interrupted" if isinstance(told, Interrupted) else "failed",
            "exit_code": told.exit_code,
            "seconds": seconds,
        }
        if not isinstance(told, SliceHeld):
            body = told.facts | ended | {"errors": list(told.problems)}
            append_attempt(context.runs, {**base, **ended}, body)
        if seen is not None:
            seen.finish_failed(told, seconds)
        if isinstance(told, _Unforeseen):
            error.__dict__["facts"] = told.facts
            raise
        if told is error:
            raise
        raise told from error
    report: Any = result
    body = report.to_json()
    if report.status != "unchanged":
        columns = {
            name: body.get(name)
            for name in (
                MODEL_VERSION,
                BUNDLE_DIGEST,
                SOURCE_VERSION,
                "version",
                "rows_in",
                "rows_quarantined",
            )
        }
        append_attempt(
            context.runs,
            {**base, **columns, "status": report.status, "exit_code": 0, "seconds": report.seconds},
            body,
        )
    elif context.parent is None or context.parent.command != "backfill":
        record_unchanged(context, command, began, [report])
    if seen is not None:
        report.warnings += seen.finish(report.status, 0, report.seconds, body)
    return result


def record_unchanged(
    context: Context, command: str, began: dt.datetime, reports: Sequence[Any]
) -> None:
    """Appends a row for each run that found nothing to do, where the attempt before it failed.

    Args:
        command: extract, whose attempts are of the whole source, or one whose reports name slices.
        began: when the first of them did: what fails later stays the last attempt.
        reports: of these runs.

    Runs on: driver.
    """
    from batchinfer.lake.runs import last_attempts, newest_attempts

    before: dict[str | None, LatestRun] = {}
    try:
        if command == "extract":
            for attempt in newest_attempts(context.runs, context.name, command, 1):
                before[None] = attempt
        else:
            slices = {report.slice for report in reports}
            before |= last_attempts(context.runs, context.name, command, slices)
    except StorageError as error:
        print(f"batchinfer: {context.runs} could not be read: {error}", file=sys.stderr)
        return
    for report in reports:
        slice_ = getattr(report, "slice", None)
        last = before.get(slice_)
        if last is None or not last.exit_code or last.started_at > began:
            continue
        row = {
            "run_id": report.run_id,
            "pipeline": context.name,
            "command": command,
            "slice": slice_,
            "started_at": began,
            "status": report.status,
            "exit_code": 0,
            "seconds": report.seconds,
        }
        append_attempt(context.runs, row, report.to_json())


def _tell_session(report: Any, had_session: bool) -> None:
    """Says in the reports that tell it why their run started a session, where they do not yet."""
    if not had_session and getattr(report, "session", None) == "":
        report.session = why_started()


class _Unforeseen(BatchInferError):
    """What is recorded of an error that nobody foresaw; it is raised as it came."""


def _told(error: Exception | Interrupted) -> BatchInferError | Interrupted:
    """The error as it is told: after a signal, and where Spark's JVM has gone, many others follow
    from that.
    """
    if isinstance(error, Interrupted):
        return error
    if cause := stopping.asked() or as_ended(error):
        cause.facts |= getattr(error, "facts", {})
        return cause
    if isinstance(error, BatchInferError):
        return error
    return _Unforeseen(f"{type(error).__name__}: {error}")


def _check_format(runs: str) -> None:
    """Refuses a runs table of a newer build; what else is wrong with it, `append_attempt` says."""
    from batchinfer.lake.snapshots import exists, open_table

    try:
        if exists(runs):
            open_table(runs)
    except TableTooNew:
        raise
    except StorageError:
        return


def append_attempt(table: str, row: dict[str, Any], body: dict[str, Any]) -> None:
    """Appends an attempt's row with the fields of its JSON line. A record that cannot be written is
    said, and never turns a published run into a failed one.

    Runs on: driver.
    """
    import json

    from batchinfer.lake.runs import append_run

    told = json.dumps(told_without_secrets(body, IDENTIFIERS), default=str)
    try:
        append_run(table, {**row, "report": told})
    except StorageError as error:
        print(f"batchinfer: the run could not be recorded in {table}: {error}", file=sys.stderr)
