"""One store, through the session's own JVM: what lies there, and how a file of it comes here.

Owns the calls of Hadoop's FileSystem API. Must not know patterns, pipelines or what is inside a
file; the words of errors are in `hadoop_errors`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchinfer.config.uris import Uri
from batchinfer.errors import InputError, InputMissing, StorageError
from batchinfer.spark.hadoop_errors import NothingThere, store_faults

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_BUFFER_BYTES = 2**20
# A store whose own retries take longer is said not to answer; conf/base/environment.yaml has
# shorter ones for S3A and HDFS.
ANSWER_WITHIN_S = 60.0


@dataclass(frozen=True)
class StoreEntry:
    """A file or a folder on a store.

    Attributes:
        path: absolute, on its store.
        size: bytes; 0 for folders.
        version: changes with the content: the store's entity tag, else the modification time in
            milliseconds.
    """

    path: str
    is_folder: bool
    size: int
    version: str


class Stop:
    """Ends copies that are under way, from another thread: the JVM's own threads know no
    interruption.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: list[Any] = []
        self.asked = False

    @contextmanager
    def holding(self, stream: Any) -> Generator[None]:
        """While the block runs, `now` closes the stream, so that what writes to it ends in an
        error.
        """
        with self._lock:
            self._open.append(stream)
            if self.asked:  # while the stream was being opened
                stream.close()
        try:
            yield
        finally:
            with self._lock:
                self._open.remove(stream)

    def now(self) -> None:
        """Closes what is open; nothing new is begun."""
        self.asked = True
        with self._lock:
            for stream in self._open:
                stream.close()


class Store:
    """The file system of one bucket, container or cluster.

    Args:
        setting: that names the place, for messages.

    Runs on: driver, in any thread.
    """

    def __init__(self, spark: SparkSession, uri: Uri, setting: str = "source.path") -> None:
        self.uri, self._setting = uri, setting
        # Private to PySpark, and the only way to the JVM's own classes; what is called through it
        # is untyped.
        context: Any = spark.sparkContext
        self._jvm: Any = context._jvm
        self._gateway: Any = context._gateway
        self._conf: Any = context._jsc.hadoopConfiguration()
        self._hadoop: str = self._jvm.org.apache.hadoop.util.VersionInfo.getVersion()
        self._fs: Any = None

    def reach(self, path: str) -> StoreEntry | None:
        """Connects, and tells what is at a path; None: nothing.

        Raises:
            ConfigError: no file system for the scheme on the class path.
            InputMissing: no such bucket.
            StorageError: no answer in bounded time, or no access.
        """

        def connect() -> StoreEntry | None:
            with self._faults(path, "reached"):
                self._fs = self._path(path).getFileSystem(self._conf)
            return self.status(path)

        return _within(
            ANSWER_WITHIN_S,
            connect,
            f"{self.uri.at(path)} cannot be reached: no answer in {ANSWER_WITHIN_S:g} seconds",
        )

    def status(self, path: str) -> StoreEntry | None:
        """What is at a path; None: nothing."""
        try:
            with self._faults(path, "looked up"):
                return self._entry(self._fs.getFileStatus(self._path(path)))
        except NothingThere:
            return None

    def entries(self, folder: str) -> list[StoreEntry]:
        """What lies directly in a folder; nothing where there is none."""
        try:
            with self._faults(folder, "listed"):
                return [self._entry(status) for status in self._fs.listStatus(self._path(folder))]
        except NothingThere:
            return []

    def below(self, folder: str) -> Iterator[StoreEntry]:
        """Every file below a folder, however deep; on object stores one listing of keys, not one a
        folder.
        """
        try:
            with self._faults(folder, "listed"):
                found = self._fs.listFiles(self._path(folder), True)
                while found.hasNext():
                    yield self._entry(found.next())
        except NothingThere:
            return

    def copy(self, listed: StoreEntry, target: Path, stop: Stop) -> None:
        """Copies a file as it was listed to a local file that is there already and empty.

        Raises:
            InputError: the file changed, or went, since it was listed.
            StorageError: the store broke off, or the disk is full.
        """
        try:
            self._stream(listed, target, stop)
        except NothingThere as error:
            raise InputMissing(f"{self.uri.at(listed.path)} is gone since it was listed") from error
        copied, now = target.stat().st_size, self.status(listed.path)
        if (
            now is None
            or copied != listed.size
            or (now.size, now.version) != (listed.size, listed.version)
        ):
            told = "is gone" if now is None else f"has {now.size} bytes now"
            raise InputError(
                f"{self.uri.at(listed.path)} changed while it was being copied: it had "
                f"{listed.size} bytes when it was listed, "
                f"{copied} were copied, and it {told}",
                hint="extract again: the file is read as it is then",
            )

    def _stream(self, listed: StoreEntry, target: Path, stop: Stop) -> None:
        with self._faults(listed.path, f"copied to {target}"):
            options = self._fs.openFile(self._path(listed.path)).opt(
                "fs.option.openfile.read.policy", "whole-file"
            )
            source = options.opt("fs.option.openfile.length", str(listed.size)).build().get()
            try:
                out = self._jvm.java.io.FileOutputStream(str(target))
                with stop.holding(out):
                    # Closes both, also after errors.
                    self._jvm.org.apache.hadoop.io.IOUtils.copyBytes(
                        source, out, _BUFFER_BYTES, True
                    )
            finally:
                source.close()

    def _path(self, path: str) -> Any:
        return self._jvm.org.apache.hadoop.fs.Path(str(self.uri.at(path)))

    def _entry(self, status: Any) -> StoreEntry:
        from py4j.java_gateway import is_instance_of

        path = status.getPath().toUri().getPath()
        if status.isDirectory():
            return StoreEntry(path, True, 0, "")
        tag = (
            status.getEtag()
            if is_instance_of(self._gateway, status, self._jvm.org.apache.hadoop.fs.EtagSource)
            else None
        )
        # A store tells a tag with and without its quotes.
        version = f"tag {tag.strip(chr(34))}" if tag else f"ms {status.getModificationTime()}"
        return StoreEntry(path, False, status.getLen(), version)

    def _faults(self, path: str, doing: str) -> AbstractContextManager[None]:
        return store_faults(self.uri.at(path), doing, self._hadoop, self._setting)


def _within(
    seconds: float, work: Callable[[], StoreEntry | None], message: str
) -> StoreEntry | None:
    """What the work returns or raises, if it does so in time; its thread is left to its end if
    not.
    """
    results: list[StoreEntry | None] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # noqa: BLE001 - raised again where it was asked for
            errors.append(error)

    thread = threading.Thread(target=run, name="first answer of a store", daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise StorageError(message)
    return results[0]
