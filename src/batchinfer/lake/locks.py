"""Exclusive locks on local files that end with their holder, however it dies.

Owns `flock`, the races around removing a lock file, and what a fork inherits. Knows neither tables
nor leases.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
import weakref
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from batchinfer.errors import StorageError
from batchinfer.lake.table_places import local_path, storage_faults

TABLE_LOCK = "_commit.lock"
_open_locks: weakref.WeakSet[FileLock] = weakref.WeakSet()


class FileLock:
    """An exclusive lock on one file, also against other opens in the same process.

    Attributes:
        path: of the lock file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None

    @property
    def fd(self) -> int:
        """Descriptor of the locked file.

        Raises:
            RuntimeError: the lock is not held.
        """
        if self._fd is None:
            raise RuntimeError(f"{self.path}: the lock is not held")
        return self._fd

    def acquire(self, timeout_s: float) -> bool:
        """Takes the lock within `timeout_s` seconds (0: one try); False if another holds it all
        that time.
        """
        end = time.monotonic() + timeout_s
        pause_s = 0.002
        while not self._try():
            if time.monotonic() >= end:
                return False
            time.sleep(pause_s)
            pause_s = min(pause_s * 1.5, 0.05)
        _open_locks.add(self)
        return True

    def _try(self) -> bool:
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(fd)
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                return False
            raise
        if not _same_file(fd, self.path):
            # The former holder removed the file between our open and our lock: ours is a lock on
            # nothing.
            os.close(fd)
            return False
        self._fd = fd
        return True

    def release(self, remove: bool = False) -> None:
        """Gives the lock back; with `remove`, the file goes too (first, while nobody else can hold
        it).
        """
        if self._fd is None:
            return
        try:
            if remove and _same_file(self._fd, self.path):
                os.unlink(self.path)
        finally:
            self.close()

    def close(self) -> None:
        """Closes this process's descriptor; the lock ends when no process has it open."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def _same_file(fd: int, path: Path) -> bool:
    try:
        named = os.stat(path)
    except FileNotFoundError:
        return False
    held = os.fstat(fd)
    return (named.st_dev, named.st_ino) == (held.st_dev, held.st_ino)


def _forget_locks() -> None:
    # A forked child shares the open file: without this it would hold the lock after its parent's
    # death.
    for lock in list(_open_locks):
        lock.close()


os.register_at_fork(after_in_child=_forget_locks)


def is_held(path: Path) -> bool:
    """True if a process holds the lock on this file now.

    Runs on: driver
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        # Shared, so that two probes never disturb each other; a holder excludes both.
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return True
        raise
    finally:
        os.close(fd)
    return False


@contextmanager
def table_lock(uri: str, timeout_s: float = 300.0) -> Generator[None]:
    """Holds the lock that every writer of a local table takes around a commit; nothing for object
    stores.

    Delta has no mutual exclusion between processes on `file://`. The lock file stands in the
    table's folder, so that whoever can write the table can lock it; its leading underscore hides it
    from readers and from VACUUM. Not re-entrant.

    Runs on: driver

    Raises:
        StorageError: the folder cannot be written, or others held the lock for `timeout_s` seconds.
    """
    root = local_path(uri)
    if root is None:
        yield
        return
    with storage_faults(uri, "lock the table"):
        root.mkdir(parents=True, exist_ok=True)
        lock = FileLock(root / TABLE_LOCK)
        if not lock.acquire(timeout_s):
            raise StorageError(
                f"{root / TABLE_LOCK}: other writers held the lock for {timeout_s:g} seconds"
            )
    try:
        yield
    finally:
        lock.release()
