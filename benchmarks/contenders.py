"""The ways to score Parquet files that are compared: each a function of (workload, session) that
writes key + prediction.

A contender that runs in a process of its own says itself how many seconds it took.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from batchinfer.contracts import DataFile
from batchinfer.inference.split_reading import Split
from batchinfer.models.precision import Precision
from benchmarks.trees import library_alone, save_for_mlflow
from benchmarks.workloads import KINDS, Workload

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SCHEMA = pa.schema([("key", pa.int64()), ("prediction", pa.float64())])
# A peer that has not ended by then has failed.
PEER_TIMEOUT_S = 1800
# Batches of the bare loop's size whose tensors the ceiling goes around.
_DISTINCT = 32


def _score_files(
    kind: str, files: list[str], target: str, ahead: bool = False, whole: bool = True
) -> None:
    """A bare loop: read, encode, forward, write.

    Args:
        ahead: the next batch is read and encoded by a thread meanwhile.
        whole: row groups are read whole beforehand (`pre_buffer`).
    """
    model, rows = _model(kind), KINDS[kind].batch_rows
    with pq.ParquetWriter(target, SCHEMA, compression="zstd") as writer:
        for file in files:
            batches = pq.ParquetFile(file, pre_buffer=whole).iter_batches(
                batch_size=rows, use_threads=False
            )
            encoded = ((batch.column("key"), model.encode(batch)) for batch in batches)
            for key, tensors in _one_ahead(encoded) if ahead else encoded:
                prediction = model.decode(model.forward(tensors))["prediction"]
                writer.write_batch(pa.RecordBatch.from_arrays([key, prediction], schema=SCHEMA))


def _one_ahead(items: Iterator[Any]) -> Iterator[Any]:
    """The same items; a thread makes the next one while this one is used."""
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(next, items, None)
        while (item := waiting.result()) is not None:
            waiting = thread.submit(next, items, None)
            yield item


_MODELS: dict[str, Any] = {}


def _model(kind: str) -> Any:
    """The model of this process."""
    if kind not in _MODELS:
        _MODELS[kind] = KINDS[kind].model()
    return _MODELS[kind]


_PROCESSES: list[ProcessPoolExecutor] = []


def _processes() -> ProcessPoolExecutor:
    if not _PROCESSES:
        _PROCESSES.append(ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")))
    return _PROCESSES[0]


def bare_loop(workload: Workload, _: SparkSession, ahead: bool = False, whole: bool = True) -> None:
    """Two processes of PyArrow and PyTorch, a file each, at the batch size that suits the caches.

    The processes stay from run to run with PyTorch imported, as Spark's Python workers do.
    """
    workload.output.mkdir()
    jobs = [
        _processes().submit(
            _score_files,
            workload.kind,
            [str(file)],
            str(workload.output / f"{place}.parquet"),
            ahead,
            whole,
        )
        for place, file in enumerate(workload.files)
    ]
    for job in jobs:
        job.result()


def _import_torch(rows: Iterator[int]) -> Iterator[int]:
    import torch

    torch.set_num_threads(1)
    time.sleep(0.5)  # so that no worker takes both tasks
    yield from rows


def warm_workers(spark: SparkSession) -> None:
    """Starts Spark's Python workers, with PyTorch imported."""
    spark.sparkContext.parallelize(range(2), 2).mapPartitions(_import_torch).count()


@dataclass(frozen=True)
class EngineTask:
    """A split that the engine scores, of which kind, where its rows go, and in what it computes."""

    split: Split
    kind: str
    output: str
    precision: Precision = "float32"


def _handler(kind: str, precision: Precision = "float32") -> Any:
    """The model as executors have it: that of a table by the product's own handler, in tiles."""
    import copy

    from batchinfer.models.device_layout import in_tiles
    from batchinfer.models.handler import RawOutput
    from batchinfer.models.precision import Lowered, lower

    model = KINDS[kind].model()
    exact = copy.deepcopy(model.module)
    if precision != "float32":
        lower(model.module, precision)
    if kind != "tabular":
        return model
    handler = RawOutput(model.module, columns=model.names)
    if precision != "float32":
        handler = Lowered(handler, RawOutput(exact, columns=model.names), precision)
    return in_tiles(handler)


