"""The store that needs no server: a folder with one LMDB file for each part of a layer.

Files are written in a scratch folder, in the order of their keys, then put into place; after that
they never change, so readers map them into memory and need no lock. The pointer is a file of JSON
that is replaced in one step. On an object store the same files are fetched once and mapped here.
"""

from __future__ import annotations

import os
import shutil
import threading
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from batchinfer.config.uris import local_path
from batchinfer.errors import StorageError
from batchinfer.json_values import to_json
from batchinfer.lake.table_places import open_filesystem, storage_faults
from batchinfer.lookups.stores.generation import (
    Generation,
    Layer,
    LayerPart,
    Pointer,
    read_pointer,
)
from batchinfer.lookups.stores.online_store import Room, Rows, part_of
from batchinfer.lookups.stores.stored_rows import row_checksum

if TYPE_CHECKING:
    import lmdb

POINTER_FILE, _LAYERS = "pointer.json", "layers"
# Address space for one file that is being written, not memory; it grows by this where it is full.
_MAP_BYTES = 1 << 30
_READ_BYTES = 1 << 20
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
        filesystem, root = open_filesystem(self.root)
        with storage_faults(self.root, "read the pointer"):
            try:
                with filesystem.open_input_stream(f"{root}/{POINTER_FILE}") as file:
                    text = file.read().decode()
            except FileNotFoundError:
                return None
        return read_pointer(text, f"{self.root}/{POINTER_FILE}")

    def begin(self, layer: str, parts: int) -> None:
        filesystem, root = open_filesystem(self.root)
        with storage_faults(self.root, "make the folder of a layer"):
            filesystem.create_dir(f"{root}/{_LAYERS}/{layer}", recursive=True)

    def write_part(self, layer: str, part: int, rows: Iterable[Rows]) -> LayerPart:
        with TemporaryDirectory(prefix="batchinfer-store-") as folder:
            file = Path(folder) / "part"
            count, checksum, size = _write_file(file, rows)
            digest = _file_digest(file)
            self._put(file, f"{_LAYERS}/{layer}/{_file_name(part)}")
        return LayerPart(part, count, checksum, size, digest)

    def finish(self, layer: Layer) -> None:
        for part in layer.parts:
            env = self._map(layer.name, part)
            entries = 0 if env is None else env.stat()["entries"]
            if entries != part.rows:
                raise StorageError(
                    f"{self._part_place(layer.name, part)}: {entries:,} rows are there, "
                    f"{part.rows:,} were written"
                )

    def switch(self, new: Pointer, expected: Pointer | None) -> None:
        # Whoever loads holds the lease of the store, so nobody comes between the two.
        if self.pointer() != expected:
            raise StorageError(f"{self.root}: another load has set the pointer meanwhile")
        with TemporaryDirectory(prefix="batchinfer-store-") as folder:
            file = Path(folder) / POINTER_FILE
            file.write_text(to_json(new))
            self._put(file, POINTER_FILE)

    def read(self, generation: Generation, keys: Sequence[bytes]) -> list[bytes | None]:
        found: list[bytes | None] = [None] * len(keys)
        for place, key in enumerate(keys):
            for layer in generation.layers:
                envs = self._open.get(layer.name) or self._open_layer(layer)
                env = envs[part_of(key, len(envs)) if len(envs) > 1 else 0]
                if env is None:
                    continue
                with env.begin() as transaction:
                    value = transaction.get(key)
                if value is not None:
                    found[place] = value or None
                    break
        return found

    def scan(self, layer: Layer) -> Iterator[tuple[bytes, bytes]]:
        for env in self._open.get(layer.name) or self._open_layer(layer):
            if env is None:
                continue
            with env.begin() as transaction, transaction.cursor() as cursor:
                yield from cursor

    def layers(self) -> frozenset[str]:
        from pyarrow.fs import FileSelector

        filesystem, root = open_filesystem(self.root)
        with storage_faults(self.root, "list the layers"):
            found = filesystem.get_file_info(
                FileSelector(f"{root}/{_LAYERS}", allow_not_found=True)
            )
        return frozenset(entry.base_name for entry in found)

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
        import lmdb

        if not part.digest:
            return None
        file = self._local_file(layer, part)
        place = self._part_place(layer, part)
        with _mapping:
            env = _mapped.get((str(file), part.digest))
            if env is not None:
                return env
            try:
                # A damaged file would end the process when it is read, so it is never mapped.
                if (digest := _file_digest(file)) != part.digest:
                    raise StorageError(
                        f"{place}: damaged: its checksum is {digest}, {part.digest} was written",
                        "load the table anew, with --full",
                    )
                env = lmdb.open(str(file), subdir=False, readonly=True, lock=False, readahead=False)
            except (OSError, lmdb.Error) as error:
                if isinstance(error, StorageError):
                    raise
                raise StorageError(f"{place}: cannot be read: {error}") from error
            _mapped[str(file), part.digest] = env
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


def _file_name(part: int) -> str:
    return f"part-{part:05d}.lmdb"


def _write_file(file: Path, rows: Iterable[Rows]) -> tuple[int, int, int]:
    """Rows, their checksum and their bytes, of a file that is made of them."""
    import lmdb

    count = checksum = size = 0
    env = lmdb.open(
        str(file), subdir=False, map_size=_MAP_BYTES, lock=False, sync=False, metasync=False
    )
    try:
        for keys, values in rows:
            pairs = list(zip(keys, values, strict=True))
            _put_batch(env, pairs)
            count += len(pairs)
            checksum += sum(row_checksum(key, value) for key, value in pairs)
            size += sum(map(len, keys)) + sum(map(len, values))
        env.sync(True)
    except lmdb.Error as error:
        raise StorageError(f"{file}: cannot be written: {error}") from error
    finally:
        env.close()
    return count, checksum & 0xFFFF_FFFF_FFFF_FFFF, size


def _put_batch(env: lmdb.Environment, pairs: Sequence[tuple[bytes, bytes]]) -> None:
    import lmdb

    while True:
        try:
            with env.begin(write=True) as transaction, transaction.cursor() as cursor:
                _, added = cursor.putmulti(pairs, append=True)
        except lmdb.MapFullError:
            env.set_mapsize(env.info()["map_size"] + _MAP_BYTES)
            continue
        if added != len(pairs):
            raise StorageError(f"{env.path()}: keys come twice, or are not in order")
        return


def _file_digest(file: Path) -> str:
    checksum = 0
    with file.open("rb") as opened:
        while block := opened.read(_READ_BYTES):
            checksum = zlib.crc32(block, checksum)
    return f"{file.stat().st_size}-{checksum:08x}"
