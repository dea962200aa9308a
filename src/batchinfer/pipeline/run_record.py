"""The record of every attempt: one row in the append-only `runs` table, whatever became of it."""

from __future__ import annotations

import datetime as dt
import sys
import time
from collections.abc import Callable
from typing import Any, TypeVar

from batchinfer.contracts import BUNDLE_DIGEST, MODEL_VERSION, SOURCE_VERSION
from batchinfer.credentials import without_credentials
from batchinfer.errors import BatchInferError, SliceHeld, StorageError, TableTooNew
from batchinfer.pipeline.definition.context import Context

Result = TypeVar("Result")


def recorded(
    context: Context, command: str, slice_: str | None, work: Callable[[], Result]
) -> Result:
    """Runs `work` and appends its row to the runs table; an error is recorded and raised again.

    A run that did nothing (unchanged, or a slice that another run holds) leaves no row: it would
    hide the former one.

    Runs on: driver.

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
    try:
        _check_format(context)
        result = work()
    except Exception as error:
        known = isinstance(error, BatchInferError)
        error.__dict__["facts"] = (error.facts if known else {}) | facts
        if not isinstance(error, SliceHeld):
            ended = {
                "status": "failed",
                "exit_code": error.exit_code if known else BatchInferError.exit_code,
                "seconds": time.perf_counter() - started,
            }
            problems = (
                list(error.problems)
                if known
                else [without_credentials(f"{type(error).__name__}: {error}")]
            )
            _append(
                context, {**base, **ended}, error.__dict__["facts"] | ended | {"errors": problems}
            )
        raise
    report: Any = result
    if report.status != "unchanged":
        body = report.to_json()
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
        _append(
            context,
            {**base, **columns, "status": report.status, "exit_code": 0, "seconds": report.seconds},
            body,
        )
    return result


def _check_format(context: Context) -> None:
    """Refuses a runs table of a newer build; what else may be wrong with it, `_append` says."""
    from batchinfer.lake.snapshots import exists, open_table

    try:
        if exists(context.runs):
            open_table(context.runs)
    except TableTooNew:
        raise
    except StorageError:
        return


def _append(context: Context, row: dict[str, Any], body: dict[str, Any]) -> None:
    """A record that cannot be written is said, and never turns a published run into a failed
    one.
    """
    import json

    from batchinfer.lake.runs import append_run

    try:
        append_run(context.runs, {**row, "report": json.dumps(body, default=str)})
    except StorageError as error:
        print(
            f"batchinfer: the run could not be recorded in {context.runs}: {error}", file=sys.stderr
        )
