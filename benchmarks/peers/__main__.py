"""Scores a workload with one peer, and prints the seconds that it took: `python -m benchmarks.peers
ray tabular FOLDER ROWS`.

A first pass over a few rows starts what the peer starts (servers, workers, the model), so that the
second is measured warm, as Spark's sessions are. A process of its own for each measurement keeps
the peer's servers off the machine while others run.
"""

from __future__ import annotations

import logging
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from benchmarks.contenders import clear
from benchmarks.workloads import KINDS, Workload, make_workload


class Scored:
    """The model as Ray Data calls it: an Arrow table in, an Arrow table out."""

    def __init__(self, kind: str) -> None:
        self.model = KINDS[kind].model()

    def __call__(self, rows: pa.Table) -> pa.Table:
        batch = rows.combine_chunks().to_batches()[0]
        prediction = self.model.decode(self.model.forward(self.model.encode(batch)))["prediction"]
        return pa.table({"key": batch.column("key"), "prediction": prediction})


def ray_data(workload: Workload) -> None:
    """Two actors that hold the model; half a core each for Ray's books, so that reading finds cores
    too.
    """
    import ray

    if not ray.is_initialized():
        ray.init(
            num_cpus=2, include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False
        )
        ray.data.DataContext.get_current().enable_progress_bars = False
    rows = ray.data.read_parquet(str(workload.folder / "input"))
    scored = rows.map_batches(
        Scored, fn_constructor_args=(workload.kind,), batch_size=workload.sort.batch_rows,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=2), num_cpus=0.5,
    )  # fmt: skip
    scored.write_parquet(str(workload.output))


def daft_batches(workload: Workload) -> None:
    """Daft's native runner with two instances of the model."""
    import daft

    if workload.kind not in _MODELS:
        _MODELS[workload.kind] = _daft_model(workload)
    rows = daft.read_parquet(str(workload.folder / "input" / "*.parquet"))
    prediction = _MODELS[workload.kind](*(daft.col(name) for name in workload.names))
    rows.select(daft.col("key"), prediction.alias("prediction")).write_parquet(str(workload.output))


_MODELS: dict[str, Any] = {}


def _daft_model(workload: Workload) -> Any:
    import daft

    sort, names = workload.sort, list(workload.names)

    @daft.cls(max_concurrency=2)
    class Model:
        def __init__(self) -> None:
            self.model = sort.model()

        @daft.method.batch(return_dtype=daft.DataType.float64(), batch_size=sort.batch_rows)
        def score(self, *columns: daft.Series) -> Any:
            batch = pa.RecordBatch.from_arrays(
                [column.to_arrow() for column in columns], names=names
            )
            return self.model.decode(self.model.forward(self.model.encode(batch)))["prediction"]

    return Model().score


PEERS: dict[str, Callable[[Workload], None]] = {"ray": ray_data, "daft": daft_batches}


def main() -> int:
    """Measures the peer named on the command line."""
    name, kind, folder, rows = sys.argv[1:5]
    score = PEERS[name]
    with tempfile.TemporaryDirectory() as scratch:
        score(make_workload(Path(scratch), min(20_000, int(rows)), kind))
    workload = Workload(Path(folder), int(rows), kind)
    clear(workload)
    started = time.perf_counter()
    score(workload)
    print(time.perf_counter() - started)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
