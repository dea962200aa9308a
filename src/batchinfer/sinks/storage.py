"""Finds out whether a place can be written before anything long begins."""

from __future__ import annotations

import os
import uuid

from batchinfer.sinks.places import local_path, storage_faults


def check_writable(lake: str) -> None:
    """Makes the folder if missing and writes a small file there, to the disk; nothing is left behind.

    A place that is no local folder is not checked: its first write tells.

    Runs on: driver

    Raises:
        StorageError: a file stands where the folder should be, no permission, a full or read-only disk.
    """
    root = local_path(lake)
    if root is None:
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
