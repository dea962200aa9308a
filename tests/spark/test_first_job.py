"""The job that starts a session's workers while the driver has something else to do."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from batchinfer.spark.first_job import begin_first_job

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def test_workers_start_in_a_thread_of_its_own(spark: SparkSession) -> None:
    tracker: Any = spark.sparkContext.statusTracker()
    before = set(tracker.getJobIdsForGroup("first job"))
    thread = begin_first_job(spark)
    assert thread is not None
    thread.join(60)
    assert not thread.is_alive()
    [job] = set(tracker.getJobIdsForGroup("first job")) - before
    [stage] = tracker.getJobInfo(job).stageIds
    done = tracker.getStageInfo(stage)
    assert done.numCompletedTasks == done.numTasks == spark.sparkContext.defaultParallelism


def test_executors_of_a_cluster_start_in_their_own_time() -> None:
    cluster: Any = SimpleNamespace(sparkContext=SimpleNamespace(master="spark://host:7077"))
    assert begin_first_job(cluster) is None
