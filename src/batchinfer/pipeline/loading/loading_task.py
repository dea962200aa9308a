"""What executors do of a load: rows of the table become stored rows, stored rows go into a part.

Runs on: executor.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute

from batchinfer.lookups.stores.generation import Generation, LayerPart
from batchinfer.lookups.stores.online_store import OnlineStore, Rows, part_of
from batchinfer.lookups.stores.stored_rows import GONE, stored_keys, stored_values
from batchinfer.spark.progress import TaskProgress
from batchinfer.spark.tasks import guarded

# Its functions are made when it is imported, so type checkers do not see them.
pc: Any = pyarrow.compute

PART, KEY, SLICE_OF, VALUE = "part", "key", "of_slice", "value"
ENCODED = f"{PART} int, {KEY} binary, {SLICE_OF} string, {VALUE} binary"
# As long as one batch of rows is written, so much of it lies in memory.
_BATCH_BYTES = 8 << 20


@dataclass(frozen=True)
class WrittenRows:
    """What one task wrote.

    Attributes:
        parts: that it wrote; none of them is another task's.
        superseded: rows of a key that a greater slice has, too.
        unchanged: rows that readers find already, as they are.
        added: keys that readers did not find before, less those that they find no more.
    """

    parts: tuple[LayerPart, ...]
    superseded: int = 0
    unchanged: int = 0
    added: int = 0

    @property
    def rows(self) -> int:
        """Rows of its parts."""
        return sum(part.rows for part in self.parts)


@dataclass(frozen=True)
class EncodeRows:
    """Rows of the table as part, key, slice and value; for `mapInArrow`.

    Attributes:
        key: names of the key columns.
        slice_column: that tells the newest of several rows.
        parts: of the layer; 1 where a store finds rows without knowing their part.
        gone: the rows are keys alone, each of a row that may be gone.
    """

    key: tuple[str, ...]
    slice_column: str
    parts: int
    gone: bool = False

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for rows in batches:
            if not rows.num_rows:
                continue
            keys = stored_keys([rows[name] for name in self.key])
            if self.gone:
                values = pa.array([GONE] * rows.num_rows, pa.binary())
                # Behind every slice, the one without a name too.
                slices = pa.nulls(rows.num_rows, pa.string())
            else:
                values = stored_values(rows)
                slices = pc.fill_null(rows[self.slice_column].cast(pa.string()), "")
            parts = (
                pa.array([part_of(key, self.parts) for key in keys.to_pylist()], pa.int32())
                if self.parts > 1
                else pa.array([0] * rows.num_rows, pa.int32())
            )
            yield pa.RecordBatch.from_arrays(
                [parts, keys, slices, values], [PART, KEY, SLICE_OF, VALUE]
            )


@dataclass(frozen=True)
class WriteParts:
    """Encoded rows into a layer, in the order of part, key and falling slice; of each key the first
    row is written. For `mapInArrow`; gives one line of JSON, a `WrittenRows`.

    Attributes:
        store: that is written into.
        layer: name of the layer.
        below: what readers see now, where only rows that differ from it are written.
        own_part: every task writes a part of its own, of its number: the store finds rows without.
        progress: folder where tasks tell of their rows.
    """

    store: OnlineStore
    layer: str
    below: Generation | None = None
    own_part: bool = False
    progress: str = ""

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        told = guarded(lambda: self._write(batches))
        yield pa.RecordBatch.from_pydict({"result": [told]})

    def _write(self, batches: Iterable[pa.RecordBatch]) -> WrittenRows:
        rows = PartRows(batches, self.store, self.below, self._own_number())
        told = TaskProgress(self.progress)
        parts = tuple(
            self.store.write_part(self.layer, number, _telling(written, rows, told))
            for number, written in rows.parts()
        )
        told.end(rows.read, 0)
        self.store.close()
        return WrittenRows(parts, rows.superseded, rows.unchanged, rows.added)

    def _own_number(self) -> int | None:
        if not self.own_part:
            return None
        from pyspark import TaskContext

        context = TaskContext.get()
        return 0 if context is None else context.partitionId()


class PartRows:
    """Batches in the order of their parts, cut where a part ends; counts what is left out."""

    def __init__(
        self,
        batches: Iterable[pa.RecordBatch],
        store: OnlineStore,
        below: Generation | None,
        own: int | None,
    ) -> None:
        self._batches, self._store, self._below = iter(batches), store, below
        self._own = own
        self._waiting: pa.RecordBatch | None = None
        self._last = b""
        self._first = True
        self.read = self.superseded = self.unchanged = self.added = 0

    def parts(self) -> Generator[tuple[int, Iterator[Rows]]]:
        while (batch := self._next()) is not None:
            number = batch[PART][0].as_py()
            self._waiting = batch
            yield (number if self._own is None else self._own), self._of_part(number)

    def _next(self) -> pa.RecordBatch | None:
        if self._waiting is not None:
            batch, self._waiting = self._waiting, None
            return batch
        return next((batch for batch in self._batches if batch.num_rows), None)

    def _of_part(self, number: int) -> Iterator[Rows]:
        while (batch := self._next()) is not None:
            count = pc.sum(pc.equal(batch[PART], number)).as_py()
            if count < batch.num_rows:
                self._waiting = batch.slice(count)
            if not count:
                return
            for piece in _pieces(batch.slice(0, count)):
                rows = self._changed(*self._newest(piece))
                if rows[0]:
                    yield rows
            if self._waiting is not None:
                return

    def _newest(self, batch: pa.RecordBatch) -> tuple[list[bytes], list[bytes]]:
        """The first row of each key."""
        keys, values = batch[KEY].to_pylist(), batch[VALUE].to_pylist()
        self.read += len(keys)
        before = [None if self._first else self._last, *keys[:-1]]
        self._last, self._first = keys[-1], False
        places = [
            place for place, (key, last) in enumerate(zip(keys, before, strict=True)) if key != last
        ]
        if len(places) == len(keys):
            return keys, values
        self.superseded += len(keys) - len(places)
        return [keys[place] for place in places], [values[place] for place in places]

    def _changed(self, keys: list[bytes], values: list[bytes]) -> Rows:
        """The rows that readers do not find as they are."""
        if self._below is None or not keys:
            self.added += len(keys)
            return keys, values
        found = self._store.read(self._below, keys)
        places = [
            place
            for place, (value, old) in enumerate(zip(values, found, strict=True))
            if (old or GONE) != value
        ]
        self.unchanged += len(keys) - len(places)
        self.added += sum(found[place] is None for place in places)
        self.added -= sum(values[place] == GONE for place in places)
        return [keys[place] for place in places], [values[place] for place in places]


def _telling(written: Iterator[Rows], rows: PartRows, told: TaskProgress) -> Iterator[Rows]:
    for batch in written:
        told.tell(rows.read, 0)
        yield batch


def _pieces(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """A batch in pieces of bounded size."""
    size = max(1, batch.nbytes // _BATCH_BYTES)
    rows = -(-batch.num_rows // size)
    for start in range(0, batch.num_rows, rows):
        yield batch.slice(start, rows)


def every_part(written: Sequence[WrittenRows], parts: int) -> tuple[LayerPart, ...]:
    """All parts of a layer in their order, those without a row, too."""
    told = {part.number: part for one in written for part in one.parts}
    return tuple(told.get(number) or LayerPart(number, 0, 0, 0) for number in range(parts))
