"""The job that starts a session's workers while the driver has something else to do."""

from __future__ import annotations

import weakref
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from batchinfer.spark import first_job
from batchinfer.spark.first_job import begin_first_job

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def test_workers_start_once_in_a_thread_of_its_own(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(first_job, "_begun", weakref.WeakSet())
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
    assert begin_first_job(spark) is None


class Cluster:
    """The one fact of a context that is asked for."""

    master = "spark://host:7077"


def test_executors_of_a_cluster_start_in_their_own_time() -> None:
    cluster: Any = SimpleNamespace(sparkContext=Cluster())
    assert begin_first_job(cluster) is None
