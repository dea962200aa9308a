"""The process that will judge a few rows, started before anything is known of them.

Its imports take longer than those of the driver, so it begins when the pipeline file has been read,
and ends at once where it turns out that Spark judges, or that there is nothing to do.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import TYPE_CHECKING

from batchinfer.machine import cores
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.definition.small_runs import why_executors
from batchinfer.spark.jvm import is_running, is_submitted

if TYPE_CHECKING:
    from batchinfer.checks.judging_process import JudgingProcess


@contextlib.contextmanager
def judging_ahead(context: Context) -> Generator[JudgingProcess | None]:
    """The process, which ends with the block; None where Spark judges whatever the rows are, or
    where it would take the one core that there is.

    Runs on: driver.
    """
    pipeline = context.pipeline
    suites = pipeline.checks.input or pipeline.checks.predictions
    has_session = is_running() or is_submitted()
    takes_spark = bool(pipeline.prepare) or pipeline.model.road != "auto" or has_session
    if not suites or takes_spark or cores() < 2 or why_executors(context.environment):
        yield None
        return
    from batchinfer.checks.judging_process import JudgingProcess

    judging = JudgingProcess()
    try:
        yield judging
    finally:
        judging.close()
