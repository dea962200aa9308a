"""Leases: one process at a time works on a slice of a pipeline; a lease ends with its holder,
however it dies.

Owns the lease files below `<lake>/_leases`, and what whoever is refused is told. Must not know what
the holder does. In a lake on an object store there are no locks: see `store_leases`.
"""

from __future__ import annotations

import datetime
import json
import os
import socket
import sys
from collections.abc import Collection, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from batchinfer.errors import SliceHeld
from batchinfer.lake.locks import FileLock, is_held
from batchinfer.lake.table_places import encode_name, local_path, storage_faults

_SUFFIX = ".lease"
# `running` takes a shared lock for an instant: a holder-to-be outwaits it.
_PROBE_S = 0.25


def leases_folder(lake: Path, pipeline: str) -> Path:
    """Folder of a pipeline's lease files in a local lake."""
    return lake / "_leases" / encode_name(pipeline)


@contextmanager
def hold(
    lake: str,
    pipeline: str,
    slice_: str | None,
    run_id: str,
    command: str | None = None,
    heir_of: Collection[str] = (),
    what: str | None = None,
) -> Generator[dict[str, Any]]:
    """Holds the lease on a slice while the block runs.

    Args:
        lake: path or URI.
        slice_: the slice; None stands for work on the pipeline that belongs to no one slice.
        run_id: of the run that works on it.
        command: shown to whoever is refused; by default the program and its first argument.
        heir_of: runs that died, and whose files this one removes; who comes after it knows of them
            too, should it die.
        what: what is held, in words; by default the slice.

    Yields:
        What the lease says: `{run_id, pid, host, since, command, pipeline, slice, heir_of}`.

    Runs on: driver

    Raises:
        SliceHeld: another process, or another block of this one, holds it; says who and since when.
        StorageError: the lake cannot be written.
    """
    lease = _describe_holder(pipeline, slice_, run_id, command) | {"heir_of": sorted(heir_of)}
    root = local_path(lake)
    if root is None:
        from batchinfer.lake.store_leases import LeaseTaken, take

        try:
            heartbeat = take(lake, pipeline, slice_, lease)
        except LeaseTaken as error:
            raise SliceHeld(_refusal(pipeline, slice_, error.lease, what)) from error
        with heartbeat.held():
            yield lease
        return
    path = leases_folder(root, pipeline) / f"{encode_name(slice_)}{_SUFFIX}"
    lock = FileLock(path)
    with storage_faults(str(path), "take the lease"):
        path.parent.mkdir(parents=True, exist_ok=True)
        taken = lock.acquire(_PROBE_S)
    if not taken:
        raise SliceHeld(_refusal(pipeline, slice_, _read(path), what))
    try:
        with storage_faults(str(path), "write the lease"):
            os.ftruncate(lock.fd, 0)
            os.pwrite(lock.fd, json.dumps(lease).encode(), 0)
        yield lease
    finally:
        lock.release(remove=True)


def running(lake: str, pipeline: str) -> list[dict[str, Any]]:
    """The leases of a pipeline that are really held now, by slice; a dead holder's file does not
    count.

    Runs on: driver

    Raises:
        StorageError: the folder cannot be read.
    """
    root = local_path(lake)
    if root is None:
        from batchinfer.lake.store_leases import live_leases

        return live_leases(lake, pipeline)
    folder = leases_folder(root, pipeline)
    with storage_faults(str(folder), "read the leases"):
        held = [path for path in sorted(folder.glob(f"*{_SUFFIX}")) if is_held(path)]
        return [lease for lease in map(_read, held) if lease]


def left_behind(lake: str, pipeline: str) -> list[dict[str, Any]]:
    """The leases whose holders were killed: they stand there, and nobody holds them.

    Runs on: driver

    Raises:
        StorageError: the folder cannot be read.
    """
    root = local_path(lake)
    if root is None:
        from batchinfer.lake.store_leases import dead_leases

        return dead_leases(lake, pipeline)
    folder = leases_folder(root, pipeline)
    with storage_faults(str(folder), "read the leases"):
        # Read before it is looked whether somebody holds it: whoever takes it now writes another.
        told = [(path, _read(path)) for path in sorted(folder.glob(f"*{_SUFFIX}"))]
        return [lease for path, lease in told if lease and not is_held(path)]


def forget_leases(lake: str, pipeline: str, leases: Collection[dict[str, Any]]) -> None:
    """Removes leases that `left_behind` has told; not where somebody holds them by now.

    Runs on: driver

    Raises:
        StorageError: the folder cannot be written.
    """
    root = local_path(lake)
    if root is None:
        from batchinfer.lake.store_leases import drop_leases

        drop_leases(lake, pipeline, leases)
        return
    folder = leases_folder(root, pipeline)
    with storage_faults(str(folder), "remove leases of runs that were killed"):
        for path in sorted(folder.glob(f"*{_SUFFIX}")):
            lock = FileLock(path)
            if _read(path) in leases and lock.acquire(0):
                # Empty: it had gone, and was made anew by taking the lock.
                told = _read(path)
                lock.release(remove=not told or told in leases)


def _describe_holder(
    pipeline: str, slice_: str | None, run_id: str, command: str | None
) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "command": command
        if command is not None
        else " ".join([os.path.basename(sys.argv[0]), *sys.argv[1:2]]).strip(),
        "pipeline": pipeline,
        "slice": slice_,
    }


def _read(path: Path) -> dict[str, Any]:
    """What a lease file says; empty if its holder has gone or has not written yet."""
    try:
        return json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}


def _refusal(
    pipeline: str, slice_: str | None, lease: dict[str, Any], what: str | None = None
) -> str:
    of_slice = "" if slice_ is None else f"slice {slice_} of "
    what = what or f"{of_slice}pipeline {pipeline}"
    if not lease:
        return f"{what} is held by another run that has just begun"
    holder = (
        f"run {lease['run_id']} ({lease['command']}, process {lease['pid']} on {lease['host']})"
    )
    return f"{what} is held by {holder} since {lease['since']}"
