"""Windows of rows that are scored in parts, and come out whole and in their order.

Owns what becomes of a window: which of its rows were answered before and are taken out, which
parts the others are scored in, and how all of them are put together again. Knows neither models nor
streams.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from batchinfer.contracts import BadRecord
from batchinfer.inference.attempt import Predictions
from batchinfer.inference.known_rows import KnownRows
from batchinfer.inference.row_weights import Weigh, cut, row_weights

# Rows that are looked up together, at least, where others were answered before: of few new ones
# among them, the model gets batches that are worth starting it. Half of what files are read by.
LOOKED_UP_ROWS = 32_768


@dataclass(frozen=True)
class Scored:
    """A batch of input rows after scoring.

    Attributes:
        rows: the input rows that were scored, in order, with all their columns.
        predictions: per declared output column, one value for each of `rows`.
        fingerprints: of the model's inputs, one for each of `rows` (binary, 16 bytes); null without
            fingerprint columns.
        failed: the other rows.
        failed_at: their positions in the whole stream, from 0, in the order of `failed`.
        known_at: where each of `rows` stands among the rows that were answered before, `(rows,)
            int64`, -1: it was scored now; None: none was looked up.
    """

    rows: pa.RecordBatch
    predictions: Predictions
    fingerprints: pa.Array
    failed: list[BadRecord] = field(default_factory=list)
    failed_at: tuple[int, ...] = ()
    known_at: np.ndarray | None = None


class Window:
    """Some rows of a stream, of which parts are scored one after another.

    Args:
        rows: at least one.
        fingerprints: one for each.
        first_row: position of the first of them in the stream.
        known: rows that were answered before; None: none were.

    Attributes:
        known_at: as of `Scored`, of all rows.
        unknown: positions of the rows that are to be scored, `(unknown,) int64`; None: all.
        is_cut: whether all its parts were handed out.
        failed: rows that could not be scored, by their positions.
    """

    def __init__(
        self,
        rows: pa.RecordBatch,
        fingerprints: pa.Array,
        first_row: int,
        known: KnownRows | None = None,
    ) -> None:
        self.rows, self.fingerprints, self.first_row = rows, fingerprints, first_row
        self._known = known
        self.known_at = None if known is None else known.find(fingerprints)
        self.unknown: np.ndarray | None = None
        if self.known_at is not None and (self.known_at >= 0).any():
            self.unknown = np.flatnonzero(self.known_at < 0)
        self.is_cut = False
        self.failed: dict[int, BadRecord] = {}
        self._waiting = 0
        self._parts: list[Predictions] = []
        self._places: list[np.ndarray] = []

    @property
    def known_rows(self) -> int:
        """How many of its rows were answered before."""
        return 0 if self.unknown is None else self.rows.num_rows - len(self.unknown)

    @property
    def is_done(self) -> bool:
        """Whether every row of it was answered, or failed."""
        return self.is_cut and not self._waiting

    def cut(
        self, weigh: Weigh | None, most_rows: Callable[[], int], most_weight: float | None
    ) -> Iterator[np.ndarray | slice]:
        """Positions, among the rows that are to be scored, of the rows of each part.

        Args:
            weigh: what rows weigh: those of about the same weight are scored together; None: they
                are in their order.
            most_rows: of a part; asked anew for every one.
            most_weight: of a part, padding counted.
        """
        rows = self.rows.num_rows - self.known_rows
        if weigh is not None and rows:
            weights = row_weights(
                weigh, self.rows if self.unknown is None else self.rows.take(pa.array(self.unknown))
            )
            if weights is not None:
                yield from cut(weights, most_rows, most_weight)
                return
        yield from even_parts(rows, most_rows)

    def part(self, at: np.ndarray | slice) -> tuple[np.ndarray, pa.RecordBatch, pa.Array]:
        """One part, handed out: positions, rows and fingerprints; `add` brings it back.

        Args:
            at: positions among the rows that are to be scored.
        """
        self._waiting += 1
        if isinstance(at, slice) and self.unknown is None:
            rows, fingerprints = (
                whole.slice(at.start, at.stop - at.start)
                for whole in (self.rows, self.fingerprints)
            )
            return np.arange(at.start, at.stop), rows, fingerprints
        places = np.arange(at.start, at.stop) if isinstance(at, slice) else at
        places = places if self.unknown is None else self.unknown[places]
        index = pa.array(places)
        return places, self.rows.take(index), self.fingerprints.take(index)

    def add(self, places: np.ndarray, scored: Scored, gone: Sequence[int]) -> None:
        """What became of a part.

        Args:
            places: as `part` gave them.
            gone: positions in the part of the rows that failed, in the order of `scored.failed`.
        """
        self._waiting -= 1
        self.failed |= {
            int(places[at]): record for at, record in zip(gone, scored.failed, strict=True)
        }
        self._parts.append(scored.predictions)
        self._places.append(np.delete(places, gone) if len(gone) else places)

    def joined(self, declared: Mapping[str, pa.DataType]) -> Scored:
        """What became of the window, in its order; asked for once it is done."""
        parts, places = self._parts, self._places
        if self._known is not None and self.known_at is not None and self.known_rows:
            answered = np.flatnonzero(self.known_at >= 0)
            parts = [self._known.predictions(self.known_at[answered], declared), *parts]
            places = [answered, *places]
        gone = sorted(self.failed)
        rows, fingerprints, known_at = self.rows, self.fingerprints, self.known_at
        if gone:
            kept = np.delete(np.arange(rows.num_rows), gone)
            rows, fingerprints = rows.take(pa.array(kept)), fingerprints.take(pa.array(kept))
            known_at = None if known_at is None else known_at[kept]
        return Scored(
            rows,
            in_row_order(parts, np.concatenate(places), declared),
            fingerprints,
            [self.failed[row] for row in gone],
            tuple(self.first_row + row for row in gone),
            known_at,
        )


def even_parts(rows: int, most: Callable[[], int]) -> Iterator[slice]:
    """Consecutive parts of so many rows, `most()` in each, which is asked anew for every one; the
    last may have fewer.
    """
    start = 0
    while start < rows:
        end = min(rows, start + max(1, most()))
        yield slice(start, end)
        start = end


def in_row_order(
    parts: Sequence[Predictions], places: np.ndarray, declared: Mapping[str, pa.DataType]
) -> Predictions:
    """The values of some batches, in the order of the places that their rows had."""
    joined = {
        name: pa.concat_arrays([part[name] for part in parts] or [pa.nulls(0, type_)])
        for name, type_ in declared.items()
    }
    if (places[1:] > places[:-1]).all():
        return joined
    order = pa.array(np.argsort(places, kind="stable"))
    return {name: values.take(order) for name, values in joined.items()}
