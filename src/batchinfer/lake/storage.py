"""Finds out whether a place can be written before anything long begins."""

from __future__ import annotations

import errno
import os
import uuid
from pathlib import Path

from batchinfer.errors import ConfigError, StorageError, never_a_folder
from batchinfer.lake.table_places import local_path, open_filesystem, storage_faults


def check_writable(lake: str) -> None:
    """Makes the folder if missing and writes a small file there, to the disk; nothing is left
    behind.

    Of an object store, it writes a small object and deletes it.

    Runs on: driver

    Raises:
        ConfigError: a place where no folder can ever be: below a file, in a name too long, in a
            file system of the kernel's own.
        StorageError: no permission, a full or read-only disk; a store that does not answer, has no
            such bucket, or refuses access.
    """
    root = local_path(lake)
    if root is None:
        _check_store(lake)
        return
    try:
        _probe(root)
    except OSError as error:
        raise _told(root, error) from error


def _probe(root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    probe = root / f".probe-{uuid.uuid4().hex}"
    try:
        with probe.open("wb") as file:
            file.write(b"\0" * 4096)
            file.flush()
            os.fsync(file.fileno())
    finally:
        # It was not made where the folder is none.
        if os.path.lexists(probe):
            probe.unlink()


def _told(root: Path, error: OSError) -> ConfigError | StorageError:
    """Whether waiting may help, and what does otherwise."""
    fact = f"{root}: cannot write to the folder: {error.strerror or error}"
    if never := never_a_folder(fact, error, "lake"):
        return never
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageError(fact, hint=f"free some space, then run it again: df -h {root}")
    return StorageError(
        fact, hint=f"ls -ld {root}; another place: BATCHINFER_HOME, or lake in conf/environments"
    )


def _check_store(lake: str) -> None:
    filesystem, root = open_filesystem(lake)
    probe = f"{root}/.probe-{uuid.uuid4().hex}"
    with storage_faults(lake, "write to the lake"):
        with filesystem.open_output_stream(probe) as sink:
            sink.write(b"\0")
        filesystem.delete_file(probe)
