"""The rows of a Delta table, read with Arrow, with every check of the files' bytes.

Owns reading by conditions. Must not know what the rows mean.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from batchinfer.checked_parquet import check_file, check_footers, damage_among, page_checks
from batchinfer.errors import BatchInferError
from batchinfer.lake.table_places import (
    as_storage_error,
    open_filesystem,
    storage_faults,
)


def read_table_rows(
    table: DeltaTable, columns: Sequence[str] | None = None, wanted: ds.Expression | None = None
) -> pa.Table:
    """The rows of a table, all columns or those named, in the order of no file.

    Raises:
        DamagedFile: bytes of a file are not those that were written.
        StorageError: a file cannot be read.
    """
    batches = list(read_table_batches(table, columns, wanted))
    schema = batches[0].schema if batches else _projected(table, columns)
    return pa.Table.from_batches(batches, schema)


def read_table_batches(
    table: DeltaTable, columns: Sequence[str] | None = None, wanted: ds.Expression | None = None
) -> Iterator[pa.RecordBatch]:
    """The rows of `read_table_rows`, a batch at a time."""
    filesystem, root = open_filesystem(table.table_uri)
    try:
        dataset = table.to_pyarrow_dataset()
        paths = [f"{root}/{fragment.path}" for fragment in dataset.get_fragments(wanted)]
    except (OSError, pa.ArrowException, DeltaError) as error:
        raise as_storage_error(table.table_uri, "read the table", error) from error
    try:
        for path in paths:
            check_file(filesystem, path)
        yield from dataset.to_batches(
            columns=None if columns is None else list(columns),
            filter=wanted,
            fragment_scan_options=page_checks(),
        )
    except BatchInferError:
        raise
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise (
            damage_among(filesystem, paths, error)
            or as_storage_error(table.table_uri, "read the table", error)
        ) from error


def check_table_footers(uri: str, paths: Sequence[str]) -> None:
    """Whether the footers of files of a table are what was written, for readers that cannot tell;
    what is missing, they tell themselves.

    Runs on: driver

    Raises:
        DamagedFile: naming each that is not.
        StorageError: storage fails.
    """
    filesystem, root = open_filesystem(uri)
    with storage_faults(uri, "read the footers of files"):
        check_footers(filesystem, [f"{root}/{path}" for path in paths])


def _projected(table: DeltaTable, columns: Sequence[str] | None) -> pa.Schema:
    schema = pa.schema(table.schema().to_arrow())
    return schema if columns is None else pa.schema([schema.field(name) for name in columns])
