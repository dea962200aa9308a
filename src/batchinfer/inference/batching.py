"""Batches of the wanted size out of a stream of Arrow batches of any size.

Owns the cutting and joining of batches, and the choice of how many rows a batch has. Knows nothing
of models.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from statistics import median
from typing import Literal, NamedTuple

import pyarrow as pa

# Pictures want few rows a batch: at 256 their activations no longer fit a cache, and a forward pass
# takes twice as long.
SMALLEST_ROWS, LARGEST_ROWS = 32, 16_384
# A GPU computes more rows a second the more it has at once; where that ends, memory and `max_bytes`
# decide.
LARGEST_ROWS_GPU = 2**20
# A size counts as better only if it beats the best by this factor: less is noise.
_BETTER = 1.02
# Batches measured at each size; the best of them counts, because a busy machine can only make one
# slower.
_MEASURED = 2
# Larger sizes tried after the best one before the search ends: one slow size may be an accident.
_PATIENCE = 2
# Sizes that reach this share of the best rate then take turns: a machine that is slower for a
# moment is so for all of them.
_RIVALS = 0.75
# Batches of each; the first, which may pay for a warm-up, does not count, and of the others the
# median does.
_TURNS = 6
# Fewer turns do where batches are long: three, from so many seconds a size.
_FEWEST_TURNS, _ENOUGH_S = 3, 0.5
# Remembered sizes are looked for anew where the best gives less than this share of the rate that it
# gave then.
_STILL_GOOD = 0.7


def rebatch(
    batches: Iterable[pa.RecordBatch], rows: Callable[[], int], max_bytes: int
) -> Iterator[pa.RecordBatch]:
    """Cuts and joins batches: each result has `rows()` rows, or as many as fit into `max_bytes`,
    but at least one.

    Only the last result may have fewer rows without being full of bytes. No row is lost, doubled or
    moved. Rows are copied only where a result spans several inputs. `rows` is asked anew for every
    result. Bytes are those of the Arrow buffers' used part; a dictionary counts whole.

    Runs on: executor.
    """
    source = iter(batches)
    pending: deque[_Part] = deque()
    ended = False
    while True:
        wanted = max(1, rows())
        held = sum(part.rows.num_rows for part in pending)
        while not ended and held < wanted and _bytes_of(pending, max_bytes) < max_bytes:
            batch = next(source, None)
            if batch is None:
                ended = True
            elif batch.num_rows:
                pending.append(_Part(batch, batch.nbytes))
                held += batch.num_rows
        if not held:
            return
        yield _fit(_take(pending, min(wanted, held)), max_bytes, pending)


def gather(
    batches: Iterable[pa.RecordBatch], least_rows: Callable[[], int], max_bytes: int
) -> Iterator[pa.RecordBatch]:
    """Batches as they come, joined only where they have fewer than `least_rows()` rows, and cut
    where they have more than `max_bytes`: to copy wide rows takes longer than to look them up.

    Only the last result may have fewer rows without being cut. `least_rows` is asked anew for every
    batch. Runs on: executor.
    """
    waiting: list[pa.RecordBatch] = []
    for batch in batches:
        if not batch.num_rows:
            continue
        waiting.append(batch)
        enough = sum(each.num_rows for each in waiting) >= least_rows()
        if enough or sum(each.nbytes for each in waiting) >= max_bytes:
            yield from rebatch(waiting, _all_rows, max_bytes)
            waiting = []
    yield from rebatch(waiting, _all_rows, max_bytes)


def _all_rows() -> int:
    return sys.maxsize


class _Part(NamedTuple):
    """Rows that wait, and a number of bytes that they do not exceed: to count exactly costs more
    than to cut.
    """

    rows: pa.RecordBatch
    most_bytes: int


def _bytes_of(pending: deque[_Part], max_bytes: int) -> int:
    """Bytes that wait; counted exactly only where the bound does not settle it."""
    bound = sum(part.most_bytes for part in pending)
    if bound < max_bytes:
        return bound
    exact = [_Part(part.rows, part.rows.nbytes) for part in pending]
    pending.clear()
    pending.extend(exact)
    return sum(part.most_bytes for part in exact)


def _take(pending: deque[_Part], rows: int) -> _Part:
    """The first `rows` rows of what is pending, which is shortened by them."""
    parts: list[_Part] = []
    while rows:
        part = pending.popleft()
        if part.rows.num_rows > rows:
            pending.appendleft(_Part(part.rows.slice(rows), part.most_bytes))
            part = _Part(part.rows.slice(0, rows), part.most_bytes)
        parts.append(part)
        rows -= part.rows.num_rows
    if len(parts) == 1:
        return parts[0]
    joined = join_batches([part.rows for part in parts])
    return _Part(joined, joined.nbytes)


def join_batches(parts: list[pa.RecordBatch]) -> pa.RecordBatch:
    """One batch of the rows of several, in order; dictionaries that differ are merged."""
    table = pa.Table.from_batches(parts).unify_dictionaries().combine_chunks()
    return table.to_batches()[0] if table.num_rows else parts[0]


def _fit(part: _Part, max_bytes: int, pending: deque[_Part]) -> pa.RecordBatch:
    """The longest head of some rows that fits, at least one; the rest goes back to the front of
    `pending`.
    """
    batch = part.rows
    if part.most_bytes <= max_bytes or batch.num_rows == 1 or batch.nbytes <= max_bytes:
        return batch
    fits, too_long = 1, batch.num_rows
    while too_long - fits > 1:
        middle = (fits + too_long) // 2
        if batch.slice(0, middle).nbytes <= max_bytes:
            fits = middle
        else:
            too_long = middle
    pending.appendleft(_Part(batch.slice(fits), part.most_bytes))
    return batch.slice(0, fits)


class FixedSize:
    """A batch size that was asked for; it shrinks by halves only where memory does not suffice."""

    def __init__(self, rows: int) -> None:
        self.sizes = [max(1, rows >> halvings) for halvings in range(rows.bit_length())][::-1]
        self._at = len(self.sizes) - 1
        self._failed = rows + 1

    @property
    def rows(self) -> int:
        """Rows that the next batch should have."""
        return self.sizes[self._at]

    @property
    def ceiling(self) -> int:
        """The most rows that may be tried: fewer than have ever run out of memory."""
        return self._failed - 1

    @property
    def curve(self) -> dict[int, float]:
        """Rows per second by size, as far as it was measured: not at all."""
        return {}

    def record(self, rows: int, seconds: float) -> None:
        """Learns how long a batch took that was scored whole. A fixed size takes no notice."""

    def out_of_memory(self, rows: int) -> None:
        """Learns that memory did not suffice for `rows` rows; the next batches grow up to the
        largest size below.
        """
        self._failed = min(self._failed, max(rows, 2))
        self._at = max(
            index for index, size in enumerate(self.sizes) if size <= self.ceiling or index == 0
        )

    def too_many_bytes(self, rows: int) -> None:
        """Learns that so many rows are more bytes than a batch may have. A fixed size takes no
        notice: batches are cut anyway.
        """


class AutoSize(FixedSize):
    """Chooses the batch size while the run goes on, from the rows per second of its own batches.

    Sizes are powers of two from `smallest` to `largest` rows. It starts at the smallest and grows
    while that pays; then those that are nearly as good as the best take turns, and the best of
    these stays. There are no trial runs: each measured batch is a batch of the run. After memory
    was short it stays below the size that failed.

    Args:
        known: rows per second by size, of earlier runs of the same model on the same device: it
            begins with those that were nearly as good as the best, and searches only if none of
            them is as good as it was, or from the largest on if that is the best.
    """

    def __init__(
        self,
        smallest: int = SMALLEST_ROWS,
        largest: int = LARGEST_ROWS,
        known: Mapping[int, float] | None = None,
    ) -> None:
        super().__init__(largest)
        self._start = next(
            index for index, size in enumerate(self.sizes) if size >= min(smallest, largest)
        )
        self._at = self._start
        self._rates: dict[int, list[float]] = {}
        self._turns: dict[int, list[float]] = {}
        self._settled = False
        self._shortest_s = float("inf")  # of the batches in turns
        self._remembered = {
            self.sizes.index(rows): rate
            for rows, rate in (known or {}).items()
            if rows in self.sizes
        }
        if self._remembered:
            self._compare(self._remembered)

    @property
    def curve(self) -> dict[int, float]:
        """Rows per second by size, as this run found it, or where it did not, those before.

        Nothing while the search goes on: a size is not the best because no other has been tried.
        """
        if not (self._settled or self._remembered):
            return {}
        found = self._remembered | {index: max(rates) for index, rates in self._rates.items()}
        if self._settled:
            found |= {index: median(rates[1:]) for index, rates in self._turns.items() if rates[1:]}
        return {self.sizes[index]: found[index] for index in sorted(found)}

    def record(self, rows: int, seconds: float) -> None:
        """Learns how long a batch took that was scored whole; batches of other sizes than the
        wanted one say nothing.
        """
        if self._settled or rows != self.rows or seconds <= 0:
            return
        if self._turns:
            self._take_turns(rows / seconds, seconds)
        else:
            self._grow(rows / seconds)

    def out_of_memory(self, rows: int) -> None:
        """As for a fixed size, but never to a larger size than now."""
        before = self._at
        super().out_of_memory(rows)
        self._at = min(before, self._at)
        if self._turns and not self._settled:
            self._turns = {
                index: rates
                for index, rates in self._turns.items()
                if self.sizes[index] <= self.ceiling
            }
            self._at = next(iter(self._turns), self._at)

    def too_many_bytes(self, rows: int) -> None:
        """No batch of so many rows will ever come, and nothing be learnt of it: as for memory that
        did not suffice.
        """
        self.out_of_memory(rows)

    def _grow(self, rate: float) -> None:
        rates = self._rates.setdefault(self._at, [])
        rates.append(rate)
        # The very first batch also pays for the model's warm-up.
        if len(rates) < _MEASURED + (self._at == self._start):
            return
        found = {index: max(rates) for index, rates in self._rates.items()}
        if self._may_grow(self._at) and self._at - _best(found) < _PATIENCE:
            self._at += 1
        else:
            self._compare(found)

    def _may_grow(self, at: int) -> bool:
        return at + 1 < len(self.sizes) and self.sizes[at + 1] <= self.ceiling

    def _compare(self, rates: Mapping[int, float]) -> None:
        """Lets the sizes with the best rates take turns, the best first: a short run does not get
        much further.
        """
        allowed = {
            index: rate for index, rate in rates.items() if self.sizes[index] <= self.ceiling
        }
        least = _RIVALS * max(allowed.values(), default=0.0)
        self._turns = {
            index: []
            for index in sorted(allowed, key=lambda index: (-allowed[index], index))
            if allowed[index] >= least
        }
        self._shortest_s = float("inf")
        self._at = next(iter(self._turns), self._at)
        self._settled = not self._turns

    def _take_turns(self, rate: float, seconds: float) -> None:
        self._turns[self._at].append(rate)
        self._shortest_s = min(self._shortest_s, seconds)
        rivals = list(self._turns)
        place = rivals.index(self._at) + 1
        self._at = rivals[place % len(rivals)]
        turns = min(map(len, self._turns.values()))
        if turns < (_FEWEST_TURNS if turns * self._shortest_s >= _ENOUGH_S else _TURNS):
            return
        rates = {index: median(rates[1:]) for index, rates in self._turns.items()}
        best = _best(rates)
        if all(
            rate < _STILL_GOOD * self._remembered.get(index, 0.0) for index, rate in rates.items()
        ):
            self._remembered, self._turns, self._at = {}, {}, self._start
        elif best == max(self._remembered, default=-1) and self._may_grow(best):
            # No larger size was ever measured: memory, or the bytes of the rows there were, did not
            # allow it then.
            self._rates = {index: [rate] * _MEASURED for index, rate in rates.items()}
            self._remembered, self._turns, self._at = {}, {}, best + 1
        else:
            self._at, self._settled = best, True


def _best(rates: Mapping[int, float]) -> int:
    """Index of the best rate; of those that are equally good, the smaller one."""
    best = min(rates)
    for index in sorted(rates):
        if rates[index] > _BETTER * rates[best]:
            best = index
    return best


def new_size(
    rows: int | Literal["auto"],
    known: Mapping[int, float] | None = None,
    largest: int = LARGEST_ROWS,
) -> FixedSize:
    """The batch size that was asked for, or one that is found while running; `known` and `largest`
    as for `AutoSize`.
    """
    return AutoSize(largest=largest, known=known) if rows == "auto" else FixedSize(rows)
