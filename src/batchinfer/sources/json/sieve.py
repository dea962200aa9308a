"""Takes out of a block the lines that would stop the fast road, so that the rest of it takes that
road at once.

Owns which lines are tried together. Where Arrow's reader stops at a line, that one goes and the
search goes on behind it; where it cannot say which line, the text is halved. Must not know what is
wrong with a line: the plain road judges all that goes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from batchinfer.sources.json.fast_road import FastRoad, FastRows, NotFast
from batchinfer.sources.json.plain_road import Rows
from batchinfer.sources.text.line_blocks import line_ends

# What is read in vain is what a search costs: few lines at first, and more as long as all goes
# well.
_TRIED_FIRST = 64
# Fewer lines are not worth a call of Arrow's reader.
_FEW = 4
# With a greater share of refused lines, the plain road is the faster one for all of them.
_REFUSALS = 0.04
# A line that is only guessed at costs several calls.
_GUESS_COST = 8


@dataclass(frozen=True)
class Lines:
    """Text of lines that each end with a line feed, with the offsets (int64) of their starts and
    line feeds.
    """

    text: bytes
    starts: np.ndarray
    ends: np.ndarray

    @classmethod
    def of(cls, text: bytes) -> Lines:
        ends = line_ends(text)
        return cls(text, np.concatenate([[0], ends[:-1] + 1]) if len(ends) else ends, ends)

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, number: int) -> bytes:
        return self.text[self.starts[number] : self.ends[number]]

    def buffer(self, low: int, high: int) -> pa.Buffer:
        """Lines from `low` up to `high`, without copying them."""
        return pa.py_buffer(self.text).slice(
            int(self.starts[low]), int(self.ends[high - 1] + 1 - self.starts[low])
        )

    def only(self, kept: np.ndarray) -> Lines:
        """The lines for which the mask `kept` is true."""
        if kept.all():
            return self
        edges = np.flatnonzero(
            np.diff(np.concatenate([[False], kept, [False]]).astype(np.int8))
        ).reshape(-1, 2)
        return Lines.of(
            b"".join(self.text[self.starts[low] : self.ends[high - 1] + 1] for low, high in edges)
        )


def read_fast(fast: FastRoad, lines: Lines) -> tuple[list[Rows], np.ndarray]:
    """Rows of the lines that the fast road reads, and the numbers of the lines that are left.

    Runs on: executor.
    """
    kept = ~fast.doubtful(lines.text, lines.starts, lines.ends)
    # The first search trusts that what stands before a refused line is fine; only if that was
    # wrong, the second does not.
    for careful in (False, True, None):
        good = lines.only(kept)
        if not len(good):
            break
        try:
            return _rows(fast.read(good.buffer(0, len(good)), len(good)), kept)
        except NotFast:
            refused = None if careful is None else _find_refused(fast, good, careful)
        if refused is None:
            break
        kept[np.flatnonzero(kept)[refused]] = False
    return [], np.arange(len(lines))


def _rows(found: FastRows, kept: np.ndarray) -> tuple[list[Rows], np.ndarray]:
    """The rows of lines that fit, numbered as they were before some lines went; and all other
    lines.
    """
    columns, records = found.columns, found.lines
    numbers = np.flatnonzero(kept)
    if len(found.unfit):
        fits = ~np.isin(records, found.unfit)
        columns = {name: column.filter(pa.array(fits)) for name, column in columns.items()}
        records = records[fits]
    left = np.union1d(np.flatnonzero(~kept), numbers[found.unfit])
    return [Rows(columns, numbers[records], {}, found.without_items)], left


def _find_refused(fast: FastRoad, lines: Lines, careful: bool) -> list[int] | None:
    """Lines to take out; None: too many."""
    refused: list[int] = []
    ranges, size = [(0, len(lines))], _TRIED_FIRST
    tries = max(_GUESS_COST, int(len(lines) * _REFUSALS))
    while ranges:
        low, high = ranges.pop()
        if high - low > size:
            ranges.append((low + size, high))
            high = low + size
        if high - low < _FEW:
            refused += range(low, high)
            continue
        try:
            fast.check(lines.buffer(low, high), high - low)
        except NotFast as error:
            tries -= 1 if error.sure else _GUESS_COST
            if tries < 0:
                return None
            size = _TRIED_FIRST
            if error.line is None:
                ranges += [((low + high) // 2, high), (low, (low + high) // 2)]
                continue
            line = min(low + error.line, high - 1)
            refused.append(line)
            ranges += (
                [(line + 1, high)]
                if error.sure and not careful
                else [(line + 1, high), (low, line)]
            )
        else:
            size *= 2
    return refused
