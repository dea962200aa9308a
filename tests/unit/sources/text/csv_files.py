"""Reads whole CSV files as a run does, without one: planned, counted, aligned, and read split by
split.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from batchinfer.config.schema import schema_fields
from batchinfer.config.sources import CsvSource
from batchinfer.sources.listing import list_files
from batchinfer.sources.parsed import Parsed
from batchinfer.sources.readers import read_splits
from batchinfer.sources.text.byte_ranges import align, count_range, needs_count, plan_text_splits

ABC = {"a": "int", "b": "string", "c": "string"}


def csv_source(path: Path, schema: dict[str, str] = ABC, **options: Any) -> CsvSource:
    return CsvSource.model_validate(
        {
            "kind": "csv",
            "path": [str(path)],
            "schema": schema,
            "options": {"header": False, **options},
        }
    )


def read_file(
    path: Path,
    source: CsvSource,
    *,
    block_bytes: int = 2**21,
    target_bytes: int = 2**24,
    optional: str | None = None,
) -> list[Parsed]:
    splits = plan_text_splits(list_files([str(path)], path.parent), source, target_bytes, optional)
    splits = align([count_range(split) if needs_count(split) else split for split in splits])
    fields = schema_fields(source)
    return list(read_splits(splits, source, fields, block_bytes))


def rows_of(blocks: list[Parsed], *names: str) -> list[tuple[Any, ...]]:
    rows = [row for block in blocks for row in block.rows.to_pylist()]
    return [
        tuple(row[name] for name in (names or [name for name in row if name != "source_file"]))
        for row in rows
    ]


def bad_of(blocks: list[Parsed]) -> list[tuple[int | None, bytes, str]]:
    return [(bad.source_line, bad.raw, bad.reason) for block in blocks for bad in block.bad]


def blank_of(blocks: list[Parsed]) -> int:
    return sum(block.blank_lines for block in blocks)


def read_text(
    folder: Path, text: bytes, schema: dict[str, str] = ABC, name: str = "x.csv", **options: Any
) -> list[Parsed]:
    path = folder / name
    path.write_bytes(text)
    return read_file(path, csv_source(path, schema, **options))


def zstd(data: bytes) -> bytes:
    return pa.compress(data, "zstd", asbytes=True)
