"""Published files whose rows a run would make just so: they stay where the slice is scored again.

A file stays if its footer says which parts of the source it was made from, these parts are in the
slice still, and all their rows are in it or in the other files of its task: none was quarantined.
All its bytes have to be those that were written; of a store only the footer is read, since stores
check what they keep.
"""

from __future__ import annotations

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pyarrow.fs import LocalFileSystem

from batchinfer.checked_parquet import BODY, checksum_of, footer_facts
from batchinfer.contracts import SLICE, DataFile
from batchinfer.errors import DamagedFile
from batchinfer.inference.covered_rows import CoveredRows
from batchinfer.lake.snapshots import exists, kept_rows, open_table, table_files
from batchinfer.lake.table_places import open_filesystem, storage_faults
from batchinfer.pipeline.reuse.task_origins import TaskOrigin

# Files that are read at once.
_AT_ONCE = 16


def keeps_files(reuse: str, force: bool) -> bool:
    """Whether published files may stay: not where all rows are asked to be scored.

    Args:
        reuse: `model.reuse`: auto, always, never.
    """
    return reuse != "never" and not force


def find_kept(
    table: str, slice_: str, plan: str, paths: Collection[str], covered: CoveredRows
) -> list[DataFile]:
    """The published files of a slice that stay; the rows that they are made from are added to
    `covered`.

    Args:
        plan: digest of the run.
        paths: of the files that the slice has now, whole.

    Runs on: driver

    Raises:
        StorageError: the table cannot be read.
    """
    if not exists(table):
        return []
    opened = open_table(table)
    with_deleted = kept_rows(opened)
    files = [
        file
        for file in table_files(opened, {SLICE: slice_})
        if file.path.rpartition("/")[2] not in with_deleted
    ]
    filesystem, root = open_filesystem(table)

    def told(file: DataFile) -> TaskOrigin | None:
        try:
            facts = footer_facts(filesystem, f"{root}/{file.path}", file.size)
            origin = TaskOrigin.told_by(facts)
            if origin is None or not isinstance(filesystem, LocalFileSystem):
                return origin
            return origin if _is_whole(Path(root) / file.path, facts[BODY]) else None
        except (DamagedFile, FileNotFoundError):
            return None

    with (
        storage_faults(table, "read what published files were made from"),
        ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="kept") as pool,
    ):
        origins = list(pool.map(told, files))
    by_task: dict[str, list[tuple[TaskOrigin, DataFile]]] = {}
    for origin, file in zip(origins, files, strict=True):
        if origin is not None:
            by_task.setdefault(origin.task, []).append((origin, file))
    kept: list[DataFile] = []
    for members in by_task.values():
        origin, of_task = members[0][0], [file for _, file in members]
        if (
            all(other == origin for other, _ in members)
            and origin.is_of(plan, paths)
            and sum(file.known_rows for file in of_task) == origin.rows
            and not covered.overlaps(origin.parts)
        ):
            covered.add(origin.parts)
            kept += of_task
    return kept


def _is_whole(path: Path, body: str) -> bool:
    """Whether what stands before a file's footer is what was written.

    Args:
        body: CRC-32 of these bytes, and how many they are, as the footer tells.
    """
    wanted, length = map(int, body.split())
    with path.open("rb") as file:
        return checksum_of(file, length) == (wanted, length)
