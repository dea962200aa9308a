"""`batchinfer score` with everything on, on the rows of a workload: the project that it runs in,
and the run itself.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from benchmarks.trees import model_file
from benchmarks.workloads import NAMES, WIDTH, Net, Workload

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


def make_project(
    workload: Workload, spark: SparkSession, copies: int = 1, hidden: int = 256
) -> Path:
    """A project with the workload's rows as a Delta table of one day, and its model registered;
    made once.

    Args:
        copies: of each row, with keys of their own, scattered over all files.
        hidden: width of the model's hidden layers.
    """
    from deltalake import write_deltalake

    import batchinfer
    from batchinfer.pipeline.definition.context import Context
    from batchinfer.pipeline.extract import extract_source

    root = workload.folder / "project"
    os.environ["BATCHINFER_HOME"] = str(root / "var")
    if root.exists():
        return root
    for file, text in {"pipelines/bench.yaml": PIPELINE, "expectations/bench.yaml": SUITE}.items():
        target = root / "conf" / file
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    schema = pa.schema(
        [("key", pa.int64()), *((name, pa.float32()) for name in NAMES), ("day", pa.date32())]
    )
    write_deltalake(
        str(root / "in/table"),
        pa.RecordBatchReader.from_batches(schema, _rows(workload, schema, copies)),
    )
    pipeline = str(root / "conf/pipelines/bench.yaml")
    extract_source(Context.open(pipeline), None, lambda: spark)
    if workload.kind == "trees":
        batchinfer.register(pipeline, str(model_file()))
        return root
    save_net(root, hidden)
    batchinfer.register(pipeline, str(root / "net.safetensors"))
    return root


def save_net(root: Path, hidden: int = 256) -> None:
    """The model of the table, untrained, as `net.safetensors` with its class in `net.json`."""
    import safetensors.torch

    torch.manual_seed(0)
    safetensors.torch.save_file(Net(hidden=hidden).state_dict(), str(root / "net.safetensors"))
    described = {
        "class": "benchmarks.workloads:Net",
        "arguments": {"features": WIDTH, "outputs": 1, "hidden": hidden},
    }
    (root / "net.json").write_text(json.dumps(described))


def _rows(workload: Workload, schema: pa.Schema, copies: int) -> Iterator[pa.RecordBatch]:
    import datetime

    day = pa.scalar(datetime.date.fromisoformat(DAY))
    if copies == 1:
        for file in workload.files:
            for batch in pq.ParquetFile(file).iter_batches(batch_size=131_072):
                yield pa.RecordBatch.from_arrays(
                    [*batch.columns, pa.repeat(day, batch.num_rows)], schema=schema
                )
        return
    distinct = pa.concat_tables(pq.read_table(file) for file in workload.files).combine_chunks()
    order = np.random.default_rng(1).permutation(distinct.num_rows * copies)
    for start in range(0, len(order), 131_072):
        rows = order[start : start + 131_072]
        columns = distinct.take(pa.array(rows % distinct.num_rows)).combine_chunks().columns[1:]
        arrays = [
            pa.array(np.arange(start, start + len(rows))),
            *(column.combine_chunks() for column in columns),
        ]
        yield pa.RecordBatch.from_arrays([*arrays, pa.repeat(day, len(rows))], schema=schema)


def score(
    workload: Workload,
    spark: SparkSession,
    overrides: Sequence[str] = (),
    copies: int = 1,
    hidden: int = 256,
) -> tuple[float, dict[str, Any]]:
    """Seconds of one run without the start of the session, and where they went."""
    from batchinfer.pipeline.definition.context import Context
    from batchinfer.pipeline.score import score_slice as score_slice

    root = make_project(workload, spark, copies, hidden)
    context = Context.open(str(root / "conf/pipelines/bench.yaml"), overrides=overrides)
    # It is recorded: the next run knows the batch size and how fast the model is.
    report = score_slice(context, DAY, lambda: spark, force=True)
    if report.rows_scored + report.rows_reused != workload.rows * copies:
        raise RuntimeError(
            f"{report.rows_scored + report.rows_reused} of {workload.rows * copies} rows were "
            "scored"
        )
    return report.seconds - report.stage_seconds["session"], report.stage_seconds | {
        "rows_reused": report.rows_reused,
        "equal_rows": report.equal_rows,
        "rates": report.batch_rates,
        "worker_bytes": report.worker_bytes,
    }
