"""Reads splits of CSV files into typed rows and bad records.

Owns the road of a CSV block: lines, screen, quotes, field counts, null markers, types. Must not
know where rows go.

A block without the quote character takes the short road: nothing in it can be quoted. In other
blocks, `csv_quoting` marks what quotes protect; both are then split by pyarrow's CSV reader with
quoting off, so that no quote can swallow what follows it. A quoted field is never trimmed and never
null, with one exception: `""` in a column that is not text is null where the empty string is a null
marker, because no other value can be meant.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pcsv
from pyarrow import compute

from batchinfer.config.schema import names_in_files
from batchinfer.config.sources import CsvSource
from batchinfer.contracts import RESCUED
from batchinfer.errors import InputError
from batchinfer.sources.parsed import (
    BLOCK_BYTES,
    MAX_RECORD_BYTES,
    Parsed,
    Where,
    conserved,
    with_lineage,
)
from batchinfer.sources.rescued import rescued_columns
from batchinfer.sources.source_splits import TextSplit
from batchinfer.sources.text.byte_ranges import open_split
from batchinfer.sources.text.columns import TextRule, bad_value, convert
from batchinfer.sources.text.csv_dialect import (
    CR_INSIDE,
    DELIMITER_INSIDE,
    LF_INSIDE,
    QUOTE_INSIDE,
    CsvDialect,
)
from batchinfer.sources.text.csv_quoting import Buffer, cut_records, protect_lines
from batchinfer.sources.text.line_blocks import (
    Records,
    line_blocks,
    line_ends,
    screen,
    share_blocks,
)
from batchinfer.sources.text.timestamps import TimestampRule

# Its functions are generated at import, so type checkers do not see them.
pc: Any = compute


def read_csv_splits(
    splits: Sequence[TextSplit],
    source: CsvSource,
    fields: Mapping[str, pa.DataType],
    block_bytes: int = BLOCK_BYTES,
) -> Iterator[Parsed]:
    """Rows and bad records of splits, a block at a time; memory stays at a few blocks, whatever the
    files' sizes.

    Args:
        fields: the schema's columns in order.
        block_bytes: text that is parsed at once.

    Reasons of bad records: `not_utf8`, `encoding`, `bare_cr`, `quote`, `field_count`, `header`,
    `type`.

    Runs on: executor.

    Raises:
        InputError: a damaged or changed file, a record longer than MAX_RECORD_BYTES.
    """
    for columns, alike in groupby(splits, key=lambda split: split.columns):
        reader = _Reader.of(columns, source, fields)
        blocks = (
            records
            for split in alike
            for records in _blocks(reader.dialect, split, source.options.encoding, block_bytes)
        )
        for records in share_blocks(blocks, block_bytes):
            yield reader.parse(records)


def _blocks(
    dialect: CsvDialect, split: TextSplit, encoding: str, block_bytes: int
) -> Iterator[Records]:
    where = Where(split.file.path, split.file.name)
    chunks = open_split(split, encoding, block_bytes)
    if split.blank_lines:
        yield Records.none_of(where, split.blank_lines, encoding)
    if dialect.multi_line:
        yield from _multi_line_blocks(
            chunks, split.first_line, dialect, where, encoding, block_bytes
        )
        return
    yield from line_blocks(chunks, split.first_line, where, encoding, block_bytes)


def _multi_line_blocks(
    chunks: Iterator[bytes],
    line: int,
    dialect: CsvDialect,
    where: Where,
    encoding: str,
    block_bytes: int,
) -> Iterator[Records]:
    data, wanted, final = b"", block_bytes, False
    while not final or data:
        parts, size = [data], len(data)
        while size < wanted and not final:
            piece = next(chunks, None)
            final = piece is None
            parts.append(piece or b"")
            size += len(parts[-1])
        data = b"".join(parts)
        if not data:
            return
        buffer = Buffer(data, line, final, give_up=len(data) > MAX_RECORD_BYTES)
        records, used = cut_records(buffer, dialect, where, encoding)
        if used:
            yield records
        elif buffer.give_up:
            raise InputError(
                f"{where.path}, line {line}: a record longer than {MAX_RECORD_BYTES // 2**20} MiB"
            )
        # A record longer than the buffer: read twice as much, so that a long one is not scanned
        # over and over.
        wanted = block_bytes if used else 2 * len(data)
        line += data.count(b"\n", 0, used)
        data = data[used:]


@dataclass(frozen=True)
class _Reader:
    dialect: CsvDialect
    columns: tuple[str, ...]
    fields: Mapping[str, pa.DataType]
    null_values: tuple[str, ...]
    rule: TextRule
    header: bool
    names: Mapping[str, str]
    rescued: tuple[str, ...] | None

    @classmethod
    def of(
        cls, columns: tuple[str, ...], source: CsvSource, fields: Mapping[str, pa.DataType]
    ) -> _Reader:
        options = source.options
        rule = TextRule(options.decimal, TimestampRule(options.timestamp_format))
        given = names_in_files(source)
        names = {name: given.get(name, name) for name in fields}
        known = {*names.values()}
        return cls(
            CsvDialect.of(options),
            columns,
            fields,
            options.null_values,
            rule,
            options.header,
            names,
            tuple(name for name in columns if name not in known) if source.columns.rescue else None,
        )

    def parse(self, records: Records) -> Parsed:
        """Types the records of one block."""
        count = len(records) + len(records.bad) + records.blank
        dialect = self.dialect
        screen(records, dialect.spaces, bare_cr=True)
        quoted = bool(dialect.quote) and dialect.quote in records.block
        if quoted and not dialect.multi_line:
            protect_lines(records, dialect)
        self._drop_wrong_counts(records)
        columns = self._typed(records, quoted)
        rows = with_lineage(columns, records.source_files(), records.lines)
        return conserved(records.parsed(rows), count, records.path)

    def _drop_wrong_counts(self, records: Records) -> None:
        delimiters = np.flatnonzero(
            np.frombuffer(records.text, np.uint8) == self.dialect.delimiter[0]
        )
        ends, inside = line_ends(records.text), len(self.columns) - 1
        if inside and len(delimiters) == inside * len(ends):
            grid = delimiters.reshape(len(ends), inside)
            if (grid[:, -1] < ends).all() and (grid[1:, 0] > ends[:-1]).all():
                return
        counts = np.diff(np.searchsorted(delimiters, ends), prepend=0) + 1
        wrong = counts != len(self.columns)
        if not wrong.any():
            return
        holder = "schema" if len(self.columns) == len(self.fields) else "file's first record"
        for index in np.flatnonzero(wrong):
            records.reject(
                int(index),
                "field_count",
                f"got {counts[index]} fields; the {holder} has {len(self.columns)}",
            )
        records.drop(wrong)

    def _typed(self, records: Records, quoted: bool) -> dict[str, pa.Array]:
        texts = self._without_headers(records, self._split(records))
        columns: dict[str, pa.Array] = {}
        problems: dict[int, list[str]] = {}
        for name, type_ in self.fields.items():
            text = texts.get(self.names[name])
            if text is None:
                columns[name] = pa.nulls(len(records), type_)
                continue
            cells = self._cells(text, type_, quoted)
            columns[name], bad = convert(cells, type_, self.rule)
            if bad is not None:
                for index in np.flatnonzero(bad.to_numpy(zero_copy_only=False)):
                    problems.setdefault(int(index), []).append(
                        bad_value(name, cells[index].as_py(), type_, self.rule)
                    )
        if self.rescued is not None:
            cells = {name: self._cells(texts[name], pa.string(), quoted) for name in self.rescued}
            columns[RESCUED] = rescued_columns(cells, len(records))
        if not problems:
            return columns
        return self._without(records, columns, problems)

    def _without_headers(self, records: Records, texts: dict[str, pa.Array]) -> dict[str, pa.Array]:
        """Takes out records that are the header once more: files that were put behind each other
        bring theirs along.
        """
        # One column of one name cannot be told from a value.
        names = self.columns if self.header and len(self.columns) > 1 else ()
        around = (self.dialect.spaces + self.dialect.quote).decode()
        again: Any = None
        for name in names:
            equal = pc.equal(pc.ascii_trim(texts[name], around), name)
            again = equal if again is None else pc.and_(again, equal)
            if not pc.any(again).as_py():
                return texts
        if again is None:
            return texts
        gone = again.to_numpy(zero_copy_only=False)
        for index in np.flatnonzero(gone):
            records.reject(
                int(index),
                "header",
                "the header stands here once more; allowed: once, before the first record",
            )
        records.drop(gone)
        return {name: column.filter(pc.invert(again)) for name, column in texts.items()}

    def _without(
        self, records: Records, columns: dict[str, pa.Array], problems: dict[int, list[str]]
    ) -> dict[str, pa.Array]:
        gone = np.zeros(len(records), bool)
        for index in sorted(problems):
            gone[index] = True
            records.reject(index, "type", "; ".join(problems[index]))
        records.drop(gone)
        kept = pa.array(~gone)
        return {name: column.filter(kept) for name, column in columns.items()}

    def _split(self, records: Records) -> dict[str, pa.Array]:
        if not len(records):
            return {name: pa.array([], pa.string()) for name in self.columns}
        table = pcsv.read_csv(
            pa.BufferReader(records.text),
            pcsv.ReadOptions(
                use_threads=False,
                # By number: columns that are left out may have one name.
                column_names=[str(number) for number in range(len(self.columns))],
                block_size=len(records.text) + 16,
            ),
            pcsv.ParseOptions(
                delimiter=self.dialect.delimiter.decode(),
                quote_char=False,
                double_quote=False,
                ignore_empty_lines=False,
            ),
            # The screen has judged the bytes; and in a quoted block, marks stand in them that are
            # no UTF-8.
            pcsv.ConvertOptions(
                check_utf8=False,
                column_types={str(n): pa.string() for n in range(len(self.columns))},
                strings_can_be_null=False,
            ),
        )
        if table.num_rows != len(records):
            raise RuntimeError(
                f"{records.path}: {len(records)} records were split into {table.num_rows} rows"
            )
        return {
            name: table.column(number).combine_chunks() for number, name in enumerate(self.columns)
        }

    def _cells(self, text: pa.Array, type_: pa.DataType, quoted: bool) -> pa.Array:
        cells = pc.ascii_trim(text, self.dialect.spaces.decode()) if self.dialect.trim else text
        nulls = self._is_null_marker(cells)
        if quoted:
            is_quoted = pc.starts_with(cells, self.dialect.quote.decode())
            if pc.any(is_quoted).as_py():
                nulls = pc.and_not(nulls, is_quoted) if nulls is not None else None
                if "" in self.null_values and not pa.types.is_string(type_):
                    nulls = pc.or_(nulls, pc.equal(cells, self.dialect.quote.decode() * 2))
                cells = pc.if_else(is_quoted, self._content(cells), cells)
            if QUOTE_INSIDE in _data(cells):
                cells = _replaced(cells, QUOTE_INSIDE, self.dialect.quote)
        return cells if nulls is None else pc.if_else(nulls, pa.scalar(None, pa.string()), cells)

    def _is_null_marker(self, cells: pa.Array) -> pa.Array | None:
        if not self.null_values:
            return None
        if len(self.null_values) == 1:
            return pc.equal(cells, self.null_values[0])
        return pc.is_in(cells, value_set=pa.array(self.null_values))

    def _content(self, cells: pa.Array) -> pa.Array:
        """Between the quotes, with doubled quotes and protected characters as they were."""
        inner = pc.binary_slice(cells.cast(pa.binary()), 1, -1)
        quote = self.dialect.quote
        marks = {
            quote * 2: quote,
            DELIMITER_INSIDE: self.dialect.delimiter,
            LF_INSIDE: b"\n",
            CR_INSIDE: b"\r",
        }
        data = _data(cells)
        for mark, character in marks.items():
            if mark in data:
                inner = pc.replace_substring(inner, mark, character)
        return inner.view(pa.string())


def _data(cells: pa.Array) -> bytes:
    buffer = cells.buffers()[2]
    return b"" if buffer is None else buffer.to_pybytes()


def _replaced(cells: pa.Array, mark: bytes, character: bytes) -> pa.Array:
    return pc.replace_substring(cells.cast(pa.binary()), mark, character).view(pa.string())
