"""Reads splits of logs into typed rows and bad records.

Owns the road of a block of log lines: lines, screen, match, types. Must not know how a format is
written, nor where rows go.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
from pyarrow import compute

from batchinfer.config.source_options import LogTimestamp
from batchinfer.config.sources import LogSource
from batchinfer.contracts import RESCUED
from batchinfer.errors import ConfigError
from batchinfer.sources.logs.known_formats import log_format
from batchinfer.sources.logs.log_format import LogFormat, match_lines
from batchinfer.sources.parsed import BLOCK_BYTES, Parsed, Where, conserved, with_lineage
from batchinfer.sources.source_splits import TextSplit
from batchinfer.sources.text.byte_ranges import open_split
from batchinfer.sources.text.columns import TextRule, bad_value, convert
from batchinfer.sources.text.line_blocks import (
    Records,
    line_blocks,
    reject_controls,
    screen,
    share_blocks,
)
from batchinfer.sources.text.timestamps import TimestampRule

# Its functions are generated at import, so type checkers do not see them.
pc: Any = compute


def read_log_splits(
    splits: Sequence[TextSplit],
    source: LogSource,
    fields: Mapping[str, pa.DataType],
    block_bytes: int = BLOCK_BYTES,
) -> Iterator[Parsed]:
    """Rows and bad records of splits, a block at a time; memory stays at a few blocks, whatever the
    files' sizes.

    Args:
        fields: columns in order; each is a group of the pattern or a column of the format.
        block_bytes: text that is parsed at once.

    Reasons of bad records: `not_utf8`, `encoding`, `control`, `no_match`, `escape`, `timestamp`,
    `type`.

    Runs on: executor.

    Raises:
        ConfigError: a column that the format or pattern does not give.
        InputError: a damaged or changed file, a line longer than MAX_RECORD_BYTES.
    """
    format_, encoding = log_format(source.options), source.options.encoding
    for rules, alike in groupby(splits, key=lambda split: _ts_rules(split, source, format_)):
        reader = _Reader(format_, fields, rules, source.columns.rescue)
        blocks = (records for split in alike for records in _blocks(split, encoding, block_bytes))
        for records in share_blocks(blocks, block_bytes):
            yield reader.parse(records)


def _blocks(split: TextSplit, encoding: str, block_bytes: int) -> Iterator[Records]:
    chunks = open_split(split, encoding, block_bytes)
    return line_blocks(
        chunks, split.first_line, Where(split.file.path, split.file.name), encoding, block_bytes
    )


def _ts_rules(split: TextSplit, source: LogSource, format_: LogFormat) -> tuple[TextRule, ...]:
    """How the lines of a file write their timestamps; files of which it is the same share
    blocks.
    """
    timestamp = source.options.timestamp or LogTimestamp()
    year, latest = timestamp.year, None
    if year is None and any(TimestampRule(each).lacks_year for each in format_.ts_formats):
        modified = datetime.datetime.fromtimestamp(split.file.mtime_ns / 1e9, datetime.timezone.utc)
        # A line cannot be younger than its file, but for clocks that differ: without a year, such a
        # line is of the year before.
        latest = modified + datetime.timedelta(days=1)
        # Where the line was written, the new year may have begun already.
        year = latest.astimezone(ZoneInfo(timestamp.timezone)).year
    return tuple(
        TextRule(timestamp=TimestampRule(each, timestamp.timezone, year, latest))
        for each in format_.ts_formats
    )


@dataclass(frozen=True)
class _Reader:
    format: LogFormat
    fields: Mapping[str, pa.DataType]
    ts_rules: tuple[TextRule, ...]
    rescue: bool

    def parse(self, records: Records) -> Parsed:
        """Matches and types the lines of one block."""
        count = len(records)
        screen(records)
        reject_controls(records, self.format.controls)
        columns, replaced = self._typed(records)
        rows = with_lineage(columns, records.source_files(), records.lines)
        parsed = replace(records.parsed(rows), replaced=replaced)
        return conserved(parsed, count, records.path)

    def _typed(self, records: Records) -> tuple[dict[str, pa.Array], int]:
        matched = match_lines(_lines(records), self.format, self.rescue)
        texts, problems = matched.columns, matched.problems
        unknown = [name for name in self.fields if name not in texts]
        if unknown:
            raise ConfigError(
                f"source.schema: got {', '.join(unknown)}; {self.format.name} gives "
                f"{', '.join(texts)}"
            )
        columns: dict[str, pa.Array] = {}
        for name, type_ in self.fields.items():
            columns[name], bad = self._convert(name, texts[name], type_)
            if name in self.format.numbers_only:
                continue
            reason = "timestamp" if name == self.format.ts_column else "type"
            for index in [] if bad is None else _true(bad):
                problems.setdefault(
                    int(index),
                    (reason, bad_value(name, texts[name][index].as_py(), type_, self._rule(name))),
                )
        if matched.rescued is not None:
            columns[RESCUED] = matched.rescued
        if problems:
            columns = self._without(records, columns, problems)
        return columns, matched.replaced

    def _convert(
        self, name: str, text: pa.Array, type_: pa.DataType
    ) -> tuple[pa.Array, pa.Array | None]:
        if name in self.format.lists:
            return text, None
        if name != self.format.ts_column:
            return convert(text, type_, self._rule(name))
        values, bad = convert(text, type_, self.ts_rules[0])
        for rule in self.ts_rules[1:]:
            if bad is None:
                break
            again, still = convert(text, type_, rule)
            values, bad = pc.coalesce(values, again), None if still is None else pc.and_(bad, still)
        return values, bad

    def _rule(self, name: str) -> TextRule:
        first = self.ts_rules[0]
        return (
            first
            if name == self.format.ts_column
            else TextRule(timestamp=TimestampRule(zone=first.timestamp.zone))
        )

    def _without(
        self, records: Records, columns: dict[str, pa.Array], problems: dict[int, tuple[str, str]]
    ) -> dict[str, pa.Array]:
        gone = np.zeros(len(records), bool)
        for index in sorted(problems):
            gone[index] = True
            records.reject(index, *problems[index])
        records.drop(gone)
        kept = pa.array(~gone)
        return {name: column.filter(kept) for name, column in columns.items()}


def _lines(records: Records) -> pa.Array:
    if not len(records):
        return pa.array([], pa.string())
    text = pa.array([records.text[:-1].decode()])
    return pc.split_pattern(text, "\n").flatten()


def _true(mask: pa.Array) -> np.ndarray:
    return np.flatnonzero(mask.to_numpy(zero_copy_only=False))