def _engine_split(task: EngineTask) -> Iterator[dict[str, Any]]:
    from batchinfer.inference.batching import new_size
    from batchinfer.inference.engine import BatchScorer
    from batchinfer.inference.split_reading import read_split
    from batchinfer.inference.workers import load_once, size_once
    from batchinfer.lake.staging import StagedWriter

    kind, name = task.kind, f"benchmark {task.kind} {task.precision}"
    handler = load_once(name, partial(_handler, kind, task.precision), threads=1)
    scorer = BatchScorer(handler, size_once(name, partial(new_size, "auto")))
    with StagedWriter(task.output, SCHEMA, (), (), distinct=SCHEMA.names) as writer:
        names = ["key", *KINDS[kind].model.names]
        for scored in scorer.score(read_split(task.split, names)):
            arrays = [scored.rows.column("key"), scored.predictions["prediction"]]
            writer.write(pa.RecordBatch.from_arrays(arrays, schema=SCHEMA), {})
        yield {"files": len(writer.close()), **scorer.counts}


def engine_direct(
    workload: Workload, spark: SparkSession, precision: Precision = "float32"
) -> None:
    """The engine's direct road: workers read their own row groups inside a Spark job."""
    from batchinfer.inference.splits import plan_splits
    from batchinfer.spark.tasks import Work, run_tasks

    workload.output.mkdir()
    files = [
        DataFile(str(file), file.stat().st_size, pq.read_metadata(file).num_rows)
        for file in workload.files
    ]
    output = str(workload.output)
    splits = plan_splits(files, 2)
    tasks = [EngineTask(split, workload.kind, output, precision) for split in splits]
    work = Work(_engine_split, EngineTask, dict[str, int])
    run_tasks(spark, work, tasks, f"engine, {workload.kind}")


def _forward_only(kind: str, file: str) -> float:
    """Seconds of forward passes on as many rows as the file has, over distinct batches of the size
    that is fastest of half to eight times the bare loop's.
    """
    model, usual = _model(kind), KINDS[kind].batch_rows
    opened = pq.ParquetFile(file)
    rows = next(opened.iter_batches(batch_size=_DISTINCT * usual))
    stock = {
        size: [model.encode(rows.slice(at, size)) for at in range(0, rows.num_rows, size)]
        for size in (usual // 2, usual, 2 * usual, 4 * usual, 8 * usual)
    }

    def passes(size: int, times: int = 1) -> float:
        started = time.perf_counter()
        for _ in range(times):
            for tensors in stock[size]:
                model.forward(tensors)
        return time.perf_counter() - started

    passes(usual)
    best = min(stock, key=passes)
    shares = opened.metadata.num_rows / rows.num_rows
    times = round(shares)
    return passes(best, times) * shares / times


def forward_alone(workload: Workload, _: SparkSession) -> float:
    """The ceiling: seconds of the forward passes and nothing else, in two processes."""
    jobs = [_processes().submit(_forward_only, workload.kind, str(file)) for file in workload.files]
    return max(job.result() for job in jobs)


PEERS_PYTHON = Path(__file__).parents[1] / ".venv/share/batchinfer/peers/bin/python"


def peer(name: str) -> Callable[[Workload, Any], float]:
    """Another system, in its own environment and process."""

    def run(workload: Workload, _: SparkSession) -> float:
        command = [
            str(PEERS_PYTHON),
            "-m",
            "benchmarks.peers",
            name,
            workload.kind,
            str(workload.folder),
            str(workload.rows),
        ]
        root = Path(__file__).parents[1]
        environment = {**os.environ, "PYTHONPATH": f"{root / 'src'}:{root}"}
        done = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=PEER_TIMEOUT_S,
        )
        if done.returncode:
            raise RuntimeError(f"{name} failed: {done.stderr[-2000:]}")
        return float(done.stdout.split()[-1])

    return run


def mlflow_spark_udf(workload: Workload, spark: SparkSession) -> None:
    """MLflow's spark_udf of a Python model, in the workers' own environment."""
    import mlflow
    from pyspark.sql import functions as F

    folder = workload.folder / "mlflow"
    if not folder.exists() and workload.kind == "trees":
        save_for_mlflow(folder)
    elif not folder.exists():
        from benchmarks.mlflow_model import Predict

        mlflow.pyfunc.save_model(folder, python_model=Predict(workload.kind))
    udf = mlflow.pyfunc.spark_udf(spark, str(folder), result_type="double", env_manager="local")
    _write(
        workload,
        _read(workload, spark).select("key", udf(F.struct(*workload.names)).alias("prediction")),
    )


