"""Finds out whether a place can be written before anything long begins."""

from __future__ import annotations

import os
import uuid

from batchinfer.lake.table_places import local_path, open_filesystem, storage_faults


def check_writable(lake: str) -> None:
    """Makes the folder if missing and writes a small file there, to the disk; nothing is left
    behind.

    Of an object store, it writes a small object and deletes it.

    Runs on: driver

    Raises:
        StorageError: a file stands where the folder should be, no permission, a full or read-only
            disk; a store that does not answer, has no such bucket, or refuses access.
    """
    root = local_path(lake)
    if root is None:
        _check_store(lake)
        return
    probe = root / f".probe-{uuid.uuid4().hex}"
    with storage_faults(str(root), "write to the folder"):
        root.mkdir(parents=True, exist_ok=True)
        try:
            with probe.open("wb") as file:
                file.write(b"\0" * 4096)
                file.flush()
                os.fsync(file.fileno())
        finally:
            probe.unlink(missing_ok=True)


def _check_store(lake: str) -> None:
    filesystem, root = open_filesystem(lake)
    probe = f"{root}/.probe-{uuid.uuid4().hex}"
    with storage_faults(lake, "write to the lake"):
        with filesystem.open_output_stream(probe) as sink:
            sink.write(b"\0")
        filesystem.delete_file(probe)
