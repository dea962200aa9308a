"""Takes rows out of a table's files: a file without other rows goes whole, of any other a copy is
staged without them.

Owns finding those files and copying the rest. Must not commit; the caller holds the table's lock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable

from batchinfer.checked_parquet import CheckedParquetFile
from batchinfer.contracts import DataFile, StagedFile
from batchinfer.lake.snapshots import arrow_schema, skipping_names
from batchinfer.lake.staging import StagedWriter
from batchinfer.lake.table_places import open_filesystem, reading_faults

_BATCH_ROWS = 65_536


@dataclass
class Rewrite:
    """Files to remove, and staged copies of the rows in them that stay."""

    removed: list[str] = field(default_factory=list)
    adds: list[StagedFile] = field(default_factory=list)

    def extend(self, other: Rewrite) -> None:
        """Takes in another rewrite, of other files."""
        self.removed += other.removed
        self.adds += other.adds


def remove_rows(
    uri: str,
    table: DeltaTable,
    files: Iterable[DataFile],
    values: Mapping[str, Any],
) -> Rewrite:
    """Works out how to take the rows that have these values out of these files.

    Args:
        uri: of the table.
        table: the snapshot that the files belong to.
        files: as `snapshots.table_files` tells them.
        values: columns of the files, each with what it holds in the rows to remove; of several, the
            first values go together, then the second, and so on. Null is no value.

    Runs on: driver

    Raises:
        DamagedFile: bytes of a file are not those that were written.
        StorageError: a file cannot be read, or the copy cannot be written.
    """
    import pyarrow.compute as pc

    filesystem, root = open_filesystem(uri)
    partitions = table.metadata().partition_columns
    doomed = _Doomed(values)
    stats_columns = skipping_names(table)
    rewrite = Rewrite()
    for file in files:
        path = f"{root}/{file.path}"
        with reading_faults(path), CheckedParquetFile(filesystem, path) as parquet:
            if not set(values) <= set(parquet.schema_arrow.names):
                continue
            mask = doomed.mask(parquet.read(columns=list(values)))
            count = pc.call_function("sum", [mask]).as_py() or 0
            if not count:
                continue
            rewrite.removed.append(file.path)
            if count == parquet.metadata.num_rows:
                continue
            names = [
                name for name in arrow_schema(table).names if name in parquet.schema_arrow.names
            ]
            schema = pa.schema([arrow_schema(table).field(name) for name in names])
            with StagedWriter(
                uri, schema, partitions, [name for name in stats_columns if name in names]
            ) as writer:
                for batch in parquet.iter_batches(batch_size=_BATCH_ROWS, columns=names):
                    keep = pc.call_function("invert", [doomed.mask(batch)])
                    writer.write(batch.filter(keep), file.partition)
                rewrite.adds += writer.close()
    return rewrite


class _Doomed:
    """Tells which rows have the values of those to remove."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        columns = {
            name: given
            if isinstance(given, pa.ChunkedArray)
            else pa.array(list(given), pa.string())
            for name, given in values.items()
        }
        self.wanted = pa.table(columns)

    def mask(self, rows: pa.Table | pa.RecordBatch) -> pa.Array:
        if self.wanted.num_columns == 1:
            name = self.wanted.column_names[0]
            column = rows.column(name)
            return _is_in(column, self.wanted[name].cast(column.type).combine_chunks())
        number = "batchinfer.row"
        keys = pa.table({name: rows.column(name) for name in self.wanted.column_names})
        wanted = self.wanted.cast(keys.schema)
        numbered = keys.append_column(number, pa.array(range(keys.num_rows), pa.int64()))
        found = numbered.join(
            wanted, keys=wanted.column_names, join_type="left semi", use_threads=False
        )[number]
        return _is_in(numbered[number].combine_chunks(), found.combine_chunks())


def _is_in(values: pa.Array | pa.ChunkedArray, among: pa.Array) -> pa.Array:
    import pyarrow.compute as pc

    return pc.call_function("is_in", [values], pc.SetLookupOptions(value_set=among))