def map_in_pandas(workload: Workload, spark: SparkSession) -> None:
    """Spark's mapInPandas, the model loaded once a worker."""
    import pandas as pd

    kind, names = workload.kind, list(workload.names)

    def score(frames: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        model = _model(kind)
        for frame in frames:
            prediction = model.run(model.tensors([frame[name].to_numpy() for name in names]))
            yield pd.DataFrame({"key": frame["key"], "prediction": prediction})

    _write(workload, _read(workload, spark).mapInPandas(score, "key long, prediction double"))


def iterator_pandas_udf(workload: Workload, spark: SparkSession) -> None:
    """Spark's iterator pandas UDF over the columns."""
    import pandas as pd
    from pyspark.sql import functions as F

    kind, one = workload.kind, len(workload.names) == 1

    def score(batches: Iterator[Any]) -> Iterator[pd.Series]:
        model = _model(kind)
        for columns in batches:
            yield pd.Series(
                model.run(
                    model.tensors([column.to_numpy() for column in ([columns] if one else columns)])
                )
            )

    given = Iterator[pd.Series] if one else Iterator[tuple[pd.Series, ...]]
    score.__annotations__ = {"batches": given, "return": Iterator[pd.Series]}
    udf = F.pandas_udf(score, "double")
    _write(workload, _read(workload, spark).select("key", udf(*workload.names).alias("prediction")))


def predict_batch_udf(workload: Workload, spark: SparkSession) -> None:
    """Spark's predict_batch_udf: on an array column where there are many columns, which suits it
    best.
    """
    from pyspark.ml.functions import predict_batch_udf as build
    from pyspark.sql import functions as F
    from pyspark.sql.types import DoubleType

    kind, wide = workload.kind, len(workload.names) > 1

    def load() -> Callable[[np.ndarray], np.ndarray]:
        model = _model(kind)
        return lambda inputs: model.run(model.tensors(inputs.T if wide else [inputs]))

    shapes = {"input_tensor_shapes": [[len(workload.names)]]} if wide else {}
    udf = build(load, return_type=DoubleType(), batch_size=KINDS[kind].batch_rows, **shapes)
    given = F.array(*workload.names) if wide else F.col(workload.names[0])
    _write(workload, _read(workload, spark).select("key", udf(given).alias("prediction")))


def _read(workload: Workload, spark: SparkSession) -> Any:
    return spark.read.parquet(str(workload.folder / "input"))


def _write(workload: Workload, frame: Any) -> None:
    frame.write.parquet(str(workload.output))


CEILING = "forward pass alone"
LIBRARY = "XGBoost, its own threads"
CONTENDERS: dict[str, Callable[[Workload, Any], float | None]] = {
    CEILING: forward_alone,
    "bare loop": bare_loop,
    LIBRARY: lambda workload, _: library_alone(workload.files, workload.output, SCHEMA),
    "bare loop, reading in pieces": partial(bare_loop, whole=False),
    "bare loop, encoding ahead": partial(bare_loop, ahead=True),
    "engine, direct road": engine_direct,
    "mapInPandas": map_in_pandas,
    "iterator pandas UDF": iterator_pandas_udf,
    "predict_batch_udf": predict_batch_udf,
    "mlflow spark_udf": mlflow_spark_udf,
    "Daft": peer("daft"),
    "Ray Data": peer("ray"),
}


def check_output(workload: Workload) -> None:
    """Every contender must have scored every key, with the same predictions."""
    found = pq.read_table(workload.output).sort_by("key")
    if found.column("key").to_numpy().tolist() != list(range(workload.rows)):
        raise RuntimeError(f"{found.num_rows} keys written, {workload.rows} expected")
    first = next(pq.ParquetFile(workload.files[0]).iter_batches(batch_size=64))
    model = _model(workload.kind)
    expected = model.forward(model.encode(first))
    np.testing.assert_allclose(
        found.column("prediction").to_numpy()[: first.num_rows], expected, rtol=1e-4, atol=1e-5
    )


def clear(workload: Workload) -> None:
    """Removes a contender's output."""
    shutil.rmtree(workload.output, ignore_errors=True)
