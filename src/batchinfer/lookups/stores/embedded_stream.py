"""Streamed rows of the embedded store: which files have them, and how they are merged.

Files never change, so each write makes one: its rows, merged with those of newer files that are not
larger. So of n rows there are some log2(n) files, and a row is written as often.
"""

from __future__ import annotations

import datetime as dt
import heapq
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from batchinfer.lookups.stores.generation import Layer
from batchinfer.lookups.stores.online_store import Rows
from batchinfer.lookups.stores.streamed_rows import commit_of

STREAM_FILE = "stream.json"
_BATCH_ROWS = 1_000
# Whoever reads has the newest pointer within a second, and opens its files then.
_READERS_GONE = dt.timedelta(minutes=1)


@dataclass(frozen=True)
class StreamFiles:
    """What lies in the folder of a stream.

    Attributes:
        layers: newest first; where a key is in several, its newest row is in the first.
        left: names of layers that were merged into others, and since when, ISO time; they may
            still be read.
    """

    layers: tuple[Layer, ...] = ()
    left: Mapping[str, str] = field(default_factory=dict)

    def followed_by(self, layer: Layer, kept: Sequence[Layer]) -> StreamFiles:
        """With a new layer above those that are kept."""
        now = dt.datetime.now(dt.timezone.utc)
        left = {
            name: since
            for name, since in self.left.items()
            if now - dt.datetime.fromisoformat(since) < _READERS_GONE
        }
        gone = (one.name for one in self.layers if one not in kept)
        return StreamFiles((layer, *kept), left | dict.fromkeys(gone, now.isoformat()))

    @property
    def names(self) -> frozenset[str]:
        """Names of the layers whose files stay."""
        return frozenset((*(layer.name for layer in self.layers), *self.left))


def merged_count(layers: Sequence[Layer], rows: int) -> int:
    """How many layers, from the newest on, so many rows are merged with."""
    count = 0
    while count < len(layers) and layers[count].rows <= rows:
        rows += layers[count].rows
        count += 1
    return count


def merged_rows(sources: Sequence[Iterable[tuple[bytes, bytes]]], floor: int) -> Iterator[Rows]:
    """The rows of several sources in the order of their keys, in batches: of each key that of the
    first source that has it.

    Args:
        sources: newest first, each in the order of its keys; values say their commit.
        floor: rows of commits up to this one are left out.
    """
    ranked = [_ranked(source, rank) for rank, source in enumerate(sources)]
    of_keys = itertools.groupby(heapq.merge(*ranked), key=lambda row: row[0])
    first = (next(rows) for _, rows in of_keys)
    alive = ((key, value) for key, _, value in first if commit_of(value) > floor)
    while batch := list(itertools.islice(alive, _BATCH_ROWS)):
        yield [key for key, _ in batch], [value for _, value in batch]


def _ranked(source: Iterable[tuple[bytes, bytes]], rank: int) -> Iterator[tuple[bytes, int, bytes]]:
    for key, value in source:
        yield key, rank, value
