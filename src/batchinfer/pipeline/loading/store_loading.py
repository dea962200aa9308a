"""One store is brought to a version of the table: all of its rows, or what has changed.

Runs on: driver.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from batchinfer import stopping
from batchinfer.contracts import SLICE
from batchinfer.errors import DamagedPointer, StorageError
from batchinfer.lookups.stores.generation import Generation, Layer, Pointer, columns_text
from batchinfer.lookups.stores.online_store import OnlineStore, Room
from batchinfer.pipeline.loading.loading_task import (
    ENCODED,
    EncodeRows,
    WriteParts,
    WrittenRows,
    every_part,
)
from batchinfer.pipeline.loading.served_rows import (
    FileChanges,
    ServedTable,
    changed_files,
    changed_frame,
    in_parts,
    part_count,
)
from batchinfer.spark.progress import RowProgress
from batchinfer.spark.tasks import run_batches

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

# A generation of more layers, or one whose overlays have a greater share of the rows of the whole
# layer below them, costs readers more than it saves the next load.
_MOST_LAYERS = 8
_MOST_CHANGED = 0.3
# Whoever reads a generation looks for a newer one every second, and no request takes minutes.
_READERS_GONE = dt.timedelta(minutes=10)


@dataclass(frozen=True)
class LoadedStore:
    """What became of one store.

    Attributes:
        pointer: what readers see now.
        written: rows of the layer that was written; None: nothing had changed.
        way: why all rows were written, or only some.
        room: what the store foresaw.
    """

    pointer: Pointer
    written: int | None
    way: str
    room: Room = field(default_factory=Room)


@dataclass(frozen=True)
class StoreLoading:
    """The next generation of one store.

    Attributes:
        confirmed: when each slice was last published.
        run_id: names the generation and its layer.
        full: all rows are written, whatever is there.
    """

    store: OnlineStore
    table: ServedTable
    confirmed: Mapping[str, str]
    run_id: str
    full: bool
    open_session: Callable[[], SparkSession]

    def run(self) -> LoadedStore:
        """Writes a layer and sets the pointer to it.

        Layers that stay are checked first, so nothing is built on, or told of, a damaged one.

        Raises:
            DamagedStore: a layer that is to stay, or the pointer.
            StorageError: the store, or rows that do not add up; readers then see what they saw.
        """
        found, damaged = self._found()
        # Changes are told against what was loaded: rows of streams do not stay above it.
        before = None if found is None else found.bare()
        if not damaged:
            sweep(self.store, before)
        room = Room()
        if before is not None and self.store.ttl_s is not None:
            # Below an overlay, rows would expire though the table still has them.
            changed, way = None, f"rows that are not written again expire: ttl_s {self.store.ttl_s}"
        elif before is not None and not self.full and self._is_same(before.current):
            if before.current.version == self.table.version:
                check_layers(self.store, before.current)
                return LoadedStore(before, None, "the table has not changed since")
            changed, way = self._changed(before.current)
            if changed is not None:
                check_layers(self.store, before.current)
        else:
            changed, way = None, self._why_all(before, damaged)
        if changed is None or before is None:
            before = self._without_former(before)
            room = self._room(before.current if before is not None else None)
            generation = self._whole()
        else:
            generation = self._overlay(before.current, changed)
        stopping.check()
        after = Pointer(generation, before.current if before is not None else None)
        self.store.switch(after, before)
        if not damaged:
            sweep(self.store, after)
        self.store.sweep_streamed()
        newest = generation.layers[0]
        written = newest.rows if newest.name == self.run_id else 0
        return LoadedStore(after, written, way, room)

    def _room(self, loaded: Generation | None) -> Room:
        """What the store foresees of all rows, before one of them is written."""

        def row_bytes() -> float:
            whole = loaded.layers[-1] if loaded is not None and loaded.layers else None
            if whole is not None and whole.rows:
                return whole.size / whole.rows
            return self.table.row_bytes()

        return self.store.check_room(self.table.rows, row_bytes)

    def _is_same(self, loaded: Generation) -> bool:
        """Whether a generation is of this table, up to the same slice, with the same columns."""
        return (
            loaded.table == self.table.place
            and loaded.line == self.table.line
            and loaded.key == self.table.key
            and loaded.schema == columns_text(self.table.schema)
            and loaded.as_of == self.table.as_of
        )

    def _found(self) -> tuple[Pointer | None, bool]:
        """The pointer, and whether it is one that cannot be read. All rows then get a new one; what
        the old one named stays until the next load, for readers that still hold it.
        """
        try:
            return self.store.pointer(), False
        except DamagedPointer:
            if not self.full:
                raise
            return None, True

    def _why_all(self, before: Pointer | None, damaged: bool) -> str:
        if damaged:
            return "asked for, with --full; the damaged pointer was replaced"
        if self.full:
            return "asked for, with --full"
        if before is None:
            return "nothing was loaded before"
        return "the table, its columns or the last slice that counts are others than before"

    def _changed(self, loaded: Generation) -> tuple[FileChanges | None, str]:
        """Files that came or went, or None and why all rows are written."""
        if len(loaded.layers) >= _MOST_LAYERS:
            return None, f"{len(loaded.layers)} layers are folded into one"
        changed = changed_files(self.table, loaded.version)
        if changed is None:
            return None, f"version {loaded.version} of the table can no longer be read"
        overlays = sum(layer.rows for layer in loaded.layers[:-1])
        if changed.rows + overlays > _MOST_CHANGED * max(self.table.rows, 1):
            return None, f"more than {_MOST_CHANGED:.0%} of the rows may have changed"
        return changed, f"files with {changed.rows:,} rows have come or gone"

    def _without_former(self, before: Pointer | None) -> Pointer | None:
        """The pointer without the generation before the current one, whose room the new one needs;
        not where that one may still be read.
        """
        if before is None or before.former is None:
            return before
        since = dt.datetime.fromisoformat(before.current.loaded_at)
        if dt.datetime.now(dt.timezone.utc) - since < _READERS_GONE:
            return before
        alone = replace(before, former=None)
        self.store.switch(alone, before)
        sweep(self.store, alone)
        return alone

    def _whole(self) -> Generation:
        parts = self._parts(self.table.rows)
        spark = self.open_session()
        encode = EncodeRows(self.table.key, SLICE, parts)
        frame = self.table.frame(spark).mapInArrow(encode, ENCODED)
        written = self._write(frame, parts, self.table.rows)
        self._check_all(written, spark)
        return self._generation(self._finished(written, parts), (), sum(o.added for o in written))

    def _overlay(self, loaded: Generation, changed: FileChanges) -> Generation:
        parts = self._parts(changed.rows)
        if not changed.all:
            return self._generation(None, loaded.layers, loaded.rows)
        rows, keys = changed_frame(self.open_session(), self.table, changed)
        encode = EncodeRows(self.table.key, SLICE, parts)
        # A key that no slice has any more is left with this row, the least of its rows.
        gone = replace(encode, gone=True)
        frame = rows.mapInArrow(encode, ENCODED).unionByName(keys.mapInArrow(gone, ENCODED))
        written = self._write(frame, parts, changed.rows, loaded, shuffled=True)
        told = sum(one.rows + one.unchanged for one in written)
        if told != (expected := keys.count()):
            raise self._wrong_count(f"{told:,} keys were compared, {expected:,} may have changed")
        layer = self._finished(written, parts)
        if not layer.rows:
            self.store.drop([layer.name])
            return self._generation(None, loaded.layers, loaded.rows)
        rows_now = loaded.rows + sum(one.added for one in written)
        return self._generation(layer, loaded.layers, rows_now)

    @property
    def _sorts(self) -> bool:
        """Whether rows go through a shuffle: the store wants their order, or several slices may
        have one key.
        """
        return self.store.sorted_parts or len(self.table.slices) > 1

    def _parts(self, rows: int) -> int:
        return part_count(rows) if self._sorts else 1

    def _write(
        self,
        frame: DataFrame,
        parts: int,
        rows: int,
        below: Generation | None = None,
        shuffled: bool = False,
    ) -> list[WrittenRows]:
        self.store.begin(self.run_id, parts)
        own_part = not (shuffled or self._sorts)
        if not own_part:
            frame = in_parts(frame, parts)
        with RowProgress(frame.sparkSession, rows) as progress:
            return run_batches(
                frame,
                WriteParts(self.store, self.run_id, below, own_part, progress.folder),
                WrittenRows,
                f"load into {self.store.kind}",
                parts,
                progress,
            )

    def _finished(self, written: list[WrittenRows], parts: int) -> Layer:
        told = max((part.number for one in written for part in one.parts), default=0) + 1
        layer = Layer(self.run_id, every_part(written, max(parts, told)))
        self.store.finish(layer)
        return layer

    def _check_all(self, written: list[WrittenRows], spark: SparkSession) -> None:
        """Whether every row of the table's commit is in the layer, superseded, or not served."""
        told = sum(one.rows + one.superseded for one in written)
        if told == self.table.rows or told + self.table.unserved(spark) == self.table.rows:
            return
        raise self._wrong_count(f"{told:,} rows were written, {self.table.rows:,} are to be")

    def _wrong_count(self, sentence: str) -> StorageError:
        return StorageError(
            f"{self.table.place}: version {self.table.version}: {sentence}; nothing was switched"
        )

    def _generation(self, layer: Layer | None, below: tuple[Layer, ...], rows: int) -> Generation:
        return Generation(
            name=self.run_id,
            layers=(*((layer,) if layer else ()), *below),
            table=self.table.place,
            version=self.table.version,
            slice=max(self.table.slices, default=None),
            as_of=self.table.as_of,
            rows=rows,
            key=self.table.key,
            schema=columns_text(self.table.schema),
            loaded_at=dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds"),
            confirmed=self.confirmed,
            line=self.table.line,
        )


def check_layers(store: OnlineStore, generation: Generation) -> None:
    """Whether a store still has all that was written into the layers of a generation.

    Raises:
        DamagedStore: files or rows are missing, or are others; as far as the store's `finish` sees.
        StorageError: the store does not answer.
    """
    for layer in generation.layers:
        store.finish(layer)


def sweep(store: OnlineStore, pointer: Pointer | None) -> None:
    """Takes away what no generation has: layers of loads that were killed, and of former times."""
    kept = pointer.layers() if pointer is not None else frozenset()
    if left := store.layers() - kept:
        store.drop(left)
