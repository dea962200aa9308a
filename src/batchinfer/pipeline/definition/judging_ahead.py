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
from batchinfer.spark.capacity import is_one_process, master_of
from batchinfer.spark.jvm import is_running

if TYPE_CHECKING:
    from batchinfer.checks.judging_process import JudgingProcess


@contextlib.contextmanager
def judging_ahead(context: Context) -> Generator[JudgingProcess | None]:
    """The process, which ends with the block; None where Spark judges whatever the rows are, or
    where it would take the one core that there is.

    Runs on: driver.
    """
    pipeline, settings = context.pipeline, context.environment.spark
    suites = pipeline.checks.input or pipeline.checks.predictions
    takes_spark = bool(pipeline.prepare) or pipeline.model.road != "auto" or is_running()
    if not suites or takes_spark or cores() < 2 or not is_one_process(master_of(settings)):
        yield None
        return
    from batchinfer.checks.judging_process import JudgingProcess

    judging = JudgingProcess()
    try:
        yield judging
    finally:
        judging.close()
