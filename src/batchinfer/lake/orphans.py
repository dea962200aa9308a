"""Files that runs which were killed or interrupted have staged, and that no commit names.

A run that is killed leaves its lease, and the names of what it staged begin with its id: the next
run of the same pipeline removes its files. Of an interrupted run the process itself removes them,
when none of its workers is left. So nothing of a run that lives is looked at. What a task has
finished stays, with its note (`task_notes`): the next run of that slice takes it over or removes
it. Must not know what the files hold.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Generator, Mapping, Sequence
from typing import Any

from pyarrow.fs import FileInfo, FileSelector

from batchinfer import stopping
from batchinfer.errors import StorageError
from batchinfer.lake.leases import forget_leases, hold, left_behind
from batchinfer.lake.log import names_in_commits
from batchinfer.lake.parquet import delete_quietly, prefix_of
from batchinfer.lake.snapshots import exists, snapshot_files
from batchinfer.lake.table_places import open_filesystem, storage_faults
from batchinfer.lake.task_notes import finished_names

# Runs of this process, their pipelines and the tables that they stage files in; the entries of
# interrupted runs stay.
_staging: list[tuple[str, str, tuple[str, ...]]] = []


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
    staging = (run_id, pipeline, tuple(dict.fromkeys(tables)))
    with hold(lake, pipeline, slice_, run_id, heir_of=runs):
        notes = [note for run in runs if (note := _remove(run, pipeline, staging[2]))]
        forget_leases(lake, pipeline, dead)
        _staging.append(staging)
        try:
            yield notes
        finally:
            if stopping.asked() is None:
                _staging.remove(staging)


def remove_interrupted() -> None:
    """Deletes what interrupted runs of this process have staged, and neither a commit nor the note
    of a task names; asked when none of their workers is left, which may have been ended in the
    midst of a file.

    A table whose log cannot be read keeps its files: the next run of the pipeline removes them.

    Runs on: driver
    """
    while _staging:
        run_id, pipeline, tables = _staging.pop()
        with contextlib.suppress(StorageError):
            finished = finished_names(tables, pipeline, run_id)
            for table in tables:
                with contextlib.suppress(StorageError):
                    _delete(table, run_id, finished)


def remove_unnoted(run_id: str, pipeline: str, tables: Sequence[str]) -> int:
    """Deletes what a run that has ended has staged and that neither a commit nor the note of a task
    names; how many files are gone.

    Runs on: driver

    Raises:
        StorageError: a table's log or folder cannot be read.
    """
    finished = finished_names(tables, pipeline, run_id)
    return sum(len(_delete(table, run_id, finished)) for table in tables)


def remove_unnamed(table: str, paths: Sequence[str]) -> int:
    """Deletes files of a table that no commit names, such as those of finished tasks that nobody
    takes over.

    Args:
        paths: relative to the table.

    Returns:
        How many were deleted.

    Runs on: driver

    Raises:
        StorageError: the table's log cannot be read.
    """
    filesystem, root = open_filesystem(table)
    named = _named(table, [path.rpartition("/")[2] for path in paths])
    gone = [path for path in paths if path.rpartition("/")[2] not in named]
    return sum(delete_quietly(filesystem, f"{root}/{path}") for path in gone)


def _runs_of(lease: Mapping[str, Any]) -> list[str]:
    return [lease["run_id"], *lease.get("heir_of", [])]


def _remove(run_id: str, pipeline: str, tables: Sequence[str]) -> str | None:
    """Deletes what a run has staged in tables and no commit names, but for what its tasks have
    finished; what is to be said of it.
    """
    finished = finished_names(tables, pipeline, run_id)
    gone = [info for table in tables for info in _delete(table, run_id, finished)]
    if not gone:
        return None
    return (
        f"run {run_id} was killed; the {len(gone):,} files ({sum(info.size for info in gone):,} "
        "bytes) that it had staged, and that no commit names, are removed"
    )


def _delete(table: str, run_id: str, spared: Collection[str]) -> list[FileInfo]:
    """Deletes what a run has staged in a table and no commit names; the files that are gone."""
    filesystem, _ = open_filesystem(table)
    orphans = [info for info in _orphans(table, prefix_of(run_id)) if info.base_name not in spared]
    return [info for info in orphans if delete_quietly(filesystem, info.path)]


def _orphans(table: str, prefix: str) -> list[FileInfo]:
    filesystem, root = open_filesystem(table)
    with storage_faults(table, "list the files of the table"):
        found = filesystem.get_file_info(FileSelector(root, allow_not_found=True, recursive=True))
    staged = [info for info in found if info.is_file and info.base_name.startswith(prefix)]
    named = _named(table, [info.base_name for info in staged])
    return [info for info in staged if info.base_name not in named]


def _named(table: str, names: Sequence[str]) -> set[str]:
    """Those of some names of files, without folders, that the table holds or a commit names."""
    if not names or not exists(table):
        return set()
    held = {file.path.rsplit("/", 1)[-1] for file in snapshot_files(table)}
    # What a later commit removed, readers of older versions may still read.
    return held | names_in_commits(table, [name for name in names if name not in held])
