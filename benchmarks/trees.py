"""The workload `trees`: a number by 500 trees of depth 6 of XGBoost, on 64 columns.

The model is trained once on 50,000 rows and kept in the system's folder for temporary files.
Needs the extra `boosting`: `make bench-trees` has it.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

WIDTH, TREES, DEPTH, LEARNED_ROWS = 64, 500, 6, 50_000
NAMES = [f"f{place:02d}" for place in range(WIDTH)]
# As many rows as XGBoost needs at once to use several threads well.
_LARGE_BATCH = 65_536


def model_file() -> Path:
    """The model, trained where it is not there yet."""
    file = Path(tempfile.gettempdir()) / f"batchinfer-benchmark-{TREES}x{DEPTH}.ubj"
    if not file.exists():
        import xgboost

        random = np.random.default_rng(5)
        x = random.standard_normal((LEARNED_ROWS, WIDTH), dtype=np.float32)
        y = x[:, :8].sum(axis=1) + x[:, 8] * x[:, 9] + random.standard_normal(LEARNED_ROWS)
        params = {"max_depth": DEPTH, "learning_rate": 0.05, "seed": 0}
        data = xgboost.QuantileDMatrix(x, y, feature_names=NAMES)
        made = xgboost.train(params, data, TREES)
        part = file.with_suffix(f".{os.getpid()}.ubj")
        made.save_model(part)
        part.replace(file)
    return file


def booster(threads: int) -> Any:
    """The model as XGBoost loads it."""
    import xgboost

    loaded = xgboost.Booster(model_file=model_file())
    loaded.set_param({"nthread": threads})
    return loaded


class Trees:
    """64 float32 columns to 500 trees, on one thread: there are as many workers as cores."""

    names = NAMES
    output: ClassVar[dict[str, str]] = {"prediction": "double"}

    def __init__(self) -> None:
        torch.set_num_threads(1)
        self.module = booster(1)

    def tensors(self, columns: Sequence[Any]) -> np.ndarray:
        """Columns in the workload's order, as NumPy arrays or sequences of values."""
        values = np.empty((len(columns[0]), len(columns)), np.float32)
        for place, column in enumerate(columns):
            values[:, place] = column
        return values

    def run(self, tensors: np.ndarray) -> np.ndarray:
        """`(rows,) float64`."""
        return self.module.inplace_predict(tensors, validate_features=False).astype(np.float64)

    def encode(self, batch: pa.RecordBatch) -> dict[str, Any]:
        return {"tensors": self.tensors([batch.column(name).to_numpy() for name in self.names])}

    def forward(self, tensors: dict[str, Any]) -> Any:
        return self.run(tensors["tensors"])

    def decode(self, output: Any) -> dict[str, pa.Array]:
        return {"prediction": pa.array(output)}


def library_alone(files: Sequence[Path], output: Path, schema: pa.Schema) -> float:
    """Seconds of XGBoost in one process, its own threads on all cores; PyArrow reads, in large
    batches.
    """
    loaded = booster(len(os.sched_getaffinity(0)))
    model = Trees.__new__(Trees)
    model.module = loaded
    output.mkdir()
    started = time.perf_counter()
    for place, file in enumerate(files):
        target = output / f"{place}.parquet"
        with pq.ParquetWriter(target, schema, compression="zstd") as writer:
            for batch in pq.ParquetFile(file).iter_batches(batch_size=_LARGE_BATCH):
                prediction = model.decode(model.forward(model.encode(batch)))["prediction"]
                arrays = [batch.column("key"), prediction]
                writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
    return time.perf_counter() - started


def save_for_mlflow(folder: Path) -> None:
    """The same model in MLflow's own flavour."""
    import mlflow
    import pandas as pd
    from mlflow.models import infer_signature

    rows = pd.DataFrame(np.zeros((2, WIDTH), np.float32), columns=NAMES)
    mlflow.xgboost.save_model(
        booster(1), folder, signature=infer_signature(rows, np.zeros(2, np.float32))
    )
