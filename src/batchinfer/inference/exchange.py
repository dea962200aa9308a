"""Rows of a whole run shared out by their fingerprints, so that equal ones meet and are scored
once.

Owns what travels: parcels for a bucket, with a narrow line for every row (its key and fingerprint)
and the inputs of rows that are not known to have been sent before; and how a bucket's parcels
become distinct rows, and predictions of distinct rows those of all. Knows nothing of what carries
the parcels, or of models.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from batchinfer.inference.fingerprint import Fingerprinter, first_words, words

# A parcel is sent when it has so many bytes: large enough that thousands of them are few, small
# against a worker's memory.
PARCEL_BYTES = 4 * 2**20
# Fingerprints that a sender remembers; beyond that, inputs are sent again, which costs time and no
# row.
MOST_SENT = 2_000_000
_FINGERPRINT = "fingerprint"


@dataclass
class _Waiting:
    """What waits to be sent to one bucket."""

    rows: list[pa.RecordBatch] = field(default_factory=list)
    inputs: list[pa.RecordBatch] = field(default_factory=list)
    bytes: int = 0


@dataclass(frozen=True)
class Parcel:
    """What is sent to a bucket at once: narrow lines of rows, and the inputs of some of them; each
    table with the rows' fingerprints. Columns of text may be dictionaries.
    """

    lines: pa.Table
    inputs: pa.Table | None

    def write(self, sink: pa.NativeFile) -> tuple[int, int]:
        """Writes both as Arrow streams; the bytes of each."""
        lines = _write(sink, self.lines)
        return lines, 0 if self.inputs is None else _write(sink, self.inputs)


def _write(sink: pa.NativeFile, table: pa.Table) -> int:
    start = sink.tell()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.tell() - start


class _Seen:
    """Fingerprints that were met before, by their words; in order of the first, so that a batch is
    looked up at once.

    Args:
        most: how many are remembered.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._first, self._second = np.empty(0, np.uint64), np.empty(0, np.uint64)

    def new(self, halves: np.ndarray) -> np.ndarray:
        """Which rows of a batch are the first to have their fingerprint, in order; it is
        remembered.

        A fingerprint that cannot be remembered, because there are too many or because one with the
        same first word is, may be new again. That happens to a few among many billions otherwise.

        Args:
            halves: `(rows, 2) uint64`, as of `fingerprint.words`.
        """
        order = np.argsort(halves[:, 0], kind="stable")
        first, second = halves[order, 0], halves[order, 1]
        begins = np.ones(len(order), bool)
        begins[1:] = (first[1:] != first[:-1]) | (second[1:] != second[:-1])
        order, first, second = order[begins], first[begins], second[begins]
        at = np.searchsorted(self._first, first)
        there = at < len(self._first)
        near = np.where(there, at, 0)
        if len(self._first):
            there &= self._first[near] == first
        known = there.copy()
        known[there] = self._second[near[there]] == second[there]
        kept = np.flatnonzero(~there)[: self._most - len(self._first)]
        self._first = np.insert(self._first, at[kept], first[kept])
        self._second = np.insert(self._second, at[kept], second[kept])
        return np.sort(order[~known])


class Sender:
    """One task's side: takes batches, gives parcels.

    Args:
        lines: columns of a row's narrow line: its key, its place, and what is carried along.
        inputs: the model's columns, in the order of the signature.
        buckets: among how many buckets rows are shared out.

    Runs on: executor.
    """

    def __init__(self, lines: Sequence[str], inputs: Sequence[str], buckets: int) -> None:
        self._lines, self._inputs, self._buckets = list(lines), list(inputs), buckets
        self._fingerprint = Fingerprinter(inputs)
        self._sent = _Seen(MOST_SENT)
        self._waiting = [_Waiting() for _ in range(buckets)]

    def add(self, batch: pa.RecordBatch) -> Iterator[tuple[int, Parcel]]:
        """Takes rows; gives the parcels that are full, each with its bucket."""
        fingerprints = self._fingerprint(batch)
        halves = words(fingerprints)
        new = self._sent.new(halves)
        narrow = batch.select(self._lines).append_column(_FINGERPRINT, fingerprints)
        # Numbers of 16 bits are sorted by their digits, in a fraction of the time.
        bucket = (halves[:, 0] % np.uint64(self._buckets)).astype(np.uint16)
        for number, rows in _shared(bucket, np.arange(batch.num_rows)):
            self._put(number, narrow.take(rows), self._waiting[number].rows)
        wide = batch.select(self._inputs).append_column(_FINGERPRINT, fingerprints)
        for number, rows in _shared(bucket[new], new):
            self._put(number, wide.take(rows), self._waiting[number].inputs)
        for number, waiting in enumerate(self._waiting):
            if waiting.bytes >= PARCEL_BYTES:
                yield number, self._pack(number)

    def end(self) -> Iterator[tuple[int, Parcel]]:
        """The parcels that are not full."""
        for number, waiting in enumerate(self._waiting):
            if waiting.rows:
                yield number, self._pack(number)

    def _put(self, number: int, rows: pa.RecordBatch, place: list[pa.RecordBatch]) -> None:
        place.append(rows)
        self._waiting[number].bytes += rows.nbytes

    def _pack(self, number: int) -> Parcel:
        waiting, self._waiting[number] = self._waiting[number], _Waiting()
        return Parcel(_joined(waiting.rows), _joined(waiting.inputs) if waiting.inputs else None)


