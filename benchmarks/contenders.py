"""The ways to score Parquet files that are compared: each a function of (workload, session) that writes key + prediction.

A contender that runs in a process of its own says itself how many seconds it took.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

WIDTH = 64
NAMES = [f"f{place:02d}" for place in range(WIDTH)]
BATCH_ROWS = 2048


@dataclass(frozen=True)
class Workload:
    """Rows x 64 float32 in Parquet files, a key, and an MLP 64-256-256-1 with fixed weights."""

    folder: Path
    rows: int

    @property
    def files(self) -> list[Path]:
        return sorted((self.folder / "input").glob("*.parquet"))

    @property
    def output(self) -> Path:
        return self.folder / "output"


def make_workload(folder: Path, rows: int) -> Workload:
    """Writes the input once; two files of row groups of 131,072 rows."""
    workload = Workload(folder, rows)
    (folder / "input").mkdir(parents=True)
    random = np.random.default_rng(0)
    for number in range(2):
        count = rows // 2
        columns = {"key": np.arange(number * count, (number + 1) * count)}
        columns |= {name: random.standard_normal(count, dtype=np.float32) for name in NAMES}
        pq.write_table(pa.table(columns), folder / "input" / f"{number}.parquet", row_group_size=131_072)
    return workload


class Net(torch.nn.Module):
    """64-256-256-1 with ReLU."""

    def __init__(self, features: int = WIDTH, outputs: int = 1) -> None:
        super().__init__()
        linear, relu = torch.nn.Linear, torch.nn.ReLU
        self.layers = torch.nn.Sequential(linear(features, 256), relu(), linear(256, 256), relu(), linear(256, outputs))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.layers(features)


def module() -> Net:
    """The model, on one thread: there are as many workers as cores."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    return Net().eval()


def matrix(batch: pa.RecordBatch) -> Any:
    """(rows, 64) float32 as a tensor; the columns are copied once."""
    values = np.empty((batch.num_rows, WIDTH), np.float32)
    for place, name in enumerate(NAMES):
        values[:, place] = batch.column(name).to_numpy()
    return torch.from_numpy(values)


class MlpHandler:
    """The model as the engine takes it."""

    output = {"prediction": "double"}  # noqa: RUF012 - the engine's own contract

    def __init__(self) -> None:
        self.module = module()

    def encode(self, batch: pa.RecordBatch) -> dict[str, Any]:
        return {"features": matrix(batch)}

    def forward(self, tensors: dict[str, Any]) -> Any:
        with torch.inference_mode():
            return self.module(tensors["features"])

    def decode(self, output: Any) -> dict[str, pa.Array]:
        return {"prediction": pa.array(output[:, 0].double().numpy())}


def _score_files(files: list[str], target: str) -> None:
    """A bare loop: read, forward, write."""
    handler = MlpHandler()
    schema = pa.schema([("key", pa.int64()), ("prediction", pa.float64())])
    with pq.ParquetWriter(target, schema, compression="zstd") as writer:
        for file in files:
            for batch in pq.ParquetFile(file, pre_buffer=True).iter_batches(batch_size=BATCH_ROWS, use_threads=False):
                prediction = handler.decode(handler.forward(handler.encode(batch)))["prediction"]
                writer.write_batch(pa.RecordBatch.from_arrays([batch.column("key"), prediction], schema=schema))


_PROCESSES: list[ProcessPoolExecutor] = []


def _warm(_: int) -> None:
    MlpHandler()


