"""Takes rows out of a table's files: a file without other rows goes whole, of any other a copy is staged without them.

Owns finding those files and copying the rest. Must not commit; the caller holds the table's lock.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable
from pyarrow import compute

from batchinfer.contracts import StagedFile
from batchinfer.sinks.places import open_filesystem, storage_faults
from batchinfer.sinks.snapshots import arrow_schema, skipping_names
from batchinfer.sinks.staging import StagedWriter

# pyarrow makes these functions when it is imported; type checkers cannot see them.
pc: Any = compute
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
    files: Iterable[dict[str, Any]],
    column: str,
    values: Collection[str | None],
) -> Rewrite:
    """Works out how to take the rows whose `column` has one of these values out of these files.

    Args:
        uri: of the table.
        table: the snapshot that the files belong to.
        files: as `snapshots.list_files` tells them.
        column: a text column of the files.
        values: what it holds in the rows to remove.

    Runs on: driver

    Raises:
        StorageError: a file cannot be read, or the copy cannot be written.
    """
    filesystem, root = open_filesystem(uri)
    partitions = table.metadata().partition_columns
    wanted = pa.array(list(values), pa.string())
    stats_columns = skipping_names(table)
    rewrite = Rewrite()
    for file in files:
        path = f"{root}/{file['path']}"
        with storage_faults(path, "read the file"), filesystem.open_input_file(path) as source:
            parquet = pq.ParquetFile(source)
            if column not in parquet.schema_arrow.names:
                continue
            doomed = pc.sum(pc.is_in(parquet.read(columns=[column])[column], value_set=wanted)).as_py() or 0
            if not doomed:
                continue
            rewrite.removed.append(file["path"])
            if doomed == parquet.metadata.num_rows:
                continue
            names = [name for name in arrow_schema(table).names if name in parquet.schema_arrow.names]
            schema = pa.schema([arrow_schema(table).field(name) for name in names])
            with StagedWriter(uri, schema, partitions, [name for name in stats_columns if name in names]) as writer:
                for batch in parquet.iter_batches(batch_size=_BATCH_ROWS, columns=names):
                    keep = pc.invert(pc.is_in(batch[column], value_set=wanted))
                    writer.write(batch.filter(keep), file["partition"])
                rewrite.adds += writer.close()
    return rewrite
