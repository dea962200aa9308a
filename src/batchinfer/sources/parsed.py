"""What a reader hands on: typed rows, bad records and the counts that prove that no record was
lost.

Owns the value types that all kinds of source share. Must not know any kind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from batchinfer.contracts import SOURCE_FILE, SOURCE_LINE, BadRecord

# Bytes of text parsed at once: large enough that the cost per call is small, small enough for the
# cache.
BLOCK_BYTES = 2 * 2**20
# A longer record means a file of another kind, or a quote that is never closed.
MAX_RECORD_BYTES = 64 * 2**20


@dataclass
class FileKeys:
    """Which keys of a JSON schema a file has, as far as a part of it tells.

    Attributes:
        absent: keys that never appear, by their paths: the columns that need each, and the paths of
            keys that look like it.
        seen: paths of keys that appear; they need not all be here.
    """

    absent: dict[str, tuple[list[str], list[str]]] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)

    def add(self, other: FileKeys) -> None:
        """Adds what another part of the file tells: a key that appears there is not absent."""
        for path, (columns, alike) in other.absent.items():
            known = self.absent.get(path, ([], []))[1]
            self.absent[path] = (columns, sorted({*known, *alike}))
        self.seen |= other.seen
        self.absent = {path: told for path, told in self.absent.items() if path not in self.seen}


@dataclass(frozen=True)
class Parsed:
    """One block of records.

    Attributes:
        rows: the source's columns in schema order, then `source_file` string and `source_line`
            int64.
        bad: records that could not be parsed.
        records_in: rows + bad.
        blank_lines: empty lines, and lines of spaces and tabs only; neither in nor out.
        without_items: records that have nothing to give, because the list whose items are the rows
            is missing or empty (json with `explode`); neither in nor out, like blank lines, but
            told by themselves.
        replaced: values whose bytes are no text of UTF-8, and that have U+FFFD in their place.
        cut: times that land without their nanoseconds; parquet only.
        raw_at: the bytes that a row was made of, by its place in `rows`, for rows that are refused
            later; None: there are none.
        keys: what the block tells of the keys of its files, by `source_file`; json only.
        fine_files: the other files of the block, which have all keys.
        new_keys: paths of keys that no column reads, by `source_file`; json only, as far as
            `source.columns.new` asks for them.
    """

    rows: pa.RecordBatch
    bad: list[BadRecord]
    records_in: int
    blank_lines: int
    without_items: int = 0
    raw_at: Callable[[int], bytes] | None = None
    replaced: int = 0
    keys: Mapping[str, FileKeys] = field(default_factory=dict)
    fine_files: int = 0
    new_keys: Mapping[str, Sequence[str]] = field(default_factory=dict)
    cut: int = 0


@dataclass(frozen=True)
class Where:
    """Names a file in records (`name`) and in messages (`path`)."""

    path: str
    name: str


def with_lineage(
    columns: Mapping[str, pa.Array], files: pa.Array, lines: np.ndarray
) -> pa.RecordBatch:
    """The columns with `source_file` (string) and `source_line` (int64, 1-based) behind them."""
    added = {SOURCE_FILE: files, SOURCE_LINE: pa.array(lines, pa.int64())}
    return pa.RecordBatch.from_pydict({**columns, **added})


def conserved(parsed: Parsed, records: int, path: str) -> Parsed:
    """The same block, once it is sure that every record of it is a row, a bad record or blank.

    Raises:
        RuntimeError: the counts differ, which is a fault of the parser and never of the data.
    """
    out = parsed.rows.num_rows + len(parsed.bad) + parsed.blank_lines
    if out != records or parsed.records_in != parsed.rows.num_rows + len(parsed.bad):
        raise RuntimeError(
            f"{path}: {records} records were read and {out} came out; nothing of this file was kept"
        )
    return parsed
