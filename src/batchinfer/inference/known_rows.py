"""Rows that were answered before, found by the fingerprints of their inputs.

Owns the form of an index of them: a file of Arrow IPC for each bucket, which processes map into
memory, and how a batch is looked up in it. A bucket has the rows whose fingerprints begin with
words of one range, sorted by that word, one row for each fingerprint. Knows neither tables nor
models; what made an answer is a text here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa

from batchinfer.inference.attempt import Predictions
from batchinfer.inference.fingerprint import words

_FIRST, _SECOND, _MAKER = "first word", "second word", "maker"
_MAKERS = b"batchinfer.makers"


def bucket_of(first: np.ndarray, buckets: int) -> np.ndarray:
    """The bucket of each fingerprint, `(rows,) int64`, by its first word: ranges of equal length,
    in order.
    """
    return ((first >> np.uint64(32)) * np.uint64(buckets) >> np.uint64(32)).astype(np.int64)


def write_bucket(
    sink: IO[bytes] | pa.NativeFile,
    halves: np.ndarray,
    makers: np.ndarray,
    texts: Sequence[str],
    answers: Mapping[str, pa.ChunkedArray],
) -> int:
    """Writes one bucket; how many distinct rows it has.

    Args:
        halves: `(rows, 2) uint64`, the words of their fingerprints, in any order, each any number
            of times.
        makers: `(rows,) int32`, which of `texts` made each of them.
        answers: a column for each output, `rows` values each.
    """
    order = np.argsort(halves[:, 0], kind="stable")
    first, second = halves[order, 0], halves[order, 1]
    begins = np.ones(len(order), bool)
    begins[1:] = (first[1:] != first[:-1]) | (second[1:] != second[:-1])
    order = order[begins]
    columns = {
        _FIRST: pa.array(first[begins]),
        _SECOND: pa.array(second[begins]),
        _MAKER: pa.array(makers[order], pa.int32()),
    }
    rows = pa.array(order)
    for name, values in answers.items():
        # With offsets of 64 bits, whatever a bucket holds is one piece.
        large = values.cast(_large(values.type)).combine_chunks()
        columns[name] = large.take(rows)
    batch = pa.RecordBatch.from_arrays(
        list(columns.values()),
        schema=pa.schema(
            [pa.field(name, column.type) for name, column in columns.items()],
            {_MAKERS: json.dumps(list(texts)).encode()},
        ),
    )
    with pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return batch.num_rows


def _large(type_: pa.DataType) -> pa.DataType:
    if pa.types.is_string(type_):
        return pa.large_string()
    if pa.types.is_binary(type_):
        return pa.large_binary()
    return pa.large_list(_large(type_.value_type)) if pa.types.is_list(type_) else type_


class KnownRows:
    """Answered rows, open for look-ups.

    Args:
        paths: files of all buckets, in their order; they may be deleted while they are open.

    Attributes:
        makers: what has made answers, in the order of their numbers.
        clock: seconds, monotonic.

    Runs on: executor, or the driver for a few rows.
    """

    def __init__(self, paths: Sequence[str | Path]) -> None:
        self._buckets = [_Bucket(path) for path in paths]
        rows = [len(bucket.first) for bucket in self._buckets]
        self._starts = np.concatenate([[0], np.cumsum(rows)]).astype(np.int64)
        self.makers: list[str] = []
        self._makers_before: list[int] = []
        for bucket in self._buckets:
            self._makers_before.append(len(self.makers))
            self.makers += bucket.makers

    def __len__(self) -> int:
        return int(self._starts[-1])

    def find(self, fingerprints: pa.Array) -> np.ndarray:
        """Where each row stands among the known ones, `(rows,) int64`; -1: it is not known.

        Args:
            fingerprints: as `Fingerprinter` gives them; none is null.
        """
        halves = words(fingerprints)
        order = np.argsort(halves[:, 0])
        first, second = halves[order, 0], halves[order, 1]
        found = np.full(len(order), -1, dtype=np.int64)
        ends = np.searchsorted(bucket_of(first, len(self._buckets)), np.arange(len(self._buckets)))
        for number, (start, end) in enumerate(zip(ends, [*ends[1:], len(order)], strict=True)):
            at = self._buckets[number].find(first[start:end], second[start:end])
            found[order[start:end]] = np.where(at < 0, -1, at + self._starts[number])
        return found

    def predictions(self, places: np.ndarray, declared: Mapping[str, pa.DataType]) -> Predictions:
        """The answers at these places, in their order, in the types that the model declares."""
        return {
            name: self._taken(places, lambda bucket, name=name: bucket.rows.column(name), type_)
            for name, type_ in declared.items()
        }

    def makers_at(self, places: np.ndarray) -> np.ndarray:
        """The number of what made each of these answers, `(rows,) int32`."""
        numbers = self._taken(places, lambda bucket: bucket.rows.column(_MAKER), pa.int32())
        before = np.asarray(self._makers_before, dtype=np.int32)
        return numbers.to_numpy() + before[self._bucket_at(places)]

    def _bucket_at(self, places: np.ndarray) -> np.ndarray:
        if len(self._buckets) == 1:
            return np.zeros(len(places), np.uint16)
        return (np.searchsorted(self._starts, places, side="right") - 1).astype(np.uint16)

    def _taken(
        self, places: np.ndarray, column: Callable[[_Bucket], pa.Array], type_: pa.DataType
    ) -> pa.Array:
        bucket_at = self._bucket_at(places)
        order = np.argsort(bucket_at, kind="stable")
        ends = np.searchsorted(bucket_at[order], np.arange(len(self._buckets) + 1))
        parts = [
            column(bucket).take(pa.array(places[order[start:end]] - before)).cast(type_)
            for bucket, before, start, end in zip(
                self._buckets, self._starts[:-1], ends[:-1], ends[1:], strict=True
            )
            if end > start
        ]
        if len(parts) == 1:
            return parts[0]
        back = np.empty(len(order), np.int64)
        back[order] = np.arange(len(order))
        return pa.concat_arrays(parts or [pa.nulls(0, type_)]).take(pa.array(back))


class _Bucket:
    """One mapped file: its rows, and the words of their fingerprints, `(rows,) uint64` each."""

    def __init__(self, path: str | Path) -> None:
        with pa.ipc.open_file(pa.memory_map(str(path))) as reader:
            self.rows = reader.get_batch(0)
            self.makers: list[str] = json.loads((reader.schema.metadata or {})[_MAKERS])
        self.first = self.rows.column(_FIRST).to_numpy()
        self.second = self.rows.column(_SECOND).to_numpy()

    def find(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Where fingerprints with these words stand, -1: nowhere; `first` ascends."""
        at = np.searchsorted(self.first, first)
        open_, found = np.arange(len(first)), np.full(len(first), -1, np.int64)
        while len(open_):
            # Of two fingerprints that begin alike, which hardly ever happens, one stands behind the
            # other.
            open_ = open_[at[open_] < len(self.first)]
            open_ = open_[self.first[at[open_]] == first[open_]]
            equal = self.second[at[open_]] == second[open_]
            found[open_[equal]] = at[open_[equal]]
            open_ = open_[~equal]
            at[open_] += 1
        return found
