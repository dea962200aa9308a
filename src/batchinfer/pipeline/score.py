"""`score`: one slice of the landed table -> checked predictions, published by one atomic commit."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from batchinfer.command_reports import RunReport
from batchinfer.errors import ConfigError, InputMissing
from batchinfer.hints import Hint
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.definition.costs import note_held, tell_cost
from batchinfer.pipeline.run_record import recorded
from batchinfer.pipeline.scoring.published import (
    Published,
    check_owner,
    has_to_be_scored,
    read_published,
    slices_to_ask,
)
from batchinfer.pipeline.scoring.resolved_inputs import ResolvedInputs, resolve_inputs
from batchinfer.pipeline.slices.landed import read_landed_slices

if TYPE_CHECKING:
    from batchinfer.spark.session import OpenSession


def newest_slice(context: Context) -> str:
    """The newest landed slice of a pipeline whose slices are ingest dates.

    Runs on: driver, without Spark.

    Raises:
        ConfigError: a column decides on the slices: the newest need not be the one that is meant.
        InputMissing: nothing has landed.
    """
    landed = sorted(read_landed_slices(context))
    some = ", ".join(landed[-5:]) or "none, as none has landed"
    if context.pipeline.source.slice != "ingest_date":
        raise ConfigError(
            f"score: got no --slice, but a column of pipeline {context.name} decides on its "
            f"slices; allowed: --slice with one of {some}"
        )
    if not landed:
        does_land = context.pipeline.train is not None and context.pipeline.train.source is None
        raise InputMissing(
            f"nothing of pipeline {context.name} has landed in {context.landed}, so there is no "
            "slice to score",
            Hint(context.asked.command("train"), " lands the source and learns from it")
            if does_land
            else Hint(context.extract_command(), " lands it as today's"),
        )
    return landed[-1]


@recorded("score")
def score_slice(
    context: Context,
    slice_: str,
    open_session: OpenSession,
    force: bool = False,
    evolve: bool = False,
    settles: bool = True,
) -> RunReport:
    """Scores one landed slice and publishes its predictions, or does nothing where they are up to
    date, but for what a replay that was cut off has left.

    Args:
        settles: brings the pipeline's fallbacks to what is published then; False: the caller does.

    Runs on: driver.

    Raises:
        ConfigError, InputError, ChecksFailed, TooManyQuarantined, SliceHeld, ModelError,
            StorageError: each with the exit code of the contract; in every case the predictions
            table is as it was, but where a query of `fallback` fails on its rows: that comes after.
    """
    from batchinfer.lake.orphans import hold_and_sweep

    started = time.perf_counter()
    inputs = resolve_inputs(context, slice_)
    lake, tables = context.environment.lake, context.staged_tables
    with hold_and_sweep(lake, context.name, slice_, context.run_id, tables) as swept:
        inputs.report.warnings += swept
        known = read_published(context, slices_to_ask(context, slice_), replaced=force)
        published = known.get(slice_)
        note = check_owner(context, slice_, published)
        digest = inputs.model.ref.digest
        if published is not None and not has_to_be_scored(published, inputs.data, digest, force):
            _leave_published(inputs, published, open_session)
        else:
            inputs.report.warnings += [note] if note else []
            _publish(inputs, known, open_session, started, force=force, evolve=evolve)
    if settles and context.pipeline.fallback is not None:
        from batchinfer.pipeline.fallbacks.settled_fallbacks import settle_fallbacks

        began = time.perf_counter()
        inputs.report.warnings += settle_fallbacks(context, open_session)
        inputs.report.stage_seconds["fallbacks"] = round(time.perf_counter() - began, 3)
    inputs.report.seconds = round(time.perf_counter() - started, 3)
    tell_cost(context.pipeline.prices, inputs.report)
    return inputs.report


def _publish(
    inputs: ResolvedInputs,
    known: Mapping[str, Published],
    open_session: OpenSession,
    started: float,
    *,
    force: bool,
    evolve: bool,
) -> None:
    """Scores the slice and publishes it.

    Args:
        known: what is published, see `WholeSlice`.
    """
    # A run that finds nothing to do does not load what scores.
    from batchinfer.pipeline.fallbacks.level_queries import check_levels
    from batchinfer.pipeline.reuse.done_before import taking_over
    from batchinfer.pipeline.scoring import commits, few_rows
    from batchinfer.pipeline.scoring.publication import Publication
    from batchinfer.pipeline.scoring.roads import scoring_digest
    from batchinfer.pipeline.scoring.whole_slice import WholeSlice

    context = inputs.columns.context
    commits.check_predictions(inputs.columns, inputs.model, inputs.data.slice, evolve)
    with (
        few_rows.loading(inputs) as beside,
        # One process beside the driver does all its rows, or none.
        taking_over(context, inputs.data, "" if beside else scoring_digest(inputs), force) as done,
    ):
        inputs.report.warnings += done.notes
        if context.pipeline.fallback is not None:
            # While the model is loaded there, if it is.
            wanted = commits.columns_to_be(inputs.columns, inputs.model)
            check_levels(context, context.pipeline.fallback, open_session, wanted)
        rows = WholeSlice(inputs, evolve, known, force, done)
        Publication(inputs, rows, open_session, beside).run(started)


def _leave_published(
    inputs: ResolvedInputs, published: Published, open_session: OpenSession
) -> None:
    """The slice is up to date: notes of its tasks go, and what a replay has left is settled."""
    from batchinfer.lake.task_notes import read_notes

    context, slice_ = inputs.columns.context, inputs.data.slice
    if read_notes(context.predictions, context.name, slice_):
        from batchinfer.pipeline.reuse.done_before import forget_finished

        forget_finished(context, slice_)
    _tell_unchanged(inputs, published)
    if published.is_unsettled:
        from batchinfer.pipeline.scoring.settling import settle
        from batchinfer.spark.jvm import is_running

        settle(inputs, published, open_session)
        note_held(context, inputs.report, open_session() if is_running() else None)


def _tell_unchanged(inputs: ResolvedInputs, published: Published) -> None:
    """The slice is published from this data by this model."""
    data, report = inputs.data, inputs.report
    report.status = "unchanged"
    report.version = published.version
    report.rows_reused = published.rows
    report.rows_quarantined = data.rows - published.rows
    report.rows_in = data.rows
