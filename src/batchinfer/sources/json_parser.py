"""Reads a split of JSON lines, or a file that is one array, into typed rows and bad records.

Owns the road of a block of records: lines or elements, screen, fast road, plain road. Must not know how a value is typed, nor
where rows go.

The plain road says what a record means. The fast road reads the same several times faster, as long as nothing is wrong: where
it stops at a line, that line takes the plain road and the fast one goes on behind it; where it cannot say which line, the text is
halved. A block with many such lines is not worth that, and takes the plain road as a whole.

With `explode`, a record gives a row an item, all with the record's line. A record whose list is missing, null or empty has
nothing to give: it is neither in nor out, and counted by itself (`Parsed.without_items`), because it is neither bad nor blank.
A record with one bad item is bad as a whole, so that its raw text stands in the quarantine once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from batchinfer.config.sources import JsonSource
from batchinfer.contracts import BadRecord
from batchinfer.sources.json_array import Element, read_array
from batchinfer.sources.json_fast import FastRoad, FastRows, NotFast
from batchinfer.sources.json_plain import Refusal, RowBuilder, Rows, TooDeep, read_record
from batchinfer.sources.json_shape import Shape
from batchinfer.sources.parsed import BLOCK_BYTES, Parsed, Where, conserved, with_lineage
from batchinfer.sources.records import Records, cut_lines, line_ends, screen, split_lines
from batchinfer.sources.splits import open_split

# Fewer lines than these are read as quickly on the plain road.
_FEW_LINES = 4
# The fast road is tried again after this share of a block's lines, and no more.
_TRIES = 0.02


def read_json_split(
    split: dict[str, Any], source: JsonSource, fields: Mapping[str, pa.DataType], block_bytes: int = BLOCK_BYTES
) -> Iterator[Parsed]:
    """Rows and bad records of a split, a block at a time; memory stays at a few blocks, whatever the file's size.

    Args:
        fields: the schema's columns in order.
        block_bytes: text that is parsed at once.

    Reasons of bad records: `not_utf8`, `encoding`, `json`, `not_object`, `type`.

    Runs on: executor.

    Raises:
        InputError: a damaged or changed file, a record longer than MAX_RECORD_BYTES; with `array`, a file that is no array.
    """
    options = source.options
    shape = Shape.of(source.schema_, fields, options.explode, options.timestamp_format)
    reader = JsonReader.of(shape, Where(split["path"], split["name"]))
    chunks = open_split(split, options.encoding, block_bytes)
    if options.array:
        for elements in _blocks(read_array(chunks, split["path"]), block_bytes):
            yield reader.parse(_records(elements, reader.where, options.encoding))
        return
    line = split["line"]
    for block in cut_lines(chunks, reader.where, block_bytes):
        records = split_lines(block, line, reader.where, options.encoding)
        line += len(records)
        yield reader.parse(records)


def _blocks(elements: Iterator[Element], block_bytes: int) -> Iterator[list[Element]]:
    block: list[Element] = []
    size = 0
    for element in elements:
        block.append(element)
        size += len(element.raw) + 1
        if size >= block_bytes:
            yield block
            block, size = [], 0
    if block:
        yield block


def _records(elements: list[Element], where: Where, encoding: str) -> Records:
    """Elements as records; what is parsed has each on one line, for a line feed in JSON is as good as a space."""
    empty = [element for element in elements if not element.raw]
    elements = [element for element in elements if element.raw]
    sizes = np.array([len(element.raw) for element in elements], np.int64)
    ends = np.cumsum(sizes + 1) - 1
    records = Records(
        where,
        b"".join(element.raw + b"\n" for element in elements),
        ends - sizes,
        ends,
        np.array([element.line for element in elements], np.int64),
        b"".join(element.raw.replace(b"\n", b" ") + b"\n" for element in elements),
        encoding,
    )
    message = "no JSON: nothing stands between two commas of the array; allowed: one object"
    records.bad += [BadRecord(where.name, element.line, b"", "json", message) for element in empty]
    return records


@dataclass(frozen=True)
class JsonReader:
    """Types the records of one file."""

    where: Where
    shape: Shape
    fast: FastRoad | None

    @classmethod
    def of(cls, shape: Shape, where: Where) -> JsonReader:
        return cls(where, shape, FastRoad.of(shape))

    def parse(self, records: Records) -> Parsed:
        """Rows and bad records of one block."""
        count = len(records) + len(records.bad)
        screen(records)
        found = self.read(records.text)
        for number, refusal in sorted(found.refused.items()):
            records.reject(number, refusal.reason, refusal.message)
        rows = with_lineage(found.columns, self.where.name, records.lines[found.records])
        records.bad.sort(key=lambda bad: bad.source_line or 0)
        parsed = Parsed(rows, records.bad, rows.num_rows + len(records.bad), records.blank, found.without_items)
        given = len(np.unique(found.records))
        if self.shape.explode is None and given != rows.num_rows:
            raise RuntimeError(f"{self.where.path}: {given} records gave {rows.num_rows} rows")
        return conserved(parsed, count + rows.num_rows - given - found.without_items, self.where)

    def read(self, text: bytes) -> Rows:
        """Rows of records that are a line each, known by their numbers from 0."""
        ends = line_ends(text)
        starts = np.concatenate([[0], ends[:-1] + 1]) if len(ends) else ends
        pieces, left = self._read_fast(text, starts, ends)
        pieces.append(self._read_plain(text, starts, ends, left))
        return _joined(pieces)

    def _read_fast(self, text: bytes, starts: np.ndarray, ends: np.ndarray) -> tuple[list[Rows], list[int]]:
        """What the fast road reads, and the lines that it leaves."""
        if self.fast is None or not len(ends):
            return [], list(range(len(ends)))
        doubtful = self.fast.doubtful(text, starts, ends)
        left = np.flatnonzero(doubtful).tolist()
        ranges = _runs(~doubtful)
        tries = max(_FEW_LINES, int(len(ends) * _TRIES)) - len(ranges)
        buffer, pieces = pa.py_buffer(text), []
        while ranges:
            low, high = ranges.pop()
            if tries < 0 or high - low < _FEW_LINES:
                left += range(low, high)
                continue
            try:
                piece = self.fast.read(buffer.slice(int(starts[low]), int(ends[high - 1] + 1 - starts[low])), high - low)
            except NotFast as error:
                tries -= 1
                middle = (low + high) // 2 if error.row is None else min(low + error.row, high - 1)
                left += [] if error.row is None else [middle]
                ranges += [(middle + (error.row is not None), high), (low, middle)]
            else:
                rows, unfit = _split_unfit(piece, low)
                pieces.append(rows)
                left += unfit
        return pieces, sorted(left)

    def _read_plain(self, text: bytes, starts: np.ndarray, ends: np.ndarray, numbers: list[int]) -> Rows:
        builder = RowBuilder(self.shape)
        deep: list[Rows] = []
        for number in numbers:
            line = text[starts[number] : ends[number]]
            try:
                record = read_record(line)
            except TooDeep as error:
                found = self._read_deep(line, number, str(error))
                if isinstance(found, Rows):
                    deep.append(found)
                    continue
                record = found
            if isinstance(record, Refusal):
                builder.refuse(number, record)
            else:
                builder.add(number, record)
        return _joined([*deep, builder.finish()])

    def _read_deep(self, line: bytes, number: int, told: str) -> Rows | Refusal:
        """A record nested deeper than Python follows, of which the columns may need nothing that deep."""
        ends = np.array([len(line)])
        refusal = Refusal("json", f"no JSON that can be read: {told}; allowed: one object")
        if self.fast is None or self.fast.doubtful(line, ends - ends, ends).any():
            return refusal
        try:
            rows, unfit = _split_unfit(self.fast.read(pa.py_buffer(line), 1), number)
        except NotFast:
            return refusal
        return refusal if unfit else rows


def _runs(mask: np.ndarray) -> list[tuple[int, int]]:
    """Ranges of lines for which the mask holds, the first one last."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(low), int(high)) for low, high in edges.reshape(-1, 2)[::-1]]


def _split_unfit(found: FastRows, first: int) -> tuple[Rows, list[int]]:
    """Rows of the lines that fit, which count from `first`; and the lines that do not."""
    columns, records = found.columns, found.lines
    if len(found.unfit):
        kept = ~np.isin(records, found.unfit)
        columns = {name: column.filter(pa.array(kept)) for name, column in columns.items()}
        records = records[kept]
    return Rows(columns, records + first, {}, found.without_items), (found.unfit + first).tolist()


def _joined(pieces: list[Rows]) -> Rows:
    """All rows, in the order of their records."""
    records = np.concatenate([piece.records for piece in pieces])
    columns = {name: pa.concat_arrays([piece.columns[name] for piece in pieces]) for name in pieces[0].columns}
    if len(records) and (np.diff(records) < 0).any():
        order = np.argsort(records, kind="stable")
        records, columns = records[order], {name: column.take(pa.array(order)) for name, column in columns.items()}
    refused = {number: refusal for piece in pieces for number, refusal in piece.refused.items()}
    return Rows(columns, records, refused, sum(piece.without_items for piece in pieces))