def _joined(batches: list[pa.RecordBatch]) -> pa.Table:
    return pa.Table.from_batches(batches).unify_dictionaries().combine_chunks()


def _shared(bucket: np.ndarray, rows: np.ndarray) -> Iterator[tuple[int, pa.Array]]:
    """The rows of each bucket that has some, in their order."""
    if not len(rows):
        return
    order = np.argsort(bucket, kind="stable")
    numbers, starts = np.unique(bucket[order], return_index=True)
    for number, of_bucket in zip(numbers.tolist(), np.split(rows[order], starts[1:]), strict=True):
        yield number, pa.array(of_bucket)


class Bucket:
    """One bucket's side: what its parcels held.

    Attributes:
        lines: of every row, in the order of the parcels.
        distinct: inputs of the distinct rows, without their fingerprints.
        fingerprints: of the distinct rows, `binary`.

    Args:
        parcels: of each, the streams of its lines and of its inputs, as `Parcel.write` has written
            them; rows are not copied out of them.

    Runs on: executor. Holds all that a bucket has: the caller makes as many buckets as that takes.
    """

    def __init__(self, parcels: Iterable[tuple[pa.Buffer, pa.Buffer]]) -> None:
        self.lines: list[pa.RecordBatch] = []
        self.distinct: list[pa.RecordBatch] = []
        seen = _Seen(sys.maxsize)
        fingerprints: list[pa.Array] = []
        for lines, its_inputs in parcels:
            self.lines += _batches(lines)
            for inputs in _batches(its_inputs):
                new = seen.new(words(inputs.column(_FINGERPRINT)))
                rows = inputs if len(new) == inputs.num_rows else inputs.take(pa.array(new))
                self.distinct.append(rows.drop_columns([_FINGERPRINT]))
                fingerprints.append(rows.column(_FINGERPRINT))
        self.fingerprints = pa.chunked_array(fingerprints, pa.binary()).combine_chunks()

    @property
    def rows(self) -> int:
        """How many rows there are, copies counted."""
        return sum(batch.num_rows for batch in self.lines)

    def _found(self) -> list[np.ndarray]:
        """For each of `lines` which distinct row every line equals, by the first word alone,
        `(rows,) int32`: Arrow's hash table of all words is made once.
        """
        asked = [first_words(lines.column(_FINGERPRINT)) for lines in self.lines]
        options = pc.SetLookupOptions(value_set=pa.array(first_words(self.fingerprints)))
        found = pc.call_function(
            "index_in", [pa.array(np.concatenate([np.empty(0, "<u8"), *asked]))], options
        ).to_numpy()
        return np.split(found, np.cumsum([len(each) for each in asked])[:-1]) if asked else []

    def places(self) -> Iterator[tuple[pa.RecordBatch, pa.Array, np.ndarray]]:
        """Of each of `lines`: their columns, their fingerprints, and `(rows,) int32` which distinct
        row each equals.
        """
        second = words(self.fingerprints)[:, 1].copy()
        for lines, which in zip(self.lines, self._found(), strict=True):
            fingerprints = lines.column(_FINGERPRINT)
            other = np.flatnonzero(second[which] != words(fingerprints)[:, 1])
            if len(other):  # another fingerprint has the same first word
                options = pc.SetLookupOptions(value_set=self.fingerprints)
                which = which.copy()
                which[other] = pc.call_function(
                    "index_in", [fingerprints.take(pa.array(other))], options
                ).to_numpy()
            yield lines.drop_columns([_FINGERPRINT]), fingerprints, which


def _batches(stream: pa.Buffer) -> list[pa.RecordBatch]:
    if not stream.size:
        return []
    return [batch for batch in pa.ipc.open_stream(stream) if batch.num_rows]


def estimated_distinct(hashes: np.ndarray, rows: int) -> int:
    """How many distinct values `rows` rows have, judged by a sample of their hashes; rather too
    many than too few.

    The lesser of two: Chao's lower bound d + f1²/2f2 (A. Chao, "Nonparametric estimation of the
    number of classes in a population", 1984), which is close for many copies; and what the pairs
    among values that the sample has once or twice say of how many copies these have, which is exact
    for two and is not misled by a few values that are everywhere.

    Args:
        hashes: `(sample,) uint64`.
        rows: that the sample was taken from, the sample's own among them.
    """
    sample = len(hashes)
    if sample == 0:
        return rows
    counts = np.unique(hashes, return_counts=True)[1]
    seen, once, twice = len(counts), int((counts == 1).sum()), int((counts == 2).sum())
    rare = once + 2 * twice  # rows of the sample whose value it has once or twice
    rows_rare = rows * rare / sample
    copies = 1 + 2 * twice * rows_rare / max(1, rare) ** 2
    by_pairs = (seen - once - twice) + rows_rare / copies
    chao = seen + (once * once / (2 * twice) if twice else once * (once - 1) / 2)
    return max(1, min(rows, round(by_pairs), round(chao)))
