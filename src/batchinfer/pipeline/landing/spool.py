"""Copies of files that stores hold, for as long as one run reads them.

Owns the folder `<staging>/spool/<pipeline>/<run>`, the threads that copy, and what runs that were
killed left there. Must not know how a store is asked.
"""

from __future__ import annotations

import os
import queue
import re
import shutil
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from batchinfer.errors import BatchInferError, ConfigError, StorageError
from batchinfer.lake.locks import FileLock, is_held
from batchinfer.lake.table_places import encode_name, local_path, storage_faults
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.landing.remote_listing import RemoteFile
from batchinfer.sources.listing import SourceFile
from batchinfer.spark.hadoop import Stop, Store

if TYPE_CHECKING:
    from batchinfer.report.terminal import Advance

# More connections than cores: a copy waits for the network most of its time.
_THREADS = 8
_POLL_S = 0.2
# What a thread gets to end in once its file was closed under it.
_ENDS_WITHIN_S = 5.0
# A sweep of another run may look at the lock as it is taken.
_LOCKS_WITHIN_S = 5.0
_PARTIAL = ".partial"
_SUFFIX = re.compile(r"(\.[A-Za-z0-9]{1,8}){1,2}$")


class FileSpool:
    """The copies of one run.

    Runs on: driver. What it copies is read on executors, so `staging` has to be a folder that all
    of them see.
    """

    def __init__(self, folder: Path, lock: FileLock) -> None:
        self.folder, self._lock = folder, lock
        self._places: dict[str, str] = {}

    @classmethod
    def open(cls, context: Context) -> FileSpool:
        """A new spool, after what killed runs of the pipeline left was removed.

        Raises:
            ConfigError: `staging` is no folder.
            StorageError: it cannot be written.
        """
        staging = local_path(context.environment.staging)
        if staging is None:
            raise ConfigError(
                f"staging: got {context.environment.staging}; allowed where the files of a source "
                "are on a store: a folder that the driver and all workers see, because the files "
                "are copied there to be read"
            )
        parent = staging / "spool" / encode_name(context.name)
        # The lock is there before the folder, so that no other run takes it for a dead one's.
        lock = FileLock(parent / f"{context.run_id}.lock")
        with storage_faults(str(parent), "make the folder"):
            parent.mkdir(parents=True, exist_ok=True)
            _sweep(parent)
            if not lock.acquire(_LOCKS_WITHIN_S):
                raise StorageError(f"{lock.path}: the lock cannot be taken")
            (parent / context.run_id).mkdir()
        return cls(parent / context.run_id, lock)

    def remove(self) -> None:
        """Removes the copies and the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self._lock.release(remove=True)

    def fetch(self, files: Sequence[RemoteFile], store_of: Any) -> list[SourceFile]:
        """Copies files, several at once; the copies, under the names that the files have in their
        source.

        Raises:
            InputError: a file that changed while it was copied.
            StorageError: a store that broke off, a disk without room.
        """
        from batchinfer.report.terminal import progress

        total = sum(file.entry.size for file in files)
        self._check_room(files, total)
        targets = [
            self.folder / f"{number:06d}{_suffix(file.name)}" for number, file in enumerate(files)
        ]
        self._places |= {
            str(target): file.path for target, file in zip(targets, files, strict=True)
        }
        stores = {file.uri.store: store_of(file.uri) for file in files}
        copies = _Copies(
            [
                (stores[file.uri.store], file, target)
                for file, target in zip(files, targets, strict=True)
            ]
        )
        with progress(
            f"copying {len(files):,} files from {', '.join(sorted(stores))}", total, "bytes"
        ) as advance:
            copies.run(advance)
        return [_as_source(target, file.name) for target, file in zip(targets, files, strict=True)]

    def _check_room(self, files: Sequence[RemoteFile], total: int) -> None:
        free = shutil.disk_usage(self.folder).free
        if total > free:
            raise StorageError(
                f"{len(files):,} files of {total:,} bytes in all, the first {files[0].path}, do "
                f"not fit into {self.folder}: "
                f"{free:,} bytes are free",
                hint="extract fewer at a time (source.path), or set staging to a larger disk",
            )

    @contextmanager
    def told_by_uri(self) -> Generator[None]:
        """Errors inside name the files where they are, not where their copies are."""
        try:
            yield
        except BatchInferError as error:
            told = [self._told(problem) for problem in error.problems]
            if told == list(error.problems):
                raise
            error.problems = tuple(told)
            error.args = ("\n".join(told),)
            raise

    def _told(self, problem: str) -> str:
        copy = re.escape(str(self.folder)) + r"/\d{6}(?:\.[A-Za-z0-9]{1,8}){0,2}"
        return re.sub(copy, lambda found: self._places.get(found[0], found[0]), problem)


def _suffix(name: str) -> str:
    """The end of a name that says what a file is, such as `.csv.gz`; nothing else of it, because a
    key may be any text.
    """
    found = _SUFFIX.search(PurePosixPath(name).name)
    return found[0] if found else ""


def _as_source(path: Path, name: str) -> SourceFile:
    status = os.stat(path)
    return SourceFile(str(path), name, status.st_size, status.st_mtime_ns)


def _sweep(parent: Path) -> None:
    """Removes the spools of runs that are dead: their locks went with them."""
    for lock in parent.glob("*.lock"):
        if not is_held(lock):
            shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
            lock.unlink(missing_ok=True)


class _Copies:
    """Copies under way: threads that take one file after another, until all are done or one
    fails.
    """

    def __init__(self, work: Sequence[tuple[Store, RemoteFile, Path]]) -> None:
        self.stop = Stop()
        self.todo: queue.SimpleQueue[tuple[Store, RemoteFile, Path]] = queue.SimpleQueue()
        for each in work:
            self.todo.put(each)
        self.errors: list[BaseException] = []
        self.active: set[Path] = set()
        self.done = 0
        self.threads = [
            threading.Thread(target=self._work, name=f"copy {number}", daemon=True)
            for number in range(min(_THREADS, len(work)))
        ]

    def run(self, advance: Advance) -> None:
        """Copies all; tells the bytes that have come, now and then."""
        shown = 0
        try:
            for thread in self.threads:
                thread.start()
            while alive := [thread for thread in self.threads if thread.is_alive()]:
                alive[0].join(_POLL_S)
                done = self.done + sum(_size(path) for path in list(self.active))
                advance(done - shown)
                shown = done
            if self.errors:
                raise self.errors[0]
        finally:
            self.stop.now()
            for thread in self.threads:
                thread.join(_ENDS_WITHIN_S)

    def _work(self) -> None:
        while not self.stop.asked:
            try:
                store, file, target = self.todo.get_nowait()
            except queue.Empty:
                return
            try:
                self._copy(store, file, target)
            except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
                self.errors.append(error)
                self.stop.now()

    def _copy(self, store: Store, file: RemoteFile, target: Path) -> None:
        partial = target.with_name(target.name + _PARTIAL)
        with storage_faults(str(partial), "make the file"):
            partial.touch(exist_ok=False)
        self.active.add(partial)
        try:
            store.copy(file.entry, partial, self.stop)
            partial.rename(target)
            self.done += file.entry.size
        finally:
            self.active.discard(partial)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # renamed meanwhile
        return 0
