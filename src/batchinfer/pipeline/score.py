"""`score`: one slice of the landed table -> checked predictions, published by one atomic commit."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from batchinfer.command_reports import RunReport
from batchinfer.contracts import SLICE, DataFile
from batchinfer.errors import ConfigError, InputError, InputMissing
from batchinfer.hints import Hint
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.definition.costs import note_held, tell_cost
from batchinfer.pipeline.fallbacks.level_queries import check_levels
from batchinfer.pipeline.fallbacks.settled_fallbacks import settle_fallbacks
from batchinfer.pipeline.reuse.done_before import DoneBefore, forget_finished, taking_over
from batchinfer.pipeline.reuse.known_index import AnsweringModel, KnownIndex, known_rows
from batchinfer.pipeline.run_record import recorded
from batchinfer.pipeline.scoring import commits, few_rows
from batchinfer.pipeline.scoring.judging import RowsToJudge
from batchinfer.pipeline.scoring.outcome import RunOutcome
from batchinfer.pipeline.scoring.publication import Publication
from batchinfer.pipeline.scoring.published import (
    Published,
    check_owner,
    choose_answered,
    has_to_be_scored,
    read_published,
    slices_to_ask,
)
from batchinfer.pipeline.scoring.resolved_inputs import (
    ResolvedInputs,
    judged_columns,
    resolve_inputs,
)
from batchinfer.pipeline.scoring.roads import scoring_digest
from batchinfer.pipeline.scoring.settling import settle
from batchinfer.pipeline.slices.landed import read_landed_slices
from batchinfer.pipeline.slices.prepared import prepared_frame
from batchinfer.pipeline.slices.slice_frames import slice_frame
from batchinfer.pipeline.slices.slice_table import slice_table
from batchinfer.pipeline.slices.unique_keys import check_keys
from batchinfer.spark.jvm import is_running

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from batchinfer.lake.runs import LatestRun
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
            forget_finished(context, slice_)
            _tell_unchanged(inputs, published)
            if published.is_unsettled:
                settle(inputs, published, open_session)
                note_held(context, inputs.report, open_session() if is_running() else None)
        else:
            inputs.report.warnings += [note] if note else []
            commits.check_predictions(inputs.columns, inputs.model, slice_, evolve)
            with (
                few_rows.loading(inputs) as beside,
                # One process beside the driver does all its rows, or none.
                taking_over(
                    context, inputs.data, "" if beside else scoring_digest(inputs), force
                ) as done,
            ):
                inputs.report.warnings += done.notes
                if context.pipeline.fallback is not None:
                    # While the model is loaded there, if it is.
                    wanted = commits.columns_to_be(inputs.columns, inputs.model)
                    check_levels(context, context.pipeline.fallback, open_session, wanted)
                rows = WholeSlice(inputs, evolve, known, force, done)
                Publication(inputs, rows, open_session, beside).run(started)
    if settles:
        began = time.perf_counter()
        inputs.report.warnings += settle_fallbacks(context, open_session)
        if context.pipeline.fallback is not None:
            inputs.report.stage_seconds["fallbacks"] = round(time.perf_counter() - began, 3)
    inputs.report.seconds = round(time.perf_counter() - started, 3)
    tell_cost(context.pipeline.prices, inputs.report)
    return inputs.report


def _tell_unchanged(inputs: ResolvedInputs, published: Published) -> None:
    """The slice is published from this data by this model."""
    data, report = inputs.data, inputs.report
    report.status = "unchanged"
    report.version = published.version
    report.rows_reused = published.rows
    report.rows_quarantined = data.rows - published.rows
    report.rows_in = data.rows


@dataclass(frozen=True)
class WholeSlice:
    """All rows of a slice, which replace what was published of it. The quarantine is committed
    first, so that only the last commit makes the run count.

    Attributes:
        evolve: add columns that the predictions table lacks.
        published: what was published of the slice when the attempt began, and of others whose rows
            it may reuse.
        force: all rows are scored.
        done: rows that need no scoring.
    """

    inputs: ResolvedInputs
    evolve: bool
    published: Mapping[str, Published]
    force: bool
    done: DoneBefore

    def prepare(self, attempt: Publication) -> DataFrame | None:
        started = time.perf_counter()
        columns, data, report = self.inputs.columns, self.inputs.data, self.inputs.report
        report.feature_tables = columns.preparation.used_tables()
        if not columns.preparation.steps or not data.files:
            return None
        prepared = prepared_frame(attempt.spark, columns, data, columns.landed)
        report.stage_seconds["prepare"] = round(time.perf_counter() - started, 3)
        return prepared

    def check_rows(self, attempt: Publication) -> None:
        """Duplicate keys and the input suite (exit 3); the suite judges the rows as they landed."""
        inputs, data = self.inputs, self.inputs.data
        started = time.perf_counter()

        def spark() -> SparkSession:
            return attempt.spark_because("keys repeat, and Spark finds which")

        check_keys(spark, inputs.columns, data, inputs.road, attempt.prepared)
        inputs.report.stage_seconds["keys"] = round(time.perf_counter() - started, 3)
        if "input" not in inputs.suites:
            return

        def frame() -> DataFrame:
            from pyspark.sql.functions import lit

            rows = slice_frame(attempt.spark, data)
            return rows if SLICE in rows.columns else rows.withColumn(SLICE, lit(data.slice))

        types = judged_columns(inputs.columns, inputs.model)["input"]
        table = partial(slice_table, data)
        rows = RowsToJudge(types, data.rows, len(data.files), table, frame)
        if failures := attempt.judge.failures("input", rows):
            raise InputError(
                [f"input check of slice {data.slice}: {failure}" for failure in failures]
            )

    def check_found(self, found: int) -> None:
        """Nothing: what is read is held against what landed."""

    @contextmanager
    def known_rows(
        self, attempt: Publication, earlier: Sequence[LatestRun]
    ) -> Generator[KnownIndex | None]:
        inputs, report = self.inputs, self.inputs.report
        context, model = inputs.columns.context, inputs.model
        choice = choose_answered(
            context, inputs.data, self.published, model.ref.digest, earlier,
            force=self.force, done=self.done.rows,
        )  # fmt: skip
        report.reuse = choice.reason
        started = time.perf_counter()
        with known_rows(
            context,
            choice.slices,
            AnsweringModel(model.ref.digest, model.outputs),
            lambda: attempt.spark,
            report.warnings,
        ) as known:
            if choice.slices:
                report.stage_seconds["index"] = round(time.perf_counter() - started, 3)
            yield known

    def published_beside(self) -> Sequence[DataFile]:
        return self.done.kept

    def refuse(self, outcome: RunOutcome) -> None:
        self._commit_failed(outcome, published=False)

    def commit(self, outcome: RunOutcome) -> None:
        inputs = self.inputs
        self._commit_failed(outcome, published=True)
        commits.ensure_predictions(inputs.columns, inputs.model, inputs.data.slice, self.evolve)
        before = self.published.get(inputs.data.slice)
        seen = None if before is None else before.version
        inputs.report.version = commits.commit_slice(inputs, outcome.files, seen, self.done.kept)

    def _commit_failed(self, outcome: RunOutcome, published: bool) -> None:
        commits.commit_failed_rows(
            self.inputs.columns.context, outcome.quarantine, self.inputs.data.slice, published
        )
