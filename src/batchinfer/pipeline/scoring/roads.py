"""Sends a slice's rows to the workers by the chosen road, and brings back one result a task."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from batchinfer.config.types import parse_ddl, spark_name
from batchinfer.pipeline.reuse.done_before import DoneBefore
from batchinfer.pipeline.reuse.equal_rows_choice import decide
from batchinfer.pipeline.reuse.known_index import KnownIndex
from batchinfer.pipeline.scoring.compiled_programs import ship_compiled
from batchinfer.pipeline.scoring.earlier_runs import known_rates
from batchinfer.pipeline.scoring.once import score_once
from batchinfer.pipeline.scoring.pandas_road import packed, place_name
from batchinfer.pipeline.scoring.resolved_inputs import ResolvedInputs, columns_to_read
from batchinfer.pipeline.scoring.scoring_task import ScoreArrow, ScorePandas, ScoreSplits
from batchinfer.pipeline.scoring.task_plan import ModelPlan, ScoringPlan, plan_digest
from batchinfer.pipeline.scoring.task_result import Rates, TaskResult
from batchinfer.pipeline.slices.prepared import row_faults, with_raw
from batchinfer.pipeline.slices.reading import SliceSplit
from batchinfer.pipeline.slices.slice_data import SliceData
from batchinfer.pipeline.slices.slice_frames import slice_frame
from batchinfer.pipeline.slices.slice_splits import empty_split, splits_of
from batchinfer.pipeline.slices.table_columns import TableColumns
from batchinfer.prepare.table_step import RAW, REMOVED
from batchinfer.spark.capacity import model_workers, profile_of, task_threads
from batchinfer.spark.frames import quoted_name
from batchinfer.spark.progress import RowProgress
from batchinfer.spark.sending import ship_folder, ship_modules
from batchinfer.spark.tasks import Work, run_batches, run_tasks

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from batchinfer.inference.road_choice import Road
    from batchinfer.lake.runs import LatestRun


# A task that shares rows out sends the inputs of equal ones once: few large tasks send little.
_SENDER_BYTES = 2**30
# A task of fewer rows costs more to start than to run; one of more needs too much memory where rows
# are wide.
_TASK_ROWS = (2_000, 250_000)
# A task of the direct road should not have many more: what one has finished, a run that follows a
# killed one does not do again. To start one takes 0.06 s of a worker.
_SPLIT_ROWS = 400_000


def run_road(
    spark: SparkSession,
    inputs: ResolvedInputs,
    earlier: Sequence[LatestRun],
    done: DoneBefore,
    prepared: DataFrame | None = None,
    known: KnownIndex | None = None,
) -> RoadOutcome:
    """Scores a slice on the executors.

    Args:
        earlier: runs of the bundle, as `earlier_runs.runs_of_bundle` gives them.
        done: rows that are not to be scored.
        prepared: the rows after table transforms, where the pipeline has some.
        known: rows that were answered before; None: there are none.

    Runs on: driver.

    Raises:
        InputError: a row that a table transform cannot compute.
        ModelError: a handler that breaks its own declaration.
    """
    data, road, model = inputs.data, inputs.road, inputs.model
    if not data.files:
        return RoadOutcome(road, [], "")
    context = inputs.columns.context
    with RowProgress(spark, data.rows) as row_progress:
        archive = ship_folder(spark, model.folder, model.ref.digest)
        ship_modules(spark, context.root)
        rates = known_rates(earlier)
        threads = task_threads(spark, context.environment.spark.model_task)
        plan = scoring_plan(inputs, threads, archive, rates, row_progress.folder, known)
        if context.pipeline.model.compile:
            compiled = ship_compiled(spark, context.bundle_cache, model.ref.digest)
            plan = replace(plan, model=replace(plan.model, compiled=compiled))
        if road.name == "direct":
            plan = replace(plan, digest=done.plan, forced=done.forced)
            return _run_direct(spark, inputs, plan, rates, done, row_progress)
        return RoadOutcome(road, _run(spark, inputs, prepared, plan, row_progress), "")


@dataclass(frozen=True)
class RoadOutcome:
    """The road taken, one result a task, and how equal rows were looked for beyond single
    batches.
    """

    road: Road
    results: list[TaskResult]
    equal_rows: str


def _run_direct(
    spark: SparkSession,
    inputs: ResolvedInputs,
    plan: ScoringPlan,
    rates: Rates,
    done: DoneBefore,
    row_progress: RowProgress,
) -> RoadOutcome:
    context, data = inputs.columns.context, inputs.data
    task = context.environment.spark.model_task
    count, profile = model_workers(spark, task), profile_of(spark, task)
    splits = splits_of(data, count, task_rows=_SPLIT_ROWS, covered=done.covered)
    if not splits:
        return RoadOutcome(inputs.road, [], "no row was left to be scored")
    senders = max(count, math.ceil(sum(each.split.bytes for each in splits) / _SENDER_BYTES))
    asked = context.pipeline.model.deduplicate
    place, looks_up = context.looked_up, plan.known is not None
    decision = decide(
        splits, plan.model.inputs, rates.greatest_rate(), asked, senders, place, looks_up
    )
    if decision.exchange and place is not None:
        large = splits_of(data, count, _SENDER_BYTES, rounds=1, covered=done.covered)
        described = _description(context.name, data)
        results = score_once(spark, plan, large, count, place, described, row_progress, profile)
    else:
        found = run_tasks(
            spark,
            Work(ScoreSplits(plan), SliceSplit, TaskResult),
            splits,
            _description(context.name, data),
            row_progress=row_progress,
            profile=profile,
        )
        results = [result for of_task in found for result in of_task]
    return RoadOutcome(inputs.road, results, decision.reason)


def _description(name: str, data: SliceData) -> str:
    return f"scoring {name}, slice {data.slice}"


def _run(
    spark: SparkSession,
    inputs: ResolvedInputs,
    prepared: DataFrame | None,
    plan: ScoringPlan,
    row_progress: RowProgress,
) -> list[TaskResult]:
    columns, data = inputs.columns, inputs.data
    types = {name: spark_type_of(columns, name) for name in plan.columns}
    context = columns.context
    task = context.environment.spark.model_task
    count, profile = _tasks(data.rows, model_workers(spark, task)), profile_of(spark, task)
    description = _description(context.name, data)
    if prepared is None:
        frame = slice_frame(spark, data).select(*[quoted_name(name) for name in plan.columns])
    else:
        # Shuffles leave few partitions, because Spark joins small ones up; a hash of the key puts
        # each row into the same one whenever a task is tried again.
        frame = with_raw(prepared, plan.columns, list(columns.prepared))
        frame = frame.repartition(count, *[quoted_name(name) for name in plan.key])
        types |= {REMOVED: "string", RAW: "string"}
    with row_faults():
        if inputs.road.name == "arrow":
            frame = frame.select(*[quoted_name(name) for name in types]).toDF(
                *map(place_name, range(len(types)))
            )
            return run_batches(
                frame,
                ScoreArrow(plan, list(types)),
                TaskResult,
                description,
                count,
                row_progress,
                profile=profile,
            )
        frame = packed(frame, {name: parse_ddl(type_) for name, type_ in types.items()})
        return run_batches(
            frame,
            ScorePandas(plan, types),
            TaskResult,
            description,
            count,
            row_progress,
            through="mapInPandas",
            profile=profile,
        )


def _tasks(rows: int, count: int) -> int:
    """How many tasks share these rows: one for each worker, fewer of few rows, more of very
    many.
    """
    fewest, most = _TASK_ROWS
    return max(1, min(count, math.ceil(rows / fewest)), math.ceil(rows / most))


def spark_type_of(columns: TableColumns, column: str) -> str:
    """Spark SQL type of a column that scoring reads."""
    return spark_name(columns.prepared[column])


def scoring_plan(
    inputs: ResolvedInputs,
    threads: int,
    archive: str,
    rates: Rates,
    row_progress: str,
    known: KnownIndex | None = None,
) -> ScoringPlan:
    """What all tasks of the run share; the module is not compiled."""
    columns, data = inputs.columns, inputs.data
    context = columns.context
    return ScoringPlan(
        pipeline=context.name,
        slice=data.slice,
        run_id=context.run_id,
        predictions=context.predictions,
        quarantine=context.quarantine,
        columns=columns_to_read(columns, inputs.model.inputs),
        key={name: spark_type_of(columns, name) for name in context.pipeline.source.key},
        source_table=data.table,
        source_version=data.version,
        scored_at=inputs.scored_at,
        model=_model_plan(inputs, archive, rates),
        threads=threads,
        modules=str(context.root),
        removals=columns.preparation.reasons(),
        row_progress=row_progress,
        carried={name: spark_type_of(columns, name) for name in columns.carried},
        sensitive=tuple(sorted(context.sensitive.names)),
        known=known,
    )


def scoring_digest(inputs: ResolvedInputs) -> str:
    """See `task_plan.plan_digest`; empty where rows do not come from files, but from frames.

    Runs on: driver, without Spark.
    """
    if inputs.road.name != "direct" or not inputs.data.files:
        return ""
    plan = scoring_plan(inputs, threads=1, archive="", rates=Rates(), row_progress="")
    compiles = inputs.columns.context.pipeline.model.compile
    return plan_digest(plan, empty_split(inputs.data), compiles)


def _model_plan(inputs: ResolvedInputs, archive: str, rates: Rates) -> ModelPlan:
    model, pipeline = inputs.model, inputs.columns.context.pipeline
    settings, allowed = pipeline.model, pipeline.checks.max_quarantine_rate
    return ModelPlan(
        name=model.ref.name,
        version=model.ref.version,
        digest=model.ref.digest,
        archive=archive,
        inputs=model.inputs,
        outputs=model.outputs,
        device=settings.device,
        batch_rows=settings.batch.rows,
        max_bytes=settings.batch.max_bytes,
        max_weight=settings.batch.max_weight,
        timeout_s=settings.batch.timeout_s,
        # Past this the run ends with exit 5 anyway; looking for single rows further on would cost
        # time for nothing.
        max_failures=max(1000, int(allowed * inputs.data.rows) + 1),
        trust=settings.trust,
        precision=settings.computes_in,
        known_rates=rates if settings.batch.rows == "auto" else Rates(),
        deduplicate=settings.deduplicate != "never",
    )
