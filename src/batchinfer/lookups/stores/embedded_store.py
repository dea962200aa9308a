"""The store that needs no server: a folder with one LMDB file for each part of a layer.

Files are written in a scratch folder, in the order of their keys, then put into place; after that
they never change, so readers map them into memory and need no lock. The pointer is a file of JSON
that is replaced in one step. Rows of streams have files and a file of JSON of their own, which who
streams writes, and no load. On an object store the same files are fetched once and mapped here.
"""

from __future__ import annotations

import os
import shutil
import threading
import uuid
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from batchinfer.config.uris import local_path
from batchinfer.errors import DamagedStore, StorageError
from batchinfer.json_values import from_json, to_json
from batchinfer.lake.locks import FileLock
from batchinfer.lake.table_places import open_filesystem, storage_faults
from batchinfer.lookups.stores.embedded_stream import (
    STREAM_FILE,
    StreamFiles,
    merged_count,
    merged_rows,
)
from batchinfer.lookups.stores.generation import (
    Generation,
    Layer,
    LayerPart,
    Pointer,
    read_pointer,
    succeeding,
)
from batchinfer.lookups.stores.lmdb_files import (
    ANEW,
    check_length,
    file_digest,
    open_whole,
    write_lmdb,
)
from batchinfer.lookups.stores.online_store import Room, Rows, StreamedRow, part_of
from batchinfer.lookups.stores.streamed_rows import (
    STAMP_BYTES,
    commit_of,
    if_newer,
    pointer_below,
    stamp,
    unless_damaged,
)

if TYPE_CHECKING:
    import lmdb

POINTER_FILE, _LAYERS = "pointer.json", "layers"
_READ_BYTES = 1 << 20
_STREAM_LOCK, _LOCK_S = "stream.lock", 30.0
# LMDB refuses to open a file a second time in one process, so stores share what is open.
_mapped: WeakValueDictionary[tuple[str, str], Any] = WeakValueDictionary()
_mapping = threading.Lock()


