"""The first job of a session on this machine, run for its own sake while the driver reads keys.

Spark loads the classes of its scheduler and forks Python workers with the first job: 0.4 s in which
no row is scored (2 cores).
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from typing import TYPE_CHECKING

from batchinfer.spark.capacity import is_one_process

if TYPE_CHECKING:
    from pyspark import SparkContext
    from pyspark.sql import SparkSession


_GROUP = "first job"
# Sessions that have had it: one that scores slice after slice needs no other.
_begun: weakref.WeakSet[SparkContext] = weakref.WeakSet()


def _nothing(_: int) -> tuple[()]:
    return ()


def begin_first_job(spark: SparkSession) -> threading.Thread | None:
    """Has the workers of a session on `local[…]` start, in a thread that need not be waited for;
    None where they have, and on other masters, whose executors start in their own time.

    Runs on: driver.
    """
    context = spark.sparkContext
    if context in _begun or not is_one_process(context.master):
        return None
    _begun.add(context)

    def run() -> None:
        # The session may end meanwhile, of which PySpark tells by errors of all kinds. Nothing
        # waits for this job: whatever else is wrong, the next one tells.
        with contextlib.suppress(Exception):
            context.setJobGroup(_GROUP, "starts the Python workers")
            count = context.defaultParallelism
            context.parallelize(range(count), count).flatMap(_nothing).collect()

    thread = threading.Thread(target=run, name="first-job", daemon=True)
    thread.start()
    return thread
