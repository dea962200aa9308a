"""The cases of `scale_constants` that need Spark: how many tasks a second it starts, of ours and of
its own.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def tiny_tasks(folder: Path, size: int) -> dict[str, Any]:
    """So many of our tasks that do nothing, on two workers, after some that start these."""
    from batchinfer.spark.tasks import Work, run_tasks

    spark = _session()
    work = Work(nothing, dict[str, int], dict[str, int])
    run_tasks(spark, work, [{}] * 20, "starting workers")
    started = time.perf_counter()
    run_tasks(spark, work, [{"number": number} for number in range(size)], "tasks that do nothing")
    seconds = time.perf_counter() - started
    spark.stop()
    return {"seconds": round(seconds, 3), "per_second": round(size / seconds, 1)}


def jvm_tasks(folder: Path, size: int) -> dict[str, Any]:
    """So many tasks without Python and without a shuffle, on two threads that also run them: a
    floor of what is started.
    """
    spark = _session()
    spark.range(0, 200, 1, 200)._jdf.rdd().count()
    rows = spark.range(0, size, 1, size)._jdf.rdd()
    started = time.perf_counter()
    rows.count()
    seconds = time.perf_counter() - started
    spark.stop()
    return {"seconds": round(seconds, 3), "per_second": round(size / seconds, 1)}


def check_rows(folder: Path, size: int) -> dict[str, Any]:
    """The suite of `product` on so many predictions, in files of a million, on two threads."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from batchinfer.checks.expectations import run_suite
    from batchinfer.checks.suites import load_suite
    from batchinfer.spark.frames import files_frame
    from benchmarks.product import SUITE

    (folder / "suite.yaml").write_text(SUITE)
    suite = load_suite(folder / "suite.yaml")
    values = np.random.default_rng(0).standard_normal(1_000_000)
    pq.write_table(
        pa.table({"key": np.arange(len(values)), "prediction": values}), folder / "0.parquet"
    )
    names = [f"{number}.parquet" for number in range(size // len(values))]
    for name in names[1:]:
        (folder / name).hardlink_to(folder / names[0])
    spark = _session()
    seconds = []
    for _ in range(3):  # the first one warms up
        started = time.perf_counter()
        assert not run_suite(
            files_frame(spark, str(folder), names), suite, "predictions"
        ).failures()
        seconds.append(time.perf_counter() - started)
    spark.stop()
    return {"seconds": round(min(seconds), 3)}


def nothing(task: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A task without work. Runs on: executor."""
    yield {"done": True}


def _session() -> Any:
    from batchinfer.config.loader import load_state
    from batchinfer.spark.session import open_session

    return open_session(load_state("local")[0].spark, "constants")
