"""A slice of few rows is scored and judged by two processes beside the driver, and no JVM starts.

For a handful of rows, starting Spark and importing PyTorch in its workers takes longer than
everything else. So where executors would run on this machine anyway and none has started yet, the
model is loaded by one process, and Great Expectations by another, at the same time. The first is
the child of a task's second attempt, so a row that hangs or crashes is found. Where something needs
Spark all the same, its session starts meanwhile, and the report says why.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from batchinfer.config.environment import Environment
from batchinfer.config.pipeline import Pipeline
from batchinfer.inference.road_choice import Road
from batchinfer.inference.watchdog import ChildRunner
from batchinfer.pipeline.definition.small_runs import is_small
from batchinfer.pipeline.reuse.known_index import KnownIndex
from batchinfer.pipeline.scoring.devices import load_folder
from batchinfer.pipeline.scoring.earlier_runs import known_rates, runs_of_bundle
from batchinfer.pipeline.scoring.resolved_inputs import (
    ResolvedInputs,
    ResolvedModel,
    judged_columns,
)
from batchinfer.pipeline.scoring.roads import RoadOutcome, scoring_plan
from batchinfer.pipeline.scoring.scoring_task import ScoringTask
from batchinfer.pipeline.scoring.task_result import Rates
from batchinfer.pipeline.slices.reading import read_rows
from batchinfer.pipeline.slices.slice_data import SliceData
from batchinfer.pipeline.slices.slice_splits import splits_of
from batchinfer.pipeline.slices.table_columns import TableColumns
from batchinfer.report.terminal import step
from batchinfer.spark.capacity import worker_threads
from batchinfer.spark.jvm import is_running

if TYPE_CHECKING:
    from batchinfer.checks.judging_process import JudgingProcess
    from batchinfer.checks.suites import Suite
    from batchinfer.contracts import ScoringHandler
    from batchinfer.lake.runs import LatestRun
    from batchinfer.models.formats.artifact import Trust
    from batchinfer.models.precision import Precision


REASON = "{rows:,} rows are few: read with Arrow, and scored by one process beside the driver"
# So few that no model is slow with them.
_ALWAYS_FEW_ROWS = 2_000
# Nobody has measured the model yet. A slow one, of texts or images, takes a minute for so many.
_UNMEASURED_ROWS = 5_000
# What one process may take to score what is few: the start of Spark and its workers takes longer.
_SECONDS = 5.0


@dataclass(frozen=True)
class Beside:
    """The processes that work on few rows beside the driver.

    Attributes:
        model: loads the model, and scores.
        judging: judges by suites; None: there are none, or Spark has to.
    """

    model: ChildRunner
    judging: JudgingProcess | None


def are_few(
    environment: Environment,
    pipeline: Pipeline,
    data: SliceData,
    road: Road,
    earlier: Callable[[], Sequence[LatestRun]],
) -> bool:
    """Whether these rows are scored beside the driver: on one machine, by the road that needs no
    Spark, if none is asked for.

    Args:
        earlier: runs of the bundle, asked for where the rows are more than a few.

    Runs on: driver.
    """
    asked = pipeline.model.road == "auto" and road.name == "direct"
    if not asked or not is_small(environment, data.rows, data.size):
        return False
    if data.rows <= _ALWAYS_FEW_ROWS:
        return True
    rate = known_rates(earlier()).greatest_rate()
    return data.rows <= (_UNMEASURED_ROWS if rate is None else rate * _SECONDS)


def why_session(
    columns: TableColumns,
    data: SliceData,
    road: Road,
    few: bool,
    suites: Mapping[str, Suite],
    model: ResolvedModel,
) -> str:
    """Why a run of a slice starts a Spark session; empty where it starts none.

    Args:
        few: as `are_few` says it.

    Runs on: driver.
    """
    pipeline = columns.context.pipeline
    if not few and pipeline.model.road != "auto":
        return f"model.road: {pipeline.model.road}"
    if not few:
        by_spark = road.name != "direct"
        return road.reason if by_spark else f"executors score {data.rows:,} rows"
    queries = ["fallback: the queries of its levels are Spark's"] if pipeline.fallback else []
    return "; ".join([*queries, *_why_spark_judges(suites, columns, model)])


def _why_spark_judges(
    suites: Mapping[str, Suite], columns: TableColumns, model: ResolvedModel
) -> list[str]:
    from batchinfer.checks.pandas_verdicts import kinds_of_types, why_spark

    if not suites:
        return []
    judged = judged_columns(columns, model)
    reasons = (why_spark(suite, kinds_of_types(judged[kind])) for kind, suite in suites.items())
    return [reason for reason in reasons if reason]


@contextlib.contextmanager
def loading(inputs: ResolvedInputs) -> Generator[Beside | None]:
    """The processes that will score and judge the rows; they have begun to load what they need.
    None where the executors shall.

    Where a session runs already, as in a notebook or a backfill, its workers are warm.

    Runs on: driver.
    """
    context, model = inputs.columns.context, inputs.model
    pipeline = context.pipeline

    def earlier() -> list[LatestRun]:
        return runs_of_bundle(context.runs, context.name, model.ref.digest)

    if is_running():
        yield None
        return
    data, road, suites = inputs.data, inputs.road, inputs.suites
    few = are_few(context.environment, pipeline, data, road, earlier)
    inputs.report.session = why_session(inputs.columns, data, road, few, suites, model)
    judges = few and bool(suites) and not _why_spark_judges(suites, inputs.columns, model)
    if not few:
        yield None
        return
    settings = pipeline.model
    how = (settings.device, settings.trust, settings.computes_in)
    loader = partial(_load, str(context.root), str(model.folder), model.ref.digest, *how)
    # As many threads as a worker would have: a prediction does not depend on how many rows came
    # with it.
    threads = worker_threads(context.environment.spark)
    with contextlib.ExitStack() as started:
        child = ChildRunner(loader, settings.batch.timeout_s, threads=threads)
        started.callback(child.close)
        judging = None
        if judges:
            from batchinfer.checks.judging_process import JudgingProcess

            judging = JudgingProcess(suites)
            started.callback(judging.close)
        yield Beside(child, judging)


def _load(
    modules: str, folder: str, digest: str, device: str, trust: Trust, precision: Precision
) -> ScoringHandler:
    """Loads a bundle, in the child; a module of the user's own is looked for in the project too, as
    executors do.
    """
    sys.path.append(modules)
    return load_folder(folder, digest, device, trust, precision)


def score_here(
    inputs: ResolvedInputs, child: ChildRunner, known: KnownIndex | None = None
) -> RoadOutcome:
    """Scores the rows; the outcome is as `roads.run_road` gives it.

    Args:
        known: rows that were answered before; None: there are none.

    Runs on: driver.

    Raises:
        ModelError: the model cannot be loaded, or its process crashes on many rows.
    """
    data, threads = inputs.data, worker_threads(inputs.columns.context.environment.spark)
    plan = scoring_plan(inputs, threads, archive="", rates=Rates(), row_progress="", known=known)
    task = ScoringTask(plan, child)
    with step(f"loading the model, and scoring {data.rows:,} rows"):
        result = task.run(
            rows for split in splits_of(data, 1) for rows in read_rows(split, plan.columns)
        )
    return RoadOutcome(
        Road("direct", REASON.format(rows=data.rows)),
        [result],
        "only inside batches: the rows are few",
    )
