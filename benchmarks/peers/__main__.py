"""Scores a workload with one peer, and prints the seconds that it took: `python -m benchmarks.peers ray FOLDER ROWS`.

A first pass over a few rows starts what the peer starts (servers, workers, the model), so that the second is measured warm, as
Spark's sessions are. A process of its own for each measurement keeps the peer's servers off the machine while others run.
"""

from __future__ import annotations

import logging
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.contenders import BATCH_ROWS, NAMES, MlpHandler, Workload, clear, make_workload


class Scored:
    """The model as Ray Data calls it: an Arrow table in, an Arrow table out."""

    def __init__(self) -> None:
        self.handler = MlpHandler()

    def __call__(self, rows: pa.Table) -> pa.Table:
        batch = rows.combine_chunks().to_batches()[0]
        prediction = self.handler.decode(self.handler.forward(self.handler.encode(batch)))["prediction"]
        return pa.table({"key": batch.column("key"), "prediction": prediction})


def ray_data(workload: Workload) -> None:
    """Two actors that hold the model; half a core each for Ray's books, so that reading finds cores too."""
    import ray

    if not ray.is_initialized():
        ray.init(num_cpus=2, include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False)
        ray.data.DataContext.get_current().enable_progress_bars = False
    rows = ray.data.read_parquet(str(workload.folder / "input"))
    strategy = ray.data.ActorPoolStrategy(size=2)
    scored = rows.map_batches(Scored, batch_size=BATCH_ROWS, batch_format="pyarrow", compute=strategy, num_cpus=0.5)
    scored.write_parquet(str(workload.output))


def daft_batches(workload: Workload) -> None:
    """Daft's native runner with two instances of the model."""
    import daft

    global _MODEL
    if _MODEL is None:
        _MODEL = _daft_model()
    rows = daft.read_parquet(str(workload.folder / "input" / "*.parquet"))
    columns = [daft.col(name) for name in NAMES]
    rows.select(daft.col("key"), _MODEL(*columns).alias("prediction")).write_parquet(str(workload.output))


_MODEL: Any = None


def _daft_model() -> Any:
    import daft
    import torch

    @daft.cls(max_concurrency=2)
    class Model:
        def __init__(self) -> None:
            self.handler = MlpHandler()

        @daft.method.batch(return_dtype=daft.DataType.float64(), batch_size=BATCH_ROWS)
        def score(self, *columns: daft.Series) -> Any:
            values = np.stack([column.to_arrow().to_numpy() for column in columns], axis=1)
            return self.handler.decode(self.handler.forward({"features": torch.from_numpy(values)}))["prediction"]

    return Model().score


PEERS: dict[str, Callable[[Workload], None]] = {"ray": ray_data, "daft": daft_batches}


def main() -> int:
    """Measures the peer named on the command line."""
    name, folder, rows = sys.argv[1:4]
    score = PEERS[name]
    with tempfile.TemporaryDirectory() as scratch:
        score(make_workload(Path(scratch), 20_000))
    workload = Workload(Path(folder), int(rows))
    clear(workload)
    started = time.perf_counter()
    score(workload)
    print(time.perf_counter() - started)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
