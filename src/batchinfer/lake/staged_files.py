"""What becomes of staged files before a commit names them: moved into their partition, read, or
deleted.

Knows nothing of how they were written (see `staging`). Must not write Delta's log.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow.fs import FileType, LocalFileSystem

from batchinfer.checked_parquet import CheckedParquetFile
from batchinfer.contracts import DataFile, StagedFile
from batchinfer.errors import StorageError
from batchinfer.lake.parquet import delete_quietly, make_folder, sync_folders
from batchinfer.lake.snapshots import exists, snapshot_files
from batchinfer.lake.table_places import (
    open_filesystem,
    partition_folder,
    reading_faults,
    storage_faults,
)

# Files that are read side by side: on a store each waits for answers.
_OPENED = 8
_COUNTED = "__batchinfer rows"


def place_staged(table: str, staged: StagedFile, partition: Mapping[str, str | None]) -> StagedFile:
    """Moves a staged file into the folder of a partition, and says so in its entry; no commit may
    refer to it yet.

    Runs on: driver

    Raises:
        InputError: a partition value too long for a folder's name.
        StorageError: the file cannot be moved.
    """
    filesystem, root = open_filesystem(table)
    folder, name = partition_folder(partition), staged.path.rsplit("/", 1)[-1]
    placed = dataclasses.replace(staged, path=f"{folder}/{name}", partition=dict(partition))
    with storage_faults(f"{root}/{staged.path}", f"move the file to {folder}"):
        make_folder(filesystem, f"{root}/{folder}")
        # Placed already: the commit after the move failed, and is tried again.
        if filesystem.get_file_info(f"{root}/{placed.path}").type == FileType.NotFound:
            filesystem.move(f"{root}/{staged.path}", f"{root}/{placed.path}")
        if isinstance(filesystem, LocalFileSystem):
            sync_folders(Path(root) / folder, Path(root))
    return placed


def read_staged(
    table: str, files: Sequence[StagedFile | DataFile], columns: Sequence[str] | None = None
) -> pa.Table:
    """Columns of the rows of files that are staged, or that a table has; without names all that the
    files have, in their order.

    Runs on: driver

    Raises:
        DamagedFile: bytes of a file are not those that were written.
        StorageError: a file cannot be read.
    """
    filesystem, root = open_filesystem(table)
    parts: list[pa.Table] = []
    for staged in files:
        path = f"{root}/{staged.path}"
        with reading_faults(path), CheckedParquetFile(filesystem, path) as parquet:
            parts.append(parquet.read(columns=None if columns is None else list(columns)))
    return pa.concat_tables(parts)


def read_typed(
    table: str, files: Sequence[StagedFile | DataFile], types: Mapping[str, pa.DataType]
) -> pa.Table:
    """Columns of the rows of files, of these types; null in the rows of a file that lacks one, as
    files do that a table had before it got the column.

    Runs on: driver

    Raises:
        DamagedFile, StorageError: as `read_staged`.
        pyarrow.ArrowInvalid: a value that its type cannot hold.
    """
    filesystem, root = open_filesystem(table)

    def read(file: StagedFile | DataFile) -> pa.Table:
        path = f"{root}/{file.path}"
        with reading_faults(path), CheckedParquetFile(filesystem, path) as parquet:
            held = [name for name in types if name in parquet.schema_arrow.names]
            rows = parquet.read(columns=held)
        # With no column at all, Arrow forgets how many rows it joins.
        found = pa.table({_COUNTED: pa.nulls(rows.num_rows)})
        for name, type_ in types.items():
            values = rows[name].cast(type_) if name in held else pa.nulls(rows.num_rows, type_)
            found = found.append_column(pa.field(name, type_), values)
        return found

    with ThreadPoolExecutor(_OPENED, thread_name_prefix="typed-rows") as pool:
        return pa.concat_tables(pool.map(read, files)).drop_columns([_COUNTED])


def first_staged(
    table: str, staged: StagedFile | DataFile, columns: Sequence[str]
) -> dict[str, Any]:
    """Columns of the first row of a file that has rows, staged or of the table.

    Runs on: driver

    Raises:
        DamagedFile, StorageError: as `read_staged`.
    """
    filesystem, root = open_filesystem(table)
    path = f"{root}/{staged.path}"
    with reading_faults(path), CheckedParquetFile(filesystem, path) as parquet:
        batch = next(iter(parquet.iter_batches(batch_size=1, columns=list(columns))))
    return batch.to_pylist()[0]


def remove_staged(table: str, files: Sequence[StagedFile]) -> int:
    """Deletes staged files, such as those of a run whose checks failed; never one that the table
    holds by now.

    A run may be interrupted between its commit and its knowledge of it, so the log is asked first:
    while it cannot be read, nothing is deleted. What is left behind is for the sweep of orphans.

    Returns:
        How many were deleted.

    Runs on: driver | executor
    """
    if not files:
        return 0
    filesystem, root = open_filesystem(table)
    try:
        held = {file.path for file in snapshot_files(table)} if exists(table) else set[str]()
    except StorageError:
        return 0
    return sum(
        delete_quietly(filesystem, f"{root}/{staged.path}")
        for staged in files
        if staged.path not in held
    )
