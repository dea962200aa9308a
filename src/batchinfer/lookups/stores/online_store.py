"""What an online store has to do, whatever it is made of.

A store keeps the rows of one table. Its layers are written by tasks on executors, so the store
itself is picklable: connections are opened where they are used.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from batchinfer.lookups.stores.generation import Generation, Layer, LayerPart, Pointer

# Keys and values of some rows, of the same length.
Rows = tuple[Sequence[bytes], Sequence[bytes]]
# Key, commit and value of a streamed row.
StreamedRow = tuple[bytes, int, bytes]


@dataclass(frozen=True)
class Room:
    """What a store foresees of rows that are to be written.

    Attributes:
        memory: bytes of its server's memory; None: it is not known, or rows lie on disks.
        warnings: what endangers rows that lie there, a sentence each.
    """

    memory: int | None = None
    warnings: tuple[str, ...] = ()


class LoopReads(Protocol):
    """Reads of a few rows that an event loop makes itself, without a thread. All of it is called in
    the thread of one loop.
    """

    async def read(
        self, generation: Generation, keys: Sequence[bytes], within_s: float
    ) -> list[bytes | None]:
        """As `OnlineStore.read`, within a time. A read may be cancelled."""
        ...

    async def close(self) -> None:
        """Lets go of its connection."""
        ...


@runtime_checkable
class ReadInLoop(Protocol):
    """A store that an event loop may ask itself."""

    def loop_reads(self) -> LoopReads | None:
        """Reads of the loop that calls it; None: only threads can read. The store has answered a
        question before.
        """
        ...


@runtime_checkable
class OnlineStore(Protocol):
    """Rows of one table in one store.

    Every method that speaks to the store raises `StorageError` where it does not answer, refuses,
    or is full: with the store's place, without its secrets, within a bounded time.

    Attributes:
        kind: as pipeline files name it.
        sorted_parts: True where `write_part` wants its rows in the order of their keys.
        finds_parts: True where a reader has to know the part of a key; then rows must be in the
            part that `part_of` tells.
        ttl_s: seconds after which a row is gone unless it was written again; None: never.
    """

    kind: str
    sorted_parts: bool
    finds_parts: bool
    ttl_s: int | None

    @property
    def place(self) -> str:
        """Where it is, for people; without secrets."""
        ...

    def pointer(self) -> Pointer | None:
        """The pointer as it is now; None where nothing was loaded."""
        ...

    def check_room(self, rows: int, row_bytes: Callable[[], float]) -> Room:
        """Whether so many rows find room, as far as the store can tell before they are written.

        Args:
            row_bytes: bytes of a row's key and value, about; not every store asks.

        Raises:
            StorageError: there is too little room.
        """
        ...

    def begin(self, layer: str, parts: int) -> None:
        """Makes room for a layer of so many parts."""
        ...

    def write_part(self, layer: str, part: int, rows: Iterable[Rows]) -> LayerPart:
        """Writes rows into a part of a layer; a second try of the same part leaves the same rows.
        Runs on executors.

        Args:
            rows: in batches; no key comes twice. A value of `stored_rows.GONE` takes the row of
                layers below away.
        """
        ...

    def finish(self, layer: Layer) -> None:
        """Makes sure that a layer is whole and stays: all that its parts say is there.

        Raises:
            StorageError: rows are missing, or there are too many.
        """
        ...

    def switch(self, new: Pointer, expected: Pointer | None) -> None:
        """Sets the pointer, in one step, if it still is the expected one. Streamed rows may have
        come meanwhile; they stay.

        Args:
            expected: None: there is none, or one that cannot be read, which is replaced.

        Raises:
            StorageError: it is another one: somebody else has loaded meanwhile.
        """
        ...

    def read(self, generation: Generation, keys: Sequence[bytes]) -> list[bytes | None]:
        """The value of each key in a generation; None where it has none. All keys are read in the
        same generation. Safe in several threads.
        """
        ...

    def scan(self, layer: Layer) -> Iterator[tuple[bytes, bytes]]:
        """All rows of a layer, in any order."""
        ...

    def upsert(self, commit: int, rows: Iterable[Rows]) -> int:
        """Writes rows of one commit of the table above what was loaded, for readers at once; those
        that do not know yet of streamed rows see them with the next pointer that they read.

        Of each key the row of the greatest commit counts: that of a stream where its commit is
        greater than the generation's version, else that of the generation. A row whose commit is
        not greater than the streamed one's is left out. So rows may be written again, in any order
        of commits, and by several writers, and a writer that was killed is repeated as a whole.

        Runs on: executors, driver. The embedded store takes one caller at a time: callers of one
        machine wait for each other, on an object store the driver alone may call.

        Args:
            commit: of the table's version that has the rows, from 0.
            rows: in batches; no key comes twice. A value of `stored_rows.GONE` takes the row away.

        Returns:
            How many rows were taken; the others were not newer.

        Raises:
            StorageError: nothing was loaded, so there is nothing to stand above.
        """
        ...

    def streamed(self, generation: Generation) -> Iterator[StreamedRow]:
        """The streamed rows above a generation, one a key, in any order; rows that the generation
        has overtaken may be among them.
        """
        ...

    def sweep_streamed(self) -> None:
        """Takes streamed rows away that no generation of the pointer shows any more."""
        ...

    def layers(self) -> frozenset[str]:
        """Names of all layers that lie in the store, whole or not."""
        ...

    def drop(self, layers: Collection[str]) -> None:
        """Takes layers away; those that are not there are none of its business."""
        ...

    def close(self) -> None:
        """Lets connections and files go."""
        ...


def part_of(key: bytes, parts: int) -> int:
    """The part that a key's row is in."""
    return zlib.crc32(key) % parts


def newest_first(found: Iterable[Sequence[bytes | None]]) -> list[bytes | None]:
    """The rows that a generation has, from what each of its layers has, newest first.

    Args:
        found: for each layer the value of each key; an empty value means that the row is gone.
    """
    rows: list[bytes | None] = []
    for column in zip(*found, strict=True):
        value = next((one for one in column if one is not None), None)
        rows.append(value or None)
    return rows
