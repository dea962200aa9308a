"""Reads splits of JSON lines, or files that are one array each, into typed rows and bad records.

Owns the road of a block of records: lines or elements, screen, fast road, plain road. Must not know
how a value is typed, nor where rows go.

The plain road says what a record means. The fast road reads the same several times faster; what it
refuses takes the plain one.

With `explode`, a record gives a row an item, all with the record's line. A record whose list is
missing, null or empty has nothing to give: it is neither in nor out, and counted by itself
(`Parsed.without_items`), because it is neither bad nor blank. A record with one bad item is bad as
a whole, so that its raw text stands in the quarantine once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from batchinfer.config.source_options import JsonOptions
from batchinfer.config.sources import JsonSource
from batchinfer.contracts import BadRecord
from batchinfer.sources.json.absent_keys import KeyWatch
from batchinfer.sources.json.array import Element, read_array
from batchinfer.sources.json.fast_road import FastRoad
from batchinfer.sources.json.plain_road import Refusal, RowBuilder, Rows, joined, read_record
from batchinfer.sources.json.rescued_keys import KeyRescue
from batchinfer.sources.json.shape import Shape
from batchinfer.sources.json.sieve import Lines, read_fast
from batchinfer.sources.json.unknown_keys import KeyKinds, NewKeyWatch, UnknownKeys, decoded
from batchinfer.sources.parsed import (
    BLOCK_BYTES,
    FileKeys,
    Parsed,
    Where,
    conserved,
    with_lineage,
)
from batchinfer.sources.source_splits import TextSplit
from batchinfer.sources.text.byte_ranges import open_split
from batchinfer.sources.text.line_blocks import Records, line_blocks, screen, share_blocks


def read_json_splits(
    splits: Sequence[TextSplit],
    source: JsonSource,
    fields: Mapping[str, pa.DataType],
    block_bytes: int = BLOCK_BYTES,
) -> Iterator[Parsed]:
    """Rows and bad records of splits, a block at a time; memory stays at a few blocks, whatever the
    files' sizes.

    Args:
        fields: the schema's columns in order.
        block_bytes: text that is parsed at once.

    Reasons of bad records: `not_utf8`, `encoding`, `json`, `not_object`, `type`.

    Runs on: executor.

    Raises:
        InputError: a damaged or changed file, a record longer than MAX_RECORD_BYTES; with `array`,
            a file that is no array.
    """
    reader = JsonReader.of(_shape_of(source, fields))
    rules = source.columns
    if rules.missing != "null":
        # Of columns that nobody declared, none can be missing.
        declared = {name: type_ for name, type_ in fields.items() if name in source.schema_}
        reader = replace(reader, watch=KeyWatch.of(_shape_of(source, declared)))
    if rules.rescue:
        unknown = UnknownKeys.of(reader.shape, reader.fast)
        reader = replace(reader, rescue=KeyRescue(reader.shape, unknown))
    elif rules.new in ("auto", "fail"):
        unknown = UnknownKeys.of(reader.shape, reader.fast)
        reader = replace(reader, new=NewKeyWatch(unknown, every=rules.new == "fail"))
    blocks = (
        records for split in splits for records in _blocks(split, source.options, block_bytes)
    )
    for records in share_blocks(blocks, block_bytes):
        yield reader.parse(records)


def find_new_keys(
    splits: Sequence[TextSplit],
    source: JsonSource,
    fields: Mapping[str, pa.DataType],
    block_bytes: int = BLOCK_BYTES,
) -> KeyKinds:
    """The keys in splits that no column reads, with the kinds of their values.

    Runs on: executor.

    Raises:
        InputError: as `read_json_splits`.
    """
    shape, found = _shape_of(source, fields), KeyKinds()
    unknown = UnknownKeys.of(shape, FastRoad.of(shape))
    for split in splits:
        for records in _blocks(split, source.options, block_bytes):
            screen(records)
            if not len(records) or not unknown.may_hold(records.text):
                continue
            lines = Lines.of(records.text)
            for number in range(len(lines)):
                record = decoded(lines[number], found.inside)
                if record is not None:
                    found.look(record, unknown.known, split.file.name)
    return found


def _shape_of(source: JsonSource, fields: Mapping[str, pa.DataType]) -> Shape:
    options = source.options
    return Shape.of(source.schema_, fields, options.explode, options.timestamp_format)


def _blocks(split: TextSplit, options: JsonOptions, block_bytes: int) -> Iterator[Records]:
    where, chunks = (
        Where(split.file.path, split.file.name),
        open_split(split, options.encoding, block_bytes),
    )
    if options.array:
        for elements in _held(read_array(chunks, where.path), block_bytes):
            yield _records(elements, where, options.encoding)
        return
    yield from line_blocks(chunks, split.first_line, where, options.encoding, block_bytes)


def _held(elements: Iterator[Element], block_bytes: int) -> Iterator[list[Element]]:
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
    """Elements as records; what is parsed has each on one line, for a line feed in JSON is as good
    as a space.
    """
    empty = [element for element in elements if not element.raw]
    elements = [element for element in elements if element.raw]
    sizes = np.array([len(element.raw) for element in elements], np.int64)
    ends = np.cumsum(sizes + 1) - 1
    records = Records(
        [where],
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
    """Types records; with a `watch`, tells which keys of the schema the files lack, and with `new`
    which keys they have that no column reads; `rescue` keeps these.
    """

    shape: Shape
    fast: FastRoad | None
    watch: KeyWatch | None = None
    new: NewKeyWatch | None = None
    rescue: KeyRescue | None = None

    @classmethod
    def of(cls, shape: Shape) -> JsonReader:
        return cls(shape, FastRoad.of(shape))

    def parse(self, records: Records) -> Parsed:
        """Rows and bad records of one block."""
        count = len(records) + len(records.bad)
        screen(records)
        lines = Lines.of(records.text)
        found = self._read(lines)
        if self.rescue is not None:
            found = self.rescue.add(found, lines)
        for number, refusal in sorted(found.refused.items()):
            records.reject(number, refusal.reason, refusal.message)
        rows = with_lineage(
            found.columns, records.source_files(found.records), records.lines[found.records]
        )
        given = len(np.unique(found.records))
        if self.shape.explode is None and given != rows.num_rows:
            raise RuntimeError(f"{records.path}: {given} records gave {rows.num_rows} rows")
        count += rows.num_rows - given - found.without_items
        parsed = records.parsed(rows, found.without_items, found.records)
        if self.watch is not None and len(records):
            keys, fine = self._look(self.watch, records, lines, found)
            parsed = replace(parsed, keys=keys, fine_files=fine)
        if self.new is not None and len(records):
            names = [file.name for file in records.files]
            new_keys = self.new.look(names, records.file_places(), lines)
            parsed = replace(parsed, new_keys=new_keys)
        return conserved(parsed, count, records.path)

    def _look(
        self, watch: KeyWatch, records: Records, lines: Lines, found: Rows
    ) -> tuple[dict[str, FileKeys], int]:
        owners = records.file_places()
        names = [file.name for file in records.files]
        of_rows = owners[found.records]
        return watch.look(names, owners, of_rows, found.columns, lines)

    def _read(self, lines: Lines) -> Rows:
        """Rows of records that are a line each, known by their numbers from 0."""
        pieces, left = read_fast(self.fast, lines) if self.fast else ([], np.arange(len(lines)))
        pieces.append(self._read_plain(lines, left))
        return joined(pieces)

    def _read_plain(self, lines: Lines, numbers: np.ndarray) -> Rows:
        builder = RowBuilder(self.shape)
        deep: list[Rows] = []
        for number in numbers.tolist():
            line = lines[number]
            try:
                record = read_record(line)
                if isinstance(record, Refusal):
                    builder.refuse(number, record)
                else:
                    builder.add(number, record)
            except RecursionError:
                found = self._read_deep(line, number)
                if isinstance(found, Rows):
                    deep.append(found)
                else:
                    builder.refuse(number, found)
        return joined([*deep, builder.finish()])

    def _read_deep(self, line: bytes, number: int) -> Rows | Refusal:
        """A record nested deeper than Python follows, of which the columns may need nothing that
        deep.
        """
        refusal = Refusal(
            "json",
            "nested too deeply to be read; allowed: an object nested at most a few hundred deep",
        )
        if self.fast is None:
            return refusal
        pieces, left = read_fast(self.fast, Lines.of(line + b"\n"))
        return (
            refusal
            if len(left)
            else Rows(pieces[0].columns, pieces[0].records + number, {}, pieces[0].without_items)
        )
