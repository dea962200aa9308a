"""`batchinfer score` with everything on, on the rows of a workload: the project that it runs in, and the run itself."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.contenders import NAMES, WIDTH, Workload, module

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

DAY = "2026-11-21"
PIPELINE = """\
name: bench
source: {kind: delta, path: in/table, key: key, slice: {column: day, unit: day}}
model: {uri: "models:/bench@champion"}
checks: {predictions: conf/expectations/bench.yaml}
sink: {table: predictions/bench}
"""
SUITE = """\
- expect_column_values_to_not_be_null: {column: prediction}
- expect_column_values_to_be_between: {column: prediction, min_value: -100, max_value: 100}
"""


def make_project(workload: Workload, spark: SparkSession) -> Path:
    """A project with the workload's rows as a Delta table of one day, and its model registered; made once."""
    import safetensors.torch
    from deltalake import write_deltalake

    import batchinfer
    from batchinfer.pipeline.context import Context
    from batchinfer.pipeline.extract import extract

    root = workload.folder / "project"
    os.environ["BATCHINFER_HOME"] = str(root / "var")
    if root.exists():
        return root
    for file, text in {"pipelines/bench.yaml": PIPELINE, "expectations/bench.yaml": SUITE}.items():
        target = root / "conf" / file
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    schema = pa.schema([("key", pa.int64()), *((name, pa.float32()) for name in NAMES), ("day", pa.date32())])
    write_deltalake(str(root / "in/table"), pa.RecordBatchReader.from_batches(schema, _rows(workload, schema)))
    safetensors.torch.save_file(module().state_dict(), str(root / "net.safetensors"))
    described = {"class": "benchmarks.contenders:Net", "arguments": {"features": WIDTH, "outputs": 1}}
    (root / "net.json").write_text(json.dumps(described))
    pipeline = str(root / "conf/pipelines/bench.yaml")
    extract(Context.open(pipeline), None, lambda: spark)
    batchinfer.register(pipeline, str(root / "net.safetensors"))
    return root


def _rows(workload: Workload, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    import datetime

    day = pa.scalar(datetime.date.fromisoformat(DAY))
    for file in workload.files:
        for batch in pq.ParquetFile(file).iter_batches(batch_size=131_072):
            yield pa.RecordBatch.from_arrays([*batch.columns, pa.repeat(day, batch.num_rows)], schema=schema)


def score(workload: Workload, spark: SparkSession) -> tuple[float, dict[str, Any]]:
    """Seconds of one run without the start of the session, and where they went."""
    from batchinfer.pipeline.context import Context
    from batchinfer.pipeline.score import score as score_slice

    context = Context.open(str(make_project(workload, spark) / "conf/pipelines/bench.yaml"))
    report = score_slice(context, DAY, lambda: spark, force=True)
    if report.rows_scored + report.rows_reused != workload.rows:
        raise RuntimeError(f"{report.rows_scored + report.rows_reused} of {workload.rows} rows were scored")
    return report.seconds - report.stage_seconds["session"], report.stage_seconds | {"rates": report.batch_rates}
