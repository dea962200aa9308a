"""A store is held against the table, row by row.

Runs on: driver; the comparison on executors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from batchinfer.contracts import SLICE
from batchinfer.errors import DamagedStore
from batchinfer.lookups.stores.generation import Generation
from batchinfer.lookups.stores.online_store import OnlineStore
from batchinfer.masking.hidden_words import HIDDEN
from batchinfer.masking.sensitive_columns import SensitiveColumns
from batchinfer.pipeline.loading.loading_task import (
    ENCODED,
    EncodeRows,
    PartRows,
)
from batchinfer.pipeline.loading.served_rows import ServedTable, in_parts, part_count
from batchinfer.spark.tasks import guarded, run_batches

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_MOST_SHOWN = 300


@dataclass(frozen=True)
class Compared:
    """What one task found.

    Attributes:
        rows: of the table, one a key.
        wrong: of these, rows that the store has not, or has otherwise.
        first: the first of them, in words; empty where all are right.
    """

    rows: int
    wrong: int
    first: str


@dataclass(frozen=True)
class CompareRows:
    """Encoded rows against those of a store, in the order of key and falling slice; for
    `mapInArrow`.
    """

    store: OnlineStore
    generation: Generation
    sensitive: SensitiveColumns
    key: tuple[str, ...]

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        yield pa.RecordBatch.from_pydict({"result": [guarded(lambda: self._compare(batches))]})

    def _compare(self, batches: Iterable[pa.RecordBatch]) -> Compared:
        rows = wrong = 0
        first = ""
        for _, part in PartRows(batches, self.store, None, None).parts():
            for keys, values in part:
                found = self.store.read(self.generation, keys)
                for key, value, stored in zip(keys, values, found, strict=True):
                    rows += 1
                    if value != stored:
                        wrong += 1
                        first = first or self._difference(key, value, stored)
        self.store.close()
        return Compared(rows, wrong, first)

    def _difference(self, key: bytes, value: bytes, stored: bytes | None) -> str:
        there = "no row" if stored is None else self._row(stored)
        told = HIDDEN if self.sensitive.among(self.key) else _shown(key.decode(errors="replace"))
        return f"key {told}: the table has {self._row(value)}, the store {there}"

    def _row(self, value: bytes) -> str:
        return _shown(self.sensitive.json_row(value.decode(errors="replace")))


def _shown(text: str) -> str:
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"


def verify_store(
    store: OnlineStore,
    table: ServedTable,
    generation: Generation,
    open_session: Callable[[], SparkSession],
    sensitive: SensitiveColumns,
) -> int:
    """How many rows of a store are those of the table, if all are. Streamed rows are left out.

    Args:
        table: at the version that the generation is of.
        sensitive: columns whose values no difference shows.

    Raises:
        DamagedStore: a row differs, is missing, or is too many; the first one is told.
    """
    generation = generation.bare()
    for layer in generation.layers:
        there = sum(1 for _ in store.scan(layer))
        if there != layer.rows:
            raise _failed(
                store, generation, f"layer {layer.name} has {there:,} rows, not {layer.rows:,}"
            )
    parts = part_count(table.rows)
    encoded = table.frame(open_session()).mapInArrow(EncodeRows(table.key, SLICE, parts), ENCODED)
    frame = in_parts(encoded, parts)
    compare = CompareRows(store, generation, sensitive, tuple(table.key))
    told = run_batches(frame, compare, Compared, f"verify {store.kind}", parts)
    rows, wrong = sum(one.rows for one in told), sum(one.wrong for one in told)
    first = next((one.first for one in told if one.first), "")
    if wrong:
        raise _failed(store, generation, f"{wrong:,} of {rows:,} rows differ; first {first}")
    if rows != generation.rows:
        raise _failed(
            store, generation, f"the table has {rows:,} keys, the generation {generation.rows:,}"
        )
    return rows


def newer_rows(store: OnlineStore, generation: Generation) -> int:
    """How many keys have a streamed row that readers see in place of the generation's."""
    pointer = store.pointer()
    if pointer is None or pointer.current.name != generation.name:
        return 0
    return sum(1 for _, commit, _ in store.streamed(pointer.current) if commit > generation.version)


def _failed(store: OnlineStore, generation: Generation, what: str) -> DamagedStore:
    return DamagedStore(
        f"{store.place}: generation {generation.name} is not the table's version "
        f"{generation.version}: {what}",
        "load --full writes all rows anew",
    )
