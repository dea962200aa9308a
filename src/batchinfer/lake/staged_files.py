"""What becomes of staged files before a commit names them: moved into their partition, read, or
deleted, also where their run was interrupted.

Knows nothing of how they were written (see `staging`). Must not write Delta's log.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
from pyarrow.fs import FileSelector, FileType, LocalFileSystem

from batchinfer import stopping
from batchinfer.checked_parquet import CheckedParquetFile
from batchinfer.contracts import StagedFile
from batchinfer.errors import StorageError
from batchinfer.lake.parquet import delete_quietly, make_folder, prefix_of, sync_folders
from batchinfer.lake.snapshots import exists, snapshot_files
from batchinfer.lake.table_places import (
    open_filesystem,
    partition_folder,
    reading_faults,
    storage_faults,
)

# Tables that runs of this process stage files in; the entries of interrupted runs stay.
_staging: list[tuple[str, str]] = []


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


def read_staged(table: str, files: Sequence[StagedFile], columns: Sequence[str]) -> pa.Table:
    """Columns of the rows of staged files.

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
            parts.append(parquet.read(columns=list(columns)))
    return pa.concat_tables(parts)


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
        held = {file["path"] for file in snapshot_files(table)} if exists(table) else set[str]()
    except StorageError:
        return 0
    return sum(
        delete_quietly(filesystem, f"{root}/{staged.path}")
        for staged in files
        if staged.path not in held
    )


@contextlib.contextmanager
def staging(run_id: str, *tables: str) -> Generator[None]:
    """Around all that a run stages and commits. Workers that are ended by a signal leave files that
    no result names: `remove_interrupted` deletes them.

    Runs on: driver
    """
    entries = [(table, run_id) for table in tables]
    _staging.extend(entries)
    try:
        yield
    finally:
        if stopping.asked() is None:
            for entry in entries:
                _staging.remove(entry)


def remove_interrupted() -> None:
    """Deletes what interrupted runs of this process have staged and not committed; asked when none
    of their workers is left.

    A table whose log cannot be read keeps its files.

    Runs on: driver
    """
    while _staging:
        table, run_id = _staging.pop()
        filesystem, root = open_filesystem(table)
        try:
            committed = {file["path"] for file in snapshot_files(table)} if exists(table) else set()
            found = filesystem.get_file_info(
                FileSelector(root, allow_not_found=True, recursive=True)
            )
        except (StorageError, OSError):
            continue
        names = {path.rsplit("/", 1)[-1] for path in committed}
        for info in found:
            if info.base_name.startswith(prefix_of(run_id)) and info.base_name not in names:
                delete_quietly(filesystem, info.path)