@dataclass
class EmbeddedStore:
    """Rows in files of a folder.

    Attributes:
        root: the folder, a path or `s3a://…`.
        cache: where files of an object store are fetched to; a folder of this store alone.
    """

    root: str
    cache: str | None = None
    kind: str = "embedded"
    sorted_parts: bool = True
    finds_parts: bool = True
    ttl_s: int | None = None
    _open: dict[str, list[Any]] = field(default_factory=dict, repr=False)
    _lock: Any = field(default_factory=threading.Lock, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return {"root": self.root, "cache": self.cache}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)

    @property
    def place(self) -> str:
        return self.root

    def pointer(self) -> Pointer | None:
        text = self._text(POINTER_FILE)
        if text is None:
            return None
        pointer = read_pointer(text, f"{self.root}/{POINTER_FILE}")
        return pointer.streaming({name: self._files(name).layers for name in pointer.streamed})

    def begin(self, layer: str, parts: int) -> None:
        filesystem, root = open_filesystem(self.root)
        with storage_faults(self.root, "make the folder of a layer"):
            filesystem.create_dir(f"{root}/{_LAYERS}/{layer}", recursive=True)

    def write_part(self, layer: str, part: int, rows: Iterable[Rows]) -> LayerPart:
        with TemporaryDirectory(prefix="batchinfer-store-") as folder:
            file = Path(folder) / "part"
            count, checksum, size = write_lmdb(file, rows)
            digest = file_digest(file)
            self._put(file, f"{_LAYERS}/{layer}/{_file_name(part)}")
        return LayerPart(part, count, checksum, size, digest)

    def finish(self, layer: Layer) -> None:
        for part in layer.parts:
            # A file that was fetched before tells nothing of the one that others will fetch.
            check_length(self._part_place(layer.name, part), part.digest)
            env = self._map(layer.name, part)
            entries = 0 if env is None else env.stat()["entries"]
            if entries != part.rows:
                raise DamagedStore(
                    f"{self._part_place(layer.name, part)}: {entries:,} rows are there, "
                    f"{part.rows:,} were written"
                )

    def switch(self, new: Pointer, expected: Pointer | None) -> None:
        # Whoever loads holds the lease of the store, so nobody comes between the two.
        if succeeding(new, expected, unless_damaged(self.pointer)) is None:
            raise StorageError(f"{self.root}: another load has set the pointer meanwhile")
        self._put_text(to_json(new.bare()), POINTER_FILE)

    def upsert(self, commit: int, rows: Iterable[Rows]) -> int:
        with self._streaming():
            pointer = pointer_below(self, commit)
            if pointer is None:
                return 0
            stream, floor = pointer.current.stream, pointer.floor
            files = self._files(stream)
            layers = [one for one in files.layers if one.commit is None or one.commit > floor]
            new = dict[bytes, bytes]()
            for keys, values in rows:
                for key, value, old in zip(keys, values, self._found(layers, keys), strict=True):
                    if old is None or commit_of(old) < commit:
                        new[key] = stamp(commit) + value
            if new:
                count = merged_count(layers, len(new))
                sources = [sorted(new.items()), *(self.scan(one) for one in layers[:count])]
                name = f"{stream}/{commit:019d}-{uuid.uuid4().hex[:8]}"
                self.begin(name, 1)
                part = self.write_part(name, 0, merged_rows(sources, floor))
                newest = max([commit, *(one.commit or 0 for one in layers[:count])])
                layer = Layer(name, (part,), newest)
                self.finish(layer)
                files = files.followed_by(layer, layers[count:])
                self._put_text(to_json(files), _stream_file(stream))
            # Also what a writer that was killed has left: nobody else writes now.
            self.drop(self._names(f"{_LAYERS}/{stream}", f"{stream}/") - files.names)
            return len(new)

    def streamed(self, generation: Generation) -> Iterator[StreamedRow]:
        for keys, values in merged_rows([self.scan(one) for one in generation.streamed], -1):
            for key, value in zip(keys, values, strict=True):
                yield key, commit_of(value), value[STAMP_BYTES:]

    def sweep_streamed(self) -> None:
        """Files of which all rows are overtaken go; other rows go when their file is merged."""
        pointer = self.pointer()
        if pointer is None or not (files := self._files(pointer.current.stream)).layers:
            return
        with self._streaming():
            self.drop([one.name for one in files.layers if (one.commit or 0) <= pointer.floor])

    def read(self, generation: Generation, keys: Sequence[bytes]) -> list[bytes | None]:
        found = self._found(generation.layers, keys)
        if generation.streamed:
            for place, row in enumerate(self._found(generation.streamed, keys)):
                newer = if_newer(row, generation.version)
                if newer is not None:
                    found[place] = newer or None
        return found

    def _found(self, layers: Sequence[Layer], keys: Sequence[bytes]) -> list[bytes | None]:
        """The value of each key in the first layer that has one; None where it is gone, too."""
        import lmdb

        found: list[bytes | None] = [None] * len(keys)
        for place, key in enumerate(keys):
            for layer in layers:
                envs = self._open.get(layer.name) or self._open_layer(layer)
                number = part_of(key, len(envs)) if len(envs) > 1 else 0
                env = envs[number]
                if env is None:
                    continue
                try:
                    with env.begin() as transaction:
                        value = transaction.get(key)
                except lmdb.Error as error:
                    raise self._damaged(layer, number, error) from error
                if value is not None:
                    found[place] = value or None
                    break
        return found

    def scan(self, layer: Layer) -> Iterator[tuple[bytes, bytes]]:
        import lmdb

        for number, env in enumerate(self._open.get(layer.name) or self._open_layer(layer)):
            if env is None:
                continue
            try:
                with env.begin() as transaction, transaction.cursor() as cursor:
                    yield from cursor
            except lmdb.Error as error:
                raise self._damaged(layer, number, error) from error

    def _damaged(self, layer: Layer, number: int, error: Exception) -> StorageError:
        """A file that was whole when it was opened; its layer is checked anew at the next read."""
        part = layer.parts[number]
        self._open.pop(layer.name, None)
        with _mapping:
            _mapped.pop((str(self._local_file(layer.name, part)), part.digest), None)
        return DamagedStore(f"{self._part_place(layer.name, part)}: damaged: {error}", ANEW)

    def layers(self) -> frozenset[str]:
        return self._names(_LAYERS)

    def drop(self, layers: Collection[str]) -> None:
        filesystem, root = open_filesystem(self.root)
        for layer in layers:
            self._open.pop(layer, None)
            with storage_faults(self.root, "remove a layer"), suppress(FileNotFoundError):
                filesystem.delete_dir(f"{root}/{_LAYERS}/{layer}")
            if self.cache is not None:
                shutil.rmtree(Path(self.cache) / layer, ignore_errors=True)

    def release(self, kept: Collection[str]) -> None:
        """Closes the files of layers that nobody reads any more.

        Args:
            kept: names of those that are read; no read of any other is under way.
        """
        with self._lock:
            for layer in self._open.keys() - set(kept):
                del self._open[layer]

    def check_room(self, rows: int, row_bytes: Callable[[], float]) -> Room:
        return Room()

    def close(self) -> None:
        # Another store of this process may have the same files open: the last one closes them.
        self._open.clear()

    def _open_layer(self, layer: Layer) -> list[Any]:
        """The files of a layer, mapped; each is read once to see that it is whole."""
        with self._lock:
            if layer.name not in self._open:
                self._open[layer.name] = [self._map(layer.name, part) for part in layer.parts]
                if self.cache is not None and local_path(self.root) is None:
                    self._forget_dropped(Path(self.cache))
            return self._open[layer.name]

    def _forget_dropped(self, cache: Path) -> None:
        """Removes fetched files of layers that the store no longer has; who has them open keeps
        them until they are closed.
        """
        # In this order: what is fetched meanwhile is in the store.
        fetched = [entry.name for entry in cache.iterdir()] if cache.exists() else []
        there = self.layers()
        for name in fetched:
            if name not in there:
                shutil.rmtree(cache / name, ignore_errors=True)

    def _map(self, layer: str, part: LayerPart) -> lmdb.Environment | None:
        """The file of a part; None where no task had rows for it."""
        if not part.digest:
            return None
        file = self._local_file(layer, part)
        place = self._part_place(layer, part)
        with _mapping:
            env = _mapped.get((str(file), part.digest))
            if env is not None:
                return env
            env = _mapped[str(file), part.digest] = open_whole(file, part.digest, place)
            return env

    def _local_file(self, layer: str, part: LayerPart) -> Path:
        path = local_path(self.root)
        if path is not None:
            return Path(path) / _LAYERS / layer / _file_name(part.number)
        fetched = Path(self._cache_folder()) / layer / _file_name(part.number)
        if not fetched.exists():
            fetched.parent.mkdir(parents=True, exist_ok=True)
            partial = fetched.with_name(f"{fetched.name}.{os.getpid()}")
            filesystem, root = open_filesystem(self.root)
            source = f"{root}/{_LAYERS}/{layer}/{_file_name(part.number)}"
            with (
                storage_faults(self.root, "fetch a layer"),
                filesystem.open_input_stream(source) as remote,
                partial.open("wb") as here,
            ):
                shutil.copyfileobj(remote, here, _READ_BYTES)
            partial.replace(fetched)
        return fetched

    def _cache_folder(self) -> str:
        if self.cache is None:
            raise StorageError(f"{self.root}: files of an object store need a folder to lie in")
        return self.cache

    def _part_place(self, layer: str, part: LayerPart) -> str:
        return f"{self.root}/{_LAYERS}/{layer}/{_file_name(part.number)}"

    def _names(self, folder: str, prefix: str = "") -> frozenset[str]:
        """Names of the folders in one of the store's folders."""
        from pyarrow.fs import FileSelector, FileType

        filesystem, root = open_filesystem(self.root)
        with storage_faults(self.root, "list the layers"):
            found = filesystem.get_file_info(FileSelector(f"{root}/{folder}", allow_not_found=True))
        return frozenset(
            prefix + entry.base_name for entry in found if entry.type is FileType.Directory
        )

    def _files(self, stream: str) -> StreamFiles:
        text = self._text(_stream_file(stream))
        try:
            return StreamFiles() if text is None else from_json(StreamFiles, text)
        except ValueError as error:
            raise StorageError(
                f"{self.root}/{_stream_file(stream)}: damaged: {error}",
                "remove it and load the table anew, with --full",
            ) from error

    def stream_file(self, generation: Generation) -> str:
        """Path of the file that changes with each write of streamed rows, in a local store."""
        return os.path.join(local_path(self.root) or "", _stream_file(generation.stream))

    @contextmanager
    def _streaming(self) -> Generator[None]:
        """One writer of streamed rows at a time, on one machine."""
        root = local_path(self.root)
        if root is None or not Path(root).is_dir():
            yield
            return
        lock = FileLock(Path(root) / _STREAM_LOCK)
        with storage_faults(self.root, "lock the streamed rows"):
            taken = lock.acquire(_LOCK_S)
        if not taken:
            raise StorageError(f"{self.root}: another writer streams for more than {_LOCK_S:g} s")
        try:
            yield
        finally:
            lock.release(remove=True)

    def _text(self, name: str) -> bytes | None:
        """What a file says; None where it is not there."""
        filesystem, root = open_filesystem(self.root)
        with storage_faults(f"{self.root}/{name}", "read"):
            try:
                with filesystem.open_input_stream(f"{root}/{name}") as file:
                    return file.read()
            except FileNotFoundError:
                return None

    def _put_text(self, text: str, name: str) -> None:
        with TemporaryDirectory(prefix="batchinfer-store-") as folder:
            file = Path(folder) / "text"
            file.write_text(text)
            self._put(file, name)

    def _put(self, file: Path, name: str) -> None:
        """Puts a file into the store in one step."""
        filesystem, root = open_filesystem(self.root)
        target = f"{root}/{name}"
        with storage_faults(f"{self.root}/{name}", "write"):
            if local_path(self.root) is None:
                with file.open("rb") as here, filesystem.open_output_stream(target) as remote:
                    shutil.copyfileobj(here, remote, _READ_BYTES)
                return
            partial = Path(f"{target}.{os.getpid()}")
            shutil.copyfile(file, partial)
            with partial.open("rb") as written:
                os.fsync(written.fileno())
            partial.replace(target)


def _stream_file(stream: str) -> str:
    return f"{_LAYERS}/{stream}/{STREAM_FILE}"


def _file_name(part: int) -> str:
    return f"part-{part:05d}.lmdb"
