"""`score`: one slice of the landed table -> checked predictions, published by one atomic commit."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from batchinfer.command_reports import RunReport
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.scoring import few_rows
from batchinfer.pipeline.scoring.publication import Publication, attempt
from batchinfer.pipeline.scoring.published import Published, check_owner, read_published
from batchinfer.pipeline.scoring.resolved_inputs import ResolvedInputs, resolve_inputs
from batchinfer.pipeline.scoring.settling import settle

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    OpenSession = Callable[[], SparkSession]


def score_slice(
    context: Context,
    slice_: str,
    open_session: OpenSession,
    force: bool = False,
    evolve: bool = False,
) -> RunReport:
    """Scores one landed slice and publishes its predictions, or does nothing where they are up to
    date, but for what a replay that was cut off has left.

    Runs on: driver.

    Raises:
        ConfigError, InputError, ChecksFailed, TooManyQuarantined, SliceHeld, ModelError,
            StorageError: each with the exit code of the contract; in every case the predictions
            table is as it was.
    """
    from batchinfer.lake.orphans import hold_and_sweep

    started = time.perf_counter()
    inputs = resolve_inputs(context, slice_)
    lake, tables = context.environment.lake, context.staged_tables
    with hold_and_sweep(lake, context.name, slice_, context.run_id, tables) as swept:
        inputs.report.warnings += swept
        published = read_published(context, slice_, replaced=force).get(slice_)
        note = check_owner(context, slice_, published)
        if published is not None and not force and _is_up_to_date(inputs, published):
            inputs.report.status = "unchanged"
            if published.is_unsettled:
                settle(inputs, published, open_session)
        else:
            inputs.report.warnings += [note] if note else []
            with few_rows.loading(context, inputs.data, inputs.model, inputs.road) as child:
                seen = published.version if published else None
                attempt(Publication(context, inputs, open_session, evolve, child, seen), started)
    inputs.report.seconds = round(time.perf_counter() - started, 3)
    return inputs.report


def _is_up_to_date(inputs: ResolvedInputs, published: Published) -> bool:
    """True if the slice is published from this data by this model; the report then says so."""
    data, report = inputs.data, inputs.report
    if published.is_stale(data, inputs.model.ref.digest):
        return False
    report.version = published.version
    report.rows_reused = published.rows
    report.rows_quarantined = data.rows - published.rows
    report.rows_in = data.rows
    return True
