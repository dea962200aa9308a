"""An embedded store for the benchmarks of lookups, written without Spark."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from batchinfer.lookups.stores.embedded_store import EmbeddedStore
from batchinfer.lookups.stores.generation import Generation, Layer, Pointer, columns_text
from batchinfer.lookups.stores.online_store import Rows, part_of
from batchinfer.lookups.stores.stored_rows import stored_keys, stored_values

_BATCH_ROWS = 100_000
_PIPELINE = """
name: bench
source:
  kind: csv
  path: data/*.csv
  schema: {id: long, day: date, spend: double}
  key: [id]
  slice: {column: day, unit: day}
model: {uri: "models:/bench@champion"}
"""


def _batch(ids: np.ndarray) -> pa.RecordBatch:
    count = len(ids)
    return pa.RecordBatch.from_pydict(
        {
            "id": pa.array(ids, pa.int64()),
            "slice": pa.array(["2026-11-21"] * count),
            "score": pa.array((ids % 1_000) / 1_000),
            "label": pa.array(["first"] * count),
            "model_version": pa.array(["3"] * count),
        }
    )


def _batches(rows: int, part: int, parts: int) -> Iterator[Rows]:
    """Rows of one part in the order of their keys as bytes."""
    ids = np.arange(rows)
    texts = ids.astype(f"S{len(str(rows))}")
    order = ids[np.argsort(texts, kind="stable")]
    for start in range(0, rows, _BATCH_ROWS):
        batch = _batch(order[start : start + _BATCH_ROWS])
        keys = stored_keys([batch["id"]]).to_pylist()
        values = stored_values(batch).to_pylist()
        own = [n for n, key in enumerate(keys) if parts == 1 or part_of(key, parts) == part]
        yield [keys[n] for n in own], [values[n] for n in own]


def make_project(folder: Path, rows: int) -> Path:
    """A project whose pipeline `bench` has so many rows in its embedded store, in as many parts as
    `load` would make.
    """
    pipelines = folder / "conf" / "pipelines"
    pipelines.mkdir(parents=True, exist_ok=True)
    (pipelines / "bench.yaml").write_text(_PIPELINE)
    store = EmbeddedStore(str(folder / "var" / "online" / "bench"))
    if store.pointer() is not None:
        return folder
    parts = max(1, rows // 1_000_000)
    store.begin("g1", parts)
    written = [store.write_part("g1", n, _batches(rows, n, parts)) for n in range(parts)]
    layer = Layer("g1", tuple(written))
    store.finish(layer)
    now = dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds")
    schema = columns_text(_batch(np.arange(1)).schema)
    told = Generation(
        "g1", (layer,), "t", 1, "2026-11-21", None, rows, ("id",), schema, now, {"2026-11-21": now}
    )
    store.switch(Pointer(told), None)
    store.close()
    return folder
