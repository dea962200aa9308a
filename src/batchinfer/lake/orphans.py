"""Files that runs which were killed or interrupted have staged, and that no commit names.

A run that is killed leaves its lease, and the names of what it staged begin with its id: the next
run of the same pipeline removes its files. Of an interrupted run the process itself removes them,
when none of its workers is left. So nothing of a run that lives is looked at. Must not know what
the files hold.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Mapping, Sequence
from typing import Any

from pyarrow.fs import FileInfo, FileSelector

from batchinfer import stopping
from batchinfer.errors import StorageError
from batchinfer.lake.leases import forget_leases, hold, left_behind
from batchinfer.lake.log import names_in_commits
from batchinfer.lake.parquet import delete_quietly, prefix_of
from batchinfer.lake.snapshots import exists, snapshot_files
from batchinfer.lake.table_places import open_filesystem, storage_faults

# Tables that runs of this process stage files in; the entries of interrupted runs stay.
_staging: list[tuple[str, str]] = []


@contextlib.contextmanager
def hold_and_sweep(
    lake: str, pipeline: str, slice_: str | None, run_id: str, tables: Sequence[str]
) -> Generator[list[str]]:
    """Holds the lease on a slice while the block runs; first removes what killed runs of the
    pipeline have left in its tables.

    Yields:
        What the report is to say of it.

    Runs on: driver

    Raises:
        SliceHeld, StorageError: as `leases.hold`; a table's log or folder cannot be read.
    """
    dead = left_behind(lake, pipeline)
    runs = sorted({run for lease in dead for run in _runs_of(lease)} - {run_id})
    staging = [(table, run_id) for table in dict.fromkeys(tables)]
    with hold(lake, pipeline, slice_, run_id, heir_of=runs):
        notes = [note for run in runs if (note := _remove(run, tables))]
        forget_leases(lake, pipeline, dead)
        _staging.extend(staging)
        try:
            yield notes
        finally:
            if stopping.asked() is None:
                for entry in staging:
                    _staging.remove(entry)


def remove_interrupted() -> None:
    """Deletes what interrupted runs of this process have staged, and no commit names; asked when
    none of their workers is left, which may have been ended in the midst of a file.

    A table whose log cannot be read keeps its files: the next run of the pipeline removes them.

    Runs on: driver
    """
    while _staging:
        table, run_id = _staging.pop()
        with contextlib.suppress(StorageError):
            _delete(table, run_id)


def _runs_of(lease: Mapping[str, Any]) -> list[str]:
    return [lease["run_id"], *lease.get("heir_of", [])]


def _remove(run_id: str, tables: Sequence[str]) -> str | None:
    """Deletes what a run has staged in tables and no commit names; what is to be said of it."""
    gone = [info for table in dict.fromkeys(tables) for info in _delete(table, run_id)]
    if not gone:
        return None
    return (
        f"run {run_id} was killed; the {len(gone):,} files ({sum(info.size for info in gone):,} "
        "bytes) that it had staged, and that no commit names, are removed"
    )


def _delete(table: str, run_id: str) -> list[FileInfo]:
    """Deletes what a run has staged in a table and no commit names; the files that are gone."""
    filesystem, _ = open_filesystem(table)
    orphans = _orphans(table, prefix_of(run_id))
    return [info for info in orphans if delete_quietly(filesystem, info.path)]


def _orphans(table: str, prefix: str) -> list[FileInfo]:
    filesystem, root = open_filesystem(table)
    with storage_faults(table, "list the files of the table"):
        found = filesystem.get_file_info(FileSelector(root, allow_not_found=True, recursive=True))
    staged = [info for info in found if info.is_file and info.base_name.startswith(prefix)]
    if not staged or not exists(table):
        return staged
    held = {file.path.rsplit("/", 1)[-1] for file in snapshot_files(table)}
    staged = [info for info in staged if info.base_name not in held]
    # What a later commit removed, readers of older versions may still read.
    named = names_in_commits(table, [info.base_name for info in staged])
    return [info for info in staged if info.base_name not in named]
