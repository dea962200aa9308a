"""The cases of `scale_constants` that need Spark: how many tasks a second it starts, of ours and of its own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def tiny_tasks(folder: Path, size: int) -> dict[str, Any]:
    """So many of our tasks that do nothing, on two workers, after some that start these."""
    from batchinfer.pipeline.tasks import run_tasks

    spark = _session()
    run_tasks(spark, nothing, [{}] * 20, "starting workers")
    started = time.perf_counter()
    run_tasks(spark, nothing, [{"number": number} for number in range(size)], "tasks that do nothing")
    seconds = time.perf_counter() - started
    spark.stop()
    return {"seconds": round(seconds, 3), "per_second": round(size / seconds, 1)}


def jvm_tasks(folder: Path, size: int) -> dict[str, Any]:
    """So many tasks without Python, on two threads: what the scheduler itself can start."""
    spark = _session()
    frame = spark.range(0, size, 1, 200)
    frame.count()
    started = time.perf_counter()
    spark.range(0, size, 1, size).selectExpr("id % 2 as half").filter("half = 2").count()
    seconds = time.perf_counter() - started
    spark.stop()
    return {"seconds": round(seconds, 3), "per_second": round(size / seconds, 1)}


def nothing(task: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A task without work. Runs on: executor."""
    yield {"done": True}


def _session() -> Any:
    from batchinfer.config.loader import load_state
    from batchinfer.session import open_session

    return open_session(load_state("local")[0].spark, "constants")
