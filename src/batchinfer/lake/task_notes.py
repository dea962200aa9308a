"""Notes of tasks that have done their part of a slice: should their run die, a later one takes
their files over.

A note is a JSON object behind its checksum, in the folder `_finished/<pipeline>/<slice>` of a
table; readers of tables and VACUUM look at no such folder. Its name begins as the names of the
files that its run stages, and its entry `files` says which of them it is about. Owns where notes
are, and how they are written and read. Must not know what else they say.
"""

from __future__ import annotations

import contextlib
import json
import os
import uuid
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyarrow.fs import FileInfo, FileSelector, FileSystem, LocalFileSystem

from batchinfer.lake.parquet import delete_quietly, make_folder, prefix_of, sync_folders
from batchinfer.lake.table_places import encode_name, open_filesystem, storage_faults
from batchinfer.object_stores import side_by_side

_FOLDER, _SUFFIX = "_finished", ".json"
# Of the part of a name that is the note's own, with the suffix.
_OWN = len(uuid.UUID(int=0).hex) + len(_SUFFIX) + 1


@dataclass(frozen=True)
class Note:
    """What one task has left.

    Attributes:
        path: in the table's file system.
        run_id: of its run.
        written_at: by the clock of the storage, seconds since 1970.
        content: the JSON object; empty where its bytes are not those that were written.
    """

    path: str
    run_id: str
    written_at: float
    content: Mapping[str, Any]

    @property
    def names(self) -> set[str]:
        """Names of the files that it is about, without folders."""
        return {file["path"].rpartition("/")[2] for file in self.content.get("files", ())}


def leave_note(
    table: str, pipeline: str, slice_: str, run_id: str, content: Mapping[str, Any]
) -> None:
    """Writes a note, whole or not at all; what it is about has to be on the disk by now.

    Args:
        content: JSON; `files` is a list of objects with the `path` of each file in its table.

    Runs on: executor

    Raises:
        StorageError: storage is full or cannot be written.
    """
    filesystem, root = open_filesystem(table)
    folder = f"{root}/{_FOLDER}/{encode_name(pipeline)}/{encode_name(slice_)}"
    path = f"{folder}/{prefix_of(run_id)}{uuid.uuid4().hex}{_SUFFIX}"
    body = json.dumps(content).encode()
    data = b"%08x\n%b" % (zlib.crc32(body), body)
    is_local = isinstance(filesystem, LocalFileSystem)
    # An object appears whole; a file would be seen while it grows.
    at_first = f"{path}.new" if is_local else path
    with storage_faults(path, "write what a task has finished"):
        make_folder(filesystem, folder)
        with filesystem.open_output_stream(at_first) as stream:
            stream.write(data)
        if is_local:
            with open(at_first, "rb") as file:
                os.fsync(file.fileno())
            os.replace(at_first, path)
            sync_folders(Path(folder), Path(root))


def read_notes(
    table: str, pipeline: str, slice_: str | None = None, run_id: str | None = None
) -> list[Note]:
    """The notes of a pipeline, in the order of their names: of one slice, of one run, or all.

    Runs on: driver

    Raises:
        StorageError: they cannot be listed or read.
    """
    filesystem, root = open_filesystem(table)
    folder = f"{root}/{_FOLDER}/{encode_name(pipeline)}"
    folder = folder if slice_ is None else f"{folder}/{encode_name(slice_)}"
    with storage_faults(folder, "list what tasks have finished"):
        found = filesystem.get_file_info(FileSelector(folder, allow_not_found=True, recursive=True))
    prefix = prefix_of(run_id or "")
    wanted = [
        info
        for info in sorted(found, key=lambda info: info.base_name)
        if info.is_file and info.base_name.startswith(prefix) and info.base_name.endswith(_SUFFIX)
    ]
    with storage_faults(folder, "read what tasks have finished"):
        notes = side_by_side(filesystem, lambda info: _read(filesystem, info), wanted)
    return [note for note in notes if note is not None]


def drop_notes(table: str, notes: Sequence[Note]) -> None:
    """Deletes notes, as far as storage allows, and the folder of a slice that has none then; what
    is left is for the next run of the slice.

    Runs on: driver
    """
    filesystem, _ = open_filesystem(table)
    side_by_side(filesystem, lambda note: delete_quietly(filesystem, note.path), notes)
    if isinstance(filesystem, LocalFileSystem):
        # Not those above it: another slice's tasks may be about to make theirs.
        for folder in {Path(note.path).parent for note in notes}:
            with contextlib.suppress(OSError):  # some are left
                folder.rmdir()


def finished_names(tables: Iterable[str], pipeline: str, run_id: str) -> set[str]:
    """The names of files, without folders, that a sweep of a run's files leaves alone: what its
    tasks have finished, and the notes of that.

    Runs on: driver

    Raises:
        StorageError: the notes cannot be read.
    """
    names: set[str] = set()
    for table in tables:
        for note in read_notes(table, pipeline, run_id=run_id):
            names |= {note.path.rpartition("/")[2], *note.names}
    return names


def _read(filesystem: FileSystem, info: FileInfo) -> Note | None:
    """A note; None where it has gone since it was listed."""
    try:
        with filesystem.open_input_stream(info.path) as stream:
            data = bytes(stream.read())
    except FileNotFoundError:
        return None
    checksum, _, body = data.partition(b"\n")
    is_whole = checksum == b"%08x" % zlib.crc32(body)
    run_id = info.base_name[len(prefix_of("")) : -_OWN]
    return Note(info.path, run_id, (info.mtime_ns or 0) / 1e9, json.loads(body) if is_whole else {})