def _processes() -> ProcessPoolExecutor:
    if not _PROCESSES:
        _PROCESSES.append(ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")))
        list(_PROCESSES[0].map(_warm, range(2)))
    return _PROCESSES[0]


def bare_loop(workload: Workload, _: SparkSession) -> None:
    """Two processes of PyArrow and PyTorch, a file each, at the batch size that suits the caches.

    The processes stay from run to run with PyTorch imported, as Spark's Python workers do.
    """
    workload.output.mkdir()
    jobs = [
        _processes().submit(_score_files, [str(file)], str(workload.output / f"{place}.parquet"))
        for place, file in enumerate(workload.files)
    ]
    for job in jobs:
        job.result()


def _engine_split(task: dict[str, Any]) -> Iterator[dict[str, Any]]:
    from batchinfer.inference.engine import BatchScorer
    from batchinfer.inference.splits import read_split
    from batchinfer.inference.workers import load_once
    from batchinfer.sinks.staging import StagedWriter

    handler = load_once("benchmark", MlpHandler, threads=1)
    scorer = BatchScorer(handler, "auto")
    schema = pa.schema([("key", pa.int64()), ("prediction", pa.float64())])
    with StagedWriter(task["output"], schema, (), ()) as writer:
        for scored in scorer.score(read_split(task["split"], ["key", *NAMES])):
            arrays = [scored.rows.column("key"), scored.predictions["prediction"]]
            writer.write(pa.RecordBatch.from_arrays(arrays, schema=schema), {})
        yield {"files": len(writer.close()), **scorer.counts}


def engine_direct(workload: Workload, spark: SparkSession) -> None:
    """The engine's direct road: workers read their own row groups inside a Spark job."""
    from batchinfer.inference.splits import plan_splits
    from batchinfer.pipeline.tasks import run_tasks

    workload.output.mkdir()
    files = [{"path": str(file), "size": file.stat().st_size, "rows": workload.rows // 2} for file in workload.files]
    splits = plan_splits(files, 2)
    run_tasks(spark, _engine_split, [{"split": split, "output": str(workload.output)} for split in splits], "engine")


def _forward_only(rows: int) -> None:
    handler, features = MlpHandler(), torch.randn(BATCH_ROWS, WIDTH)
    for _ in range(rows // BATCH_ROWS):
        handler.forward({"features": features})


def forward_alone(workload: Workload, _: SparkSession) -> None:
    """The ceiling: the forward passes and nothing else, in two processes."""
    for job in [_processes().submit(_forward_only, workload.rows // 2) for _ in range(2)]:
        job.result()


PEERS_PYTHON = Path(__file__).parents[1] / ".venv/share/batchinfer/peers/bin/python"


def peer(name: str) -> Callable[[Workload, Any], float]:
    """Another system, in its own environment and process."""

    def run(workload: Workload, _: SparkSession) -> float:
        command = [str(PEERS_PYTHON), "-m", "benchmarks.peers", name, str(workload.folder), str(workload.rows)]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{name} failed: {done.stderr[-2000:]}")
        return float(done.stdout.split()[-1])

    return run


def mlflow_spark_udf(workload: Workload, spark: SparkSession) -> None:
    """MLflow's spark_udf of a Python model, in the workers' own environment."""
    import mlflow
    from pyspark.sql import functions as F

    folder = workload.folder / "mlflow"
    if not folder.exists():
        from benchmarks.mlflow_model import Predict

        mlflow.pyfunc.save_model(folder, python_model=Predict())
    udf = mlflow.pyfunc.spark_udf(spark, str(folder), result_type="double", env_manager="local")
    frame = spark.read.parquet(str(workload.folder / "input"))
    frame.select("key", udf(F.struct(*NAMES)).alias("prediction")).write.parquet(str(workload.output))


def map_in_pandas(workload: Workload, spark: SparkSession) -> None:
    """Spark's mapInPandas, the model loaded once a task."""
    import pandas as pd

    def score(frames: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        model = module()
        for frame in frames:
            with torch.inference_mode():
                output = model(torch.from_numpy(frame[NAMES].to_numpy(np.float32)))
            yield pd.DataFrame({"key": frame["key"], "prediction": output[:, 0].double().numpy()})

    frame = spark.read.parquet(str(workload.folder / "input"))
    frame.mapInPandas(score, "key long, prediction double").write.parquet(str(workload.output))


def iterator_pandas_udf(workload: Workload, spark: SparkSession) -> None:
    """Spark's iterator pandas UDF over the 64 columns."""
    import pandas as pd
    from pyspark.sql import functions as F

    def score(batches: Iterator[tuple[pd.Series, ...]]) -> Iterator[pd.Series]:
        model = module()
        for columns in batches:
            with torch.inference_mode():
                output = model(torch.from_numpy(np.stack([column.to_numpy(np.float32) for column in columns], axis=1)))
            yield pd.Series(output[:, 0].double().numpy())

    score.__annotations__ = {"batches": Iterator[tuple[pd.Series, ...]], "return": Iterator[pd.Series]}
    udf = F.pandas_udf(score, "double")
    frame = spark.read.parquet(str(workload.folder / "input"))
    frame.select("key", udf(*NAMES).alias("prediction")).write.parquet(str(workload.output))


def predict_batch_udf(workload: Workload, spark: SparkSession) -> None:
    """Spark's predict_batch_udf on an array column."""
    from pyspark.ml.functions import predict_batch_udf as build
    from pyspark.sql import functions as F
    from pyspark.sql.types import DoubleType

    def load() -> Callable[[np.ndarray], np.ndarray]:
        model = module()

        def predict(inputs: np.ndarray) -> np.ndarray:
            with torch.inference_mode():
                return model(torch.from_numpy(inputs.astype(np.float32)))[:, 0].double().numpy()

        return predict

    udf = build(load, return_type=DoubleType(), batch_size=BATCH_ROWS, input_tensor_shapes=[[WIDTH]])
    frame = spark.read.parquet(str(workload.folder / "input"))
    frame.select("key", udf(F.array(*NAMES)).alias("prediction")).write.parquet(str(workload.output))


CEILING = "forward pass alone"
CONTENDERS: dict[str, Callable[[Workload, Any], float | None]] = {
    CEILING: forward_alone,
    "bare loop": bare_loop,
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
    first = next(pq.ParquetFile(workload.files[0]).iter_batches(batch_size=512))
    handler = MlpHandler()
    expected = handler.decode(handler.forward(handler.encode(first)))["prediction"].to_numpy()
    np.testing.assert_allclose(found.column("prediction").to_numpy()[:512], expected, rtol=1e-4, atol=1e-5)


def clear(workload: Workload) -> None:
    """Removes a contender's output."""
    shutil.rmtree(workload.output, ignore_errors=True)
