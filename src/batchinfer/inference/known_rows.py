"""Rows that were answered before, found by the fingerprints of their inputs.

Owns the form of an index of them: a file of Arrow IPC for each part, which processes map into
memory, and how a batch is looked up in it. A part has its rows in the order in which they were
published, and a sorted word for each of them: how its fingerprint begins, then its place. Rows
mostly come again in the order that they had, so a batch is held against the rows that follow the
last one found, and only those that differ are searched for. Knows neither tables nor models; what
made an answer is a text here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa

from batchinfer.inference.attempt import Predictions
from batchinfer.inference.fingerprint import first_words, words

_PRINT, _SORTED, _MAKER = "fingerprint", "sorted", "maker"
_MAKERS = b"batchinfer.makers"
# So many rows of a batch tell where the rest of them may follow each other; fewer are searched for.
_SAMPLE = 16


def write_part(
    sink: IO[bytes] | pa.NativeFile,
    fingerprints: pa.Array,
    makers: np.ndarray,
    texts: Sequence[str],
    answers: Mapping[str, pa.ChunkedArray],
) -> None:
    """Writes one part.

    Args:
        fingerprints: of its rows, in the order in which they were published, as `binary(16)`; each
            any number of times.
        makers: `(rows,) int32`, which of `texts` made each of them.
        answers: a column for each output, `rows` values each.
    """
    bits, first = _place_bits(len(fingerprints)), first_words(fingerprints)
    begins_and_places = _begins(first, bits) | np.arange(len(first), dtype=np.uint64)
    begins_and_places.sort()
    columns = {
        _PRINT: fingerprints,
        _SORTED: pa.array(begins_and_places),
        _MAKER: pa.array(makers, pa.int32()),
    }
    for name, values in answers.items():
        # With offsets of 64 bits, whatever a part holds is one piece.
        columns[name] = values.cast(_large(values.type)).combine_chunks()
    batch = pa.RecordBatch.from_arrays(
        list(columns.values()),
        schema=pa.schema(
            [pa.field(name, column.type) for name, column in columns.items()],
            {_MAKERS: json.dumps(list(texts)).encode()},
        ),
    )
    with pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)


def _place_bits(rows: int) -> np.uint64:
    """The bits that the place of a row takes at the end of its sorted word."""
    return np.uint64(rows.bit_length())


def _begins(first: np.ndarray, bits: np.uint64) -> np.ndarray:
    """First words without the bits of a place."""
    return first >> bits << bits


def _large(type_: pa.DataType) -> pa.DataType:
    if pa.types.is_string(type_):
        return pa.large_string()
    if pa.types.is_binary(type_):
        return pa.large_binary()
    return pa.large_list(_large(type_.value_type)) if pa.types.is_list(type_) else type_


class KnownRows:
    """Answered rows, open for look-ups, by one thread.

    Args:
        paths: files of all parts; they may be deleted while they are open.

    Attributes:
        makers: what has made answers, in the order of their numbers.

    Runs on: executor, or the driver for a few rows.
    """

    def __init__(self, paths: Sequence[str | Path]) -> None:
        self._parts = [_Part(path) for path in paths]
        rows = [len(part.words) for part in self._parts]
        self._starts = np.concatenate([[0], np.cumsum(rows)]).astype(np.int64)
        self._next = 0
        self.makers: list[str] = []
        self._makers_before: list[int] = []
        for part in self._parts:
            self._makers_before.append(len(self.makers))
            self.makers += part.makers

    def __len__(self) -> int:
        return int(self._starts[-1])

    def find(self, fingerprints: pa.Array) -> np.ndarray:
        """Where each row stands among the known ones, `(rows,) int64`; -1: it is not known.

        Args:
            fingerprints: as `Fingerprinter` gives them; none is null.
        """
        asked = words(fingerprints)
        found = np.full(len(asked), -1, dtype=np.int64)
        self._follow(asked, found, self._next)
        left = np.flatnonzero(found < 0)
        if len(left) > _SAMPLE:
            some = left[:: len(left) // _SAMPLE]
            at = self._search(asked[some])
            for begin in np.unique((at - some)[at >= 0]).tolist():
                self._follow(asked, found, begin)
            left = left[found[left] < 0]
        found[left] = self._search(asked[left])
        if len(there := np.flatnonzero(found >= 0)):
            self._next = int(found[there[-1]]) + len(found) - int(there[-1])
        return found

    def _follow(self, asked: np.ndarray, found: np.ndarray, begin: int) -> None:
        """Holds rows against the known ones from the place `begin` on, which may be none; those
        that are equal are found.
        """
        for part, start, end in zip(self._parts, self._starts[:-1], self._starts[1:], strict=True):
            low, high = max(begin, int(start)), min(begin + len(asked), int(end))
            if low >= high:
                continue
            rows, known = slice(low - begin, high - begin), part.words[low - start : high - start]
            equal = (asked[rows, 0] == known[:, 0]) & (asked[rows, 1] == known[:, 1])
            found[rows][equal] = np.flatnonzero(equal) + low

    def _search(self, asked: np.ndarray) -> np.ndarray:
        """Where each of these stands, wherever that is, as `find` gives it."""
        found = np.full(len(asked), -1, dtype=np.int64)
        left = np.argsort(asked[:, 0])
        for part, start in zip(self._parts, self._starts[:-1], strict=True):
            at = part.search(asked[left, 0], asked[left, 1])
            found[left] = np.where(at < 0, -1, at + start)
            left = left[at < 0]
        return found

    def predictions(self, places: np.ndarray, declared: Mapping[str, pa.DataType]) -> Predictions:
        """The answers at these places, in their order, in the types that the model declares."""
        return {
            name: self._taken(places, lambda part, name=name: part.rows.column(name), type_)
            for name, type_ in declared.items()
        }

    def makers_at(self, places: np.ndarray) -> np.ndarray:
        """The number of what made each of these answers, `(rows,) int32`."""
        numbers = self._taken(places, lambda part: part.rows.column(_MAKER), pa.int32())
        before = np.asarray(self._makers_before, dtype=np.int32)
        return numbers.to_numpy() + before[self._part_at(places)]

    def _part_at(self, places: np.ndarray) -> np.ndarray:
        if len(self._parts) == 1:
            return np.zeros(len(places), np.uint16)
        return (np.searchsorted(self._starts, places, side="right") - 1).astype(np.uint16)

    def _taken(
        self, places: np.ndarray, column: Callable[[_Part], pa.Array], type_: pa.DataType
    ) -> pa.Array:
        part_at = self._part_at(places)
        order = np.argsort(part_at, kind="stable")
        ends = np.searchsorted(part_at[order], np.arange(len(self._parts) + 1))
        pieces = [
            column(part).take(pa.array(places[order[start:end]] - before)).cast(type_)
            for part, before, start, end in zip(
                self._parts, self._starts[:-1], ends[:-1], ends[1:], strict=True
            )
            if end > start
        ]
        if len(pieces) == 1:
            return pieces[0]
        back = np.empty(len(order), np.int64)
        back[order] = np.arange(len(order))
        return pa.concat_arrays(pieces or [pa.nulls(0, type_)]).take(pa.array(back))


class _Part:
    """One mapped file: its rows, and the words of their fingerprints, `(rows, 2) uint64`."""

    def __init__(self, path: str | Path) -> None:
        with pa.ipc.open_file(pa.memory_map(str(path))) as reader:
            self.rows = reader.get_batch(0)
            self.makers: list[str] = json.loads((reader.schema.metadata or {})[_MAKERS])
        self.words = words(self.rows.column(_PRINT))
        self._sorted = self.rows.column(_SORTED).to_numpy()
        self._bits = _place_bits(len(self.words))

    def search(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Where fingerprints with these words stand, -1: nowhere; `first` ascends."""
        wanted = _begins(first, self._bits)
        at = np.searchsorted(self._sorted, wanted)
        open_, found = np.arange(len(first)), np.full(len(first), -1, np.int64)
        while len(open_):
            # Of fingerprints that begin alike, which few do, one stands behind the other.
            open_ = open_[at[open_] < len(self._sorted)]
            words_ = self._sorted[at[open_]]
            alike = _begins(words_, self._bits) == wanted[open_]
            open_, place = open_[alike], (words_[alike] - wanted[open_[alike]]).astype(np.int64)
            equal = (self.words[place, 0] == first[open_]) & (self.words[place, 1] == second[open_])
            found[open_[equal]] = place[equal]
            open_ = open_[~equal]
            at[open_] += 1
        return found
