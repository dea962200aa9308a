"""Stores for the benchmarks of lookups, written without Spark."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from batchinfer.lookups.stores.embedded_store import EmbeddedStore
from batchinfer.lookups.stores.generation import Generation, Layer, Pointer, columns_text
from batchinfer.lookups.stores.online_store import OnlineStore, Rows, part_of
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


def _batch(ids: np.ndarray, label: str) -> pa.RecordBatch:
    count = len(ids)
    return pa.RecordBatch.from_pydict(
        {
            "id": pa.array(ids, pa.int64()),
            "slice": pa.array(["2026-11-21"] * count),
            "score": pa.array((ids % 1_000) / 1_000),
            "label": pa.array([label] * count),
            "model_version": pa.array(["3"] * count),
        }
    )


def _parts(rows: int, parts: int) -> list[np.ndarray]:
    """The ids of each part, in the order of their keys as bytes."""
    texts = np.arange(rows).astype(f"S{len(str(rows))}")
    order = np.argsort(texts, kind="stable")
    if parts == 1:
        return [order]
    owners = np.fromiter((part_of(text, parts) for text in texts[order].tolist()), np.int32, rows)
    return [order[owners == part] for part in range(parts)]


def _batches(ids: np.ndarray, label: str) -> Iterator[Rows]:
    for start in range(0, len(ids), _BATCH_ROWS):
        batch = _batch(ids[start : start + _BATCH_ROWS], label)
        yield stored_keys([batch["id"]]).to_pylist(), stored_values(batch).to_pylist()


def make_project(folder: Path, rows: int, load: str = "") -> Path:
    """A project whose pipeline `bench` has so many rows in its embedded store, in as many parts as
    `load` would make.

    Args:
        load: how the pipeline file says which other store it has; nothing is written then.
    """
    pipelines = folder / "conf" / "pipelines"
    pipelines.mkdir(parents=True, exist_ok=True)
    (pipelines / "bench.yaml").write_text(_PIPELINE + (f"\nload: [{load}]\n" if load else "\n"))
    if not load:
        store = embedded_store(folder)
        if store.pointer() is None:
            write_generation(store, "g1", rows)
        store.close()
    return folder


def embedded_store(project: Path) -> EmbeddedStore:
    """The store of such a project."""
    return EmbeddedStore(str(project / "var" / "online" / "bench"))


def write_generation(store: OnlineStore, name: str, rows: int) -> Generation:
    """Writes all rows as one layer, each with the generation's name as its label, and sets the
    pointer to it; the generation before stays, older ones are removed.
    """
    parts, before = max(1, rows // 1_000_000), store.pointer()
    store.begin(name, parts)
    written = [
        store.write_part(name, part, _batches(ids, name))
        for part, ids in enumerate(_parts(rows, parts))
    ]
    layer = Layer(name, tuple(written))
    store.finish(layer)
    now = dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds")
    schema = columns_text(_batch(np.arange(1), name).schema)
    told = Generation(
        name, (layer,), "t", 1, "2026-11-21", None, rows, ("id",), schema, now, {"2026-11-21": now}
    )
    pointer = Pointer(told, before.current if before else None)
    store.switch(pointer, before)
    store.drop(store.layers() - pointer.layers())
    return told
