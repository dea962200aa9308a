"""Reads records of files by the parsers that land them, up to a bound."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa

from batchinfer.config.sources import Files
from batchinfer.contracts import SOURCE_FILE, SOURCE_LINE, BadRecord
from batchinfer.sources.parsed import Parsed
from batchinfer.sources.readers import read_splits
from batchinfer.sources.source_splits import SourceSplit
from batchinfer.starting.sample import MOST_BYTES, MOST_RECORDS


def read_blocks(
    splits: Sequence[SourceSplit], source: Files, fields: Mapping[str, pa.DataType]
) -> tuple[pa.Table, list[BadRecord], bool]:
    """(rows with `source_file` and `source_line`, bad records, whether all was read).

    Runs on: driver.

    Raises:
        InputError: a damaged file.
    """
    blocks: Iterator[Parsed] = read_splits(splits, source, fields)
    batches: list[pa.RecordBatch] = []
    bad: list[BadRecord] = []
    is_whole, rows, size = True, 0, 0
    for block in blocks:
        if rows + len(bad) >= MOST_RECORDS or size >= MOST_BYTES:
            is_whole = False
            break
        batches.append(block.rows)
        bad += block.bad
        rows, size = rows + block.rows.num_rows, size + block.rows.nbytes
    lineage = [(SOURCE_FILE, pa.string()), (SOURCE_LINE, pa.int64())]
    schema = batches[0].schema if batches else pa.schema([*fields.items(), *lineage])
    return pa.Table.from_batches(batches, schema), bad, is_whole
