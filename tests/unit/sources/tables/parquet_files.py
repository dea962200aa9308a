"""Parquet files and sources for the tests beside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from batchinfer.config.sources import ParquetSource
from batchinfer.contracts import BadRecord
from batchinfer.sources.listing import SourceFile, list_files
from batchinfer.sources.parsed import BLOCK_BYTES
from batchinfer.sources.readers import read_fields, read_splits
from batchinfer.sources.tables.parquet_reader import plan_parquet_splits


def parquet_source(
    schema: Mapping[str, Any] | None = None, columns: Mapping[str, str] | None = None
) -> ParquetSource:
    given = {"schema": schema, "columns": columns}
    return ParquetSource.model_validate(
        {"kind": "parquet", "path": ["."], **{name: each for name, each in given.items() if each}}
    )


def write(path: Path, columns: Mapping[str, Any] | pa.Table, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(
        columns if isinstance(columns, pa.Table) else pa.table(dict(columns)), path, **options
    )
    return path


def files_in(folder: Path) -> list[SourceFile]:
    return list_files(["."], folder)


def read(
    folder: Path,
    schema: Mapping[str, Any] | None = None,
    landed: Mapping[str, pa.DataType] | None = None,
    optional: str | None = None,
    target_bytes: int = 16 * 2**20,
    block_bytes: int = BLOCK_BYTES,
    columns: Mapping[str, str] | None = None,
) -> tuple[pa.Table, list[BadRecord]]:
    """All rows below a folder, and the bad records, by the whole road of the sources room."""
    source, files = parquet_source(schema, columns), files_in(folder)
    fields = read_fields(source, files, landed, optional)
    splits = plan_parquet_splits(files, source, fields, optional, target_bytes)
    blocks = list(read_splits(splits, source, fields, block_bytes))
    assert all(block.records_in == block.rows.num_rows + len(block.bad) for block in blocks)
    wanted = pa.schema([*fields.items(), ("source_file", pa.string()), ("source_line", pa.int64())])
    rows = pa.Table.from_batches([block.rows for block in blocks], wanted)
    return rows, [record for block in blocks for record in block.bad]


def column(rows: pa.Table, name: str) -> Sequence[Any]:
    return rows.column(name).to_pylist()
