"""The first job of a session on this machine, run for its own sake while the driver reads keys.

Spark loads the classes of its scheduler and forks Python workers with the first job: 0.4 s in which
no row is scored (2 cores).
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

from batchinfer.spark.capacity import is_one_process

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


_GROUP = "first job"


def _nothing(_: int) -> tuple[()]:
    return ()


def begin_first_job(spark: SparkSession) -> threading.Thread | None:
    """Has the workers of a session on `local[…]` start, in a thread that need not be waited for;
    None on other masters, whose executors start in their own time.

    Runs on: driver.
    """
    context = spark.sparkContext
    if not is_one_process(context.master):
        return None

    def run() -> None:
        from py4j.protocol import Py4JError

        # The session may end meanwhile. Whatever else is wrong, the next job tells better.
        with contextlib.suppress(Py4JError, OSError):
            context.setJobGroup(_GROUP, "starts the Python workers")
            count = context.defaultParallelism
            context.parallelize(range(count), count).flatMap(_nothing).collect()

    thread = threading.Thread(target=run, name="first-job", daemon=True)
    thread.start()
    return thread
