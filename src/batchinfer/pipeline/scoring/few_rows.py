"""A slice of few rows is scored by one process beside the driver, which loads the model while the
session starts.

For a handful of rows, starting Python workers and importing PyTorch in them takes longer than
everything else. So where executors would run on this machine anyway and none has started yet, the
model is loaded here at the same time as the JVM starts, or without a JVM where nothing else needs
one. It is the child of a task's second attempt, so a row that hangs or crashes is found.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Generator
from functools import partial
from typing import TYPE_CHECKING

from batchinfer.config.environment import Environment
from batchinfer.config.pipeline import Pipeline
from batchinfer.inference.road_choice import Road
from batchinfer.inference.watchdog import ChildRunner
from batchinfer.pipeline.definition.small_runs import is_small
from batchinfer.pipeline.reuse.known_index import KnownIndex
from batchinfer.pipeline.scoring.devices import load_folder
from batchinfer.pipeline.scoring.resolved_inputs import ResolvedInputs
from batchinfer.pipeline.scoring.roads import RoadOutcome, scoring_plan
from batchinfer.pipeline.scoring.scoring_task import ScoringTask
from batchinfer.pipeline.scoring.task_result import Rates
from batchinfer.pipeline.slices.reading import read_rows
from batchinfer.pipeline.slices.slice_data import SliceData
from batchinfer.pipeline.slices.slice_splits import splits_of
from batchinfer.report.terminal import step
from batchinfer.spark.capacity import worker_threads
from batchinfer.spark.jvm import is_running

if TYPE_CHECKING:
    from batchinfer.contracts import ScoringHandler
    from batchinfer.models.formats.artifact import Trust
    from batchinfer.models.precision import Precision


REASON = (
    "{rows:,} rows are few: read with Arrow, and scored by one process that loads the model "
    "while the session starts"
)


def are_few(environment: Environment, pipeline: Pipeline, data: SliceData, road: Road) -> bool:
    """Whether these rows are scored beside the driver: on one machine, by the road that needs no
    Spark, if none is asked for.

    Runs on: driver.
    """
    asked = pipeline.model.road == "auto" and road.name == "direct"
    return asked and is_small(environment, data.rows, data.size)


@contextlib.contextmanager
def loading(inputs: ResolvedInputs) -> Generator[ChildRunner | None]:
    """The process that will score the rows; it has begun to load the model. None where the
    executors shall.

    Where a session runs already, as in a notebook or a backfill, its workers are warm.

    Runs on: driver.
    """
    context, model = inputs.columns.context, inputs.model
    if is_running() or not are_few(context.environment, context.pipeline, inputs.data, inputs.road):
        yield None
        return
    settings = context.pipeline.model
    how = (settings.device, settings.trust, settings.precision)
    loader = partial(_load, str(context.root), str(model.folder), model.ref.digest, *how)
    # As many threads as a worker would have: a prediction does not depend on how many rows came
    # with it.
    threads = worker_threads(context.environment.spark)
    child = ChildRunner(loader, settings.batch.timeout_s, threads=threads)
    try:
        yield child
    finally:
        child.close()


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
