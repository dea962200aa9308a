"""The store on a server of Redis or Valkey, or on a cluster of them.

A row is a string of its own, `pred:<table>:<layer>:<key>`, so that anybody can GET it, and a
cluster spreads them over its slots. Which keys a layer has is kept beside them, compressed, and is
written before the rows are: so a layer is counted and taken away without a look at anything else
that the server holds. One set has the names of layers and of the parts that were begun; one string
is the pointer, which never expires: where `ttl_s` is over, it names rows that are no longer there,
and readers find none. Streamed rows are a layer, too; its parts are commits, and a script of the
server keeps the newer of two rows, a key at a time, as a cluster wants it.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from redis.exceptions import NoPermissionError, RedisError

from batchinfer.errors import DamagedStore, StorageError
from batchinfer.json_values import to_json
from batchinfer.lookups.stores.generation import (
    Generation,
    Layer,
    LayerPart,
    Pointer,
    read_pointer,
    succeeding,
)
from batchinfer.lookups.stores.online_store import Room, Rows, StreamedRow
from batchinfer.lookups.stores.redis_commands import (
    SET_POINTER,
    newer_commands,
    remove_commands,
    set_commands,
)
from batchinfer.lookups.stores.redis_keys import packed_keys, unpacked_keys, write_pieces
from batchinfer.lookups.stores.redis_memory import check_memory, memory_of_rows
from batchinfer.lookups.stores.redis_pipe import RedisPipe, open_redis
from batchinfer.lookups.stores.redis_reads import RedisReads
from batchinfer.lookups.stores.store_addresses import shown_address
from batchinfer.lookups.stores.stored_rows import row_checksum
from batchinfer.lookups.stores.streamed_rows import (
    STAMP_BYTES,
    commit_of,
    newest_rows,
    pointer_below,
    swap_pointer,
)

# One MGET holds the server for milliseconds.
_READ_KEYS = 5_000


@dataclass
class RedisStore:
    """Rows as strings of a server.

    Attributes:
        url: with user and password.
        table: whose rows these are.
        ttl_s: seconds after which a row expires; None: never.
    """

    url: str = field(repr=False)
    table: str
    ttl_s: int | None = None
    kind: str = "redis"
    sorted_parts: bool = False
    finds_parts: bool = False
    _opened: Any = field(default=None, repr=False)
    _is_cluster: bool = field(default=False, repr=False)
    _lock: Any = field(default_factory=threading.Lock, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return {"url": self.url, "table": self.table, "ttl_s": self.ttl_s}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)

    @property
    def place(self) -> str:
        return shown_address(self.url)

    def pointer(self) -> Pointer | None:
        with self._faults("read the pointer"):
            text = self._client().get(self._name("pointer"))
        return None if text is None else self._parsed(text)

    def begin(self, layer: str, parts: int) -> None:
        with self._faults("begin a layer"):
            self._client().sadd(self._name("layers"), layer)

    def write_part(self, layer: str, part: int, rows: Iterable[Rows]) -> LayerPart:
        count = checksum = size = 0
        prefix, listed = self._prefix(layer), self._part_name(layer, part)
        attempt, written = uuid.uuid4().hex[:8], 0
        with self._faults("write a part"), self._pipe() as pipe:
            client = self._client()
            client.sadd(self._name("layers"), f"{layer}#{part}")
            for keys, values in rows:
                for some, own in write_pieces(keys, values):
                    self._list(listed, f"{attempt}:{written}", some)
                    names = [prefix + key for key in some]
                    pipe.send(names, set_commands(names, own, self.ttl_s))
                    written += 1
                count += len(keys)
                checksum += sum(map(row_checksum, keys, values))
                size += sum(map(len, keys)) + sum(map(len, values))
            pipe.flush()
            self._remove_others(layer, part, attempt, pipe)
        return LayerPart(part, count, checksum & 0xFFFF_FFFF_FFFF_FFFF, size)

    def finish(self, layer: Layer) -> None:
        """The server is asked for each key of the layer's lists, so rows that it has evicted, or
        that were lost when it failed over, are noticed; their values are not read. Rows that
        somebody else has put between them are not noticed.
        """
        told = {part.number: part.rows for part in layer.parts}
        with self._faults("count a layer"):
            found = set(self._parts(layer.name))
            for part in sorted(found | {number for number, rows in told.items() if rows}):
                there = self._count(layer.name, part)
                if there != told.get(part, 0):
                    raise DamagedStore(
                        f"{self.place}: layer {layer.name}, part {part}: {there:,} rows are "
                        f"there, {told.get(part, 0):,} were written"
                    )

    def switch(self, new: Pointer, expected: Pointer | None) -> None:
        if not self._swap(lambda now: succeeding(new, expected, now)):
            # An answer may have been lost on its way.
            now = self.pointer()
            if now is None or now.bare() != new.bare():
                raise StorageError(f"{self.place}: another load has set the pointer meanwhile")

    def _swap(self, change: Callable[[Pointer | None], Pointer | None]) -> bool:
        name = self._name("pointer")

        def put(new: Pointer, old: bytes | None) -> bool:
            given = old or b"", to_json(new).encode()
            return bool(self._client().eval(SET_POINTER, 1, name, *given))

        with self._faults("set the pointer"):
            return swap_pointer(lambda: self._client().get(name), self._parsed, put, change)

    def _parsed(self, text: bytes) -> Pointer:
        return read_pointer(text, f"{self.place}, {self._name('pointer')}")

    def upsert(self, commit: int, rows: Iterable[Rows]) -> int:
        pointer = pointer_below(self, commit)
        if pointer is None:
            return 0
        stream = pointer.current.stream
        with self._faults("write streamed rows"):
            if not pointer.current.streamed:
                self._client().sadd(self._name("layers"), stream)
                self._swap(lambda now: now and now.with_stream())
            return self._put_newer(stream, commit, rows)

    def _put_newer(self, stream: str, commit: int, rows: Iterable[Rows]) -> int:
        prefix, listed = self._prefix(stream), self._part_name(stream, commit)
        # Keys are listed by commit, so those that a generation has overtaken are found by it.
        registered = self._name("layers"), f"{stream}#{commit}"
        attempt, written, client = uuid.uuid4().hex[:8], 0, self._client()
        with self._pipe() as pipe:
            client.sadd(*registered)
            for keys, values in rows:
                for some, own in write_pieces(keys, values):
                    self._list(listed, f"{attempt}:{written}", some)
                    written += 1
                    names = [prefix + key for key in some]
                    pipe.send(names, newer_commands(names, own, commit, self.ttl_s))
            pipe.flush()
            # A sweep may have taken its name away between the first row and the last.
            client.sadd(*registered)
            return pipe.ones

    def streamed(self, generation: Generation) -> Iterator[StreamedRow]:
        seen = set[bytes]()
        for commit in self._parts(generation.stream) if generation.streamed else ():
            for listed in self._keys(generation.stream, commit):
                keys = [key for key in listed if key not in seen]
                seen.update(keys)
                with self._faults("read streamed rows"):
                    values = self._values([self._prefix(generation.stream) + key for key in keys])
                for key, value in zip(keys, values, strict=True):
                    if value is not None:
                        yield key, commit_of(value), value[STAMP_BYTES:]

    def sweep_streamed(self) -> None:
        pointer = self.pointer()
        if pointer is None or not pointer.current.streamed:
            return
        stream = pointer.current.stream
        for commit in self._parts(stream):
            if commit > pointer.floor:
                return
            listed = self._part_name(stream, commit)
            with self._faults("remove streamed rows"), self._pipe() as pipe:
                client = self._client()
                swept = client.hkeys(listed)
                for keys in self._keys(stream, commit):
                    names = [self._prefix(stream) + key for key in keys]
                    pipe.send(names, remove_commands(names, pointer.floor))
                pipe.flush()
                # A writer that is late may have listed more meanwhile: the next sweep is theirs.
                if swept:
                    client.hdel(listed, *swept)
                if not client.exists(listed):
                    client.srem(self._name("layers"), f"{stream}#{commit}")

    def read(self, generation: Generation, keys: Sequence[bytes]) -> list[bytes | None]:
        if not generation.seen or not keys:
            return [None] * len(keys)
        step = max(1, _READ_KEYS // len(generation.seen))
        found: list[bytes | None] = []
        with self._faults("read rows"):
            for start in range(0, len(keys), step):
                some = keys[start : start + step]
                values = self._values(self._row_names(generation, some))
                found += newest_rows(generation, values, len(some))
        return found

    def loop_reads(self) -> RedisReads | None:
        """None of a cluster, whose nodes threads ask."""
        self._client()
        return None if self._is_cluster else RedisReads(self.url, self._row_names, self._faults)

    def scan(self, layer: Layer) -> Iterator[tuple[bytes, bytes]]:
        prefix = self._prefix(layer.name)
        for part in self._parts(layer.name):
            for keys in self._keys(layer.name, part):
                with self._faults("read a layer"):
                    values = self._values([prefix + key for key in keys])
                for key, value in zip(keys, values, strict=True):
                    if value is not None:
                        yield key, value

    def layers(self) -> frozenset[str]:
        return frozenset(name.partition("#")[0] for name in self._registered())

    def drop(self, layers: Collection[str]) -> None:
        for layer in layers:
            for part in self._parts(layer):
                with self._faults("remove a layer"), self._pipe() as pipe:
                    for keys in self._keys(layer, part):
                        self._unlink(layer, keys, pipe)
                    pipe.flush()
                    self._client().unlink(self._part_name(layer, part))
                    self._client().srem(self._name("layers"), f"{layer}#{part}")
            with self._faults("remove a layer"):
                self._client().srem(self._name("layers"), layer)

    def close(self) -> None:
        with self._lock:
            if self._opened is not None:
                self._opened.close()
            self._opened = None

    def memory_needed(self, rows: int, size: int) -> int:
        """Bytes of memory that a layer takes on the server, within some 15 percent.

        Args:
            size: bytes of its keys and values.
        """
        name = len(self._prefix("20261121T021500-1f2e3d4c"))
        return memory_of_rows(rows, size, name, expires=self.ttl_s is not None)

    def check_room(self, rows: int, row_bytes: Callable[[], float]) -> Room:
        with self._faults("read how much memory there is"):
            try:
                nodes = self._memory()
            except NoPermissionError as error:
                told = f"{self.place}: how much memory there is cannot be read: {error}"
                return Room(warnings=(told,))
        needed = self.memory_needed(rows, int(rows * row_bytes()))
        warned = check_memory(nodes, needed, self.place, expires=self.ttl_s is not None)
        return Room(needed, warned)

    def _memory(self) -> list[dict[str, Any]]:
        """What each server says of its memory."""
        client = self._client()
        if not self._is_cluster:
            return [client.info("memory")]
        return list(client.info("memory", target_nodes=client.PRIMARIES).values())

    def _client(self) -> Any:
        with self._lock:
            if self._opened is None:
                self._opened, self._is_cluster = open_redis(self.url)
            return self._opened

    def _pipe(self) -> RedisPipe:
        return RedisPipe(self._client(), self._is_cluster)

    @contextmanager
    def _faults(self, what: str) -> Generator[None]:
        try:
            yield
        except StorageError:
            raise
        except (RedisError, OSError) as error:
            words = str(error) or type(error).__name__
            raise StorageError(f"{self.place}: cannot {what}: {words}", _hint(words)) from None

    def _name(self, what: str) -> str:
        return f"pred:{self.table}:{what}"

    def _prefix(self, layer: str) -> bytes:
        return f"pred:{self.table}:{layer}:".encode()

    def _row_names(self, generation: Generation, keys: Sequence[bytes]) -> list[bytes]:
        """Of each layer, newest first, those of all keys."""
        prefixes = [self._prefix(layer.name) for layer in generation.seen]
        return [prefix + key for prefix in prefixes for key in keys]

    def _part_name(self, layer: str, part: int) -> str:
        return f"pred:{self.table}:{layer}#{part}"

    def _list(self, listed: str, name: str, keys: Sequence[bytes]) -> None:
        """Lists keys, before their rows are written: one that no list has would stay for ever."""
        self._client().hset(listed, name, packed_keys(keys))
        if self.ttl_s is not None:
            self._client().expire(listed, self.ttl_s)

    def _values(self, names: list[bytes]) -> list[bytes | None]:
        client = self._client()
        return client.mget_nonatomic(names) if self._is_cluster else client.mget(names)

    def _registered(self) -> list[str]:
        with self._faults("list the layers"):
            return [name.decode() for name in self._client().smembers(self._name("layers"))]

    def _parts(self, layer: str) -> list[int]:
        begun = (name.partition("#") for name in self._registered())
        return sorted(int(part) for name, _, part in begun if name == layer and part)

    def _keys(
        self, layer: str, part: int, attempt: str = "", other: bool = False
    ) -> Iterator[list[bytes]]:
        """Keys of a part, as its lists have them; where it was tried more than once, each once.

        Args:
            attempt: only of lists of this try; empty: of all.
            other: only of the lists of all other tries.
        """
        listed = self._part_name(layer, part)
        with self._faults("read which keys a layer has"):
            names = sorted(self._client().hkeys(listed))
        wanted = [
            name
            for name in names
            if not attempt or (name.split(b":")[0] == attempt.encode()) is not other
        ]
        tries = {name.split(b":")[0] for name in wanted}
        seen = set[bytes]()
        for name in wanted:
            with self._faults("read which keys a layer has"):
                packed = self._client().hget(listed, name)
            keys = [] if packed is None else unpacked_keys(packed)
            if len(tries) > 1:
                keys = [key for key in keys if key not in seen]
                seen.update(keys)
            yield keys

    def _remove_others(self, layer: str, part: int, attempt: str, pipe: RedisPipe) -> None:
        """Rows that another try of the part has written, and this one has not."""
        own: set[bytes] | None = None
        for keys in self._keys(layer, part, attempt, other=True):
            if own is None:
                own = {key for some in self._keys(layer, part, attempt) for key in some}
            self._unlink(layer, [key for key in keys if key not in own], pipe)
        pipe.flush()

    def _unlink(self, layer: str, keys: Sequence[bytes], pipe: RedisPipe) -> None:
        self._each(b"UNLINK", layer, keys, pipe)

    def _count(self, layer: str, part: int) -> int:
        with self._pipe() as pipe:
            for keys in self._keys(layer, part):
                self._each(b"EXISTS", layer, keys, pipe)
            pipe.flush()
            return pipe.ones

    def _each(self, command: bytes, layer: str, keys: Sequence[bytes], pipe: RedisPipe) -> None:
        head, prefix = b"*2\r\n$%d\r\n%b\r\n" % (len(command), command), self._prefix(layer)
        names = [prefix + key for key in keys]
        pipe.send(names, [b"%b$%d\r\n%b\r\n" % (head, len(name), name) for name in names])


def _hint(words: str) -> str | None:
    if "OOM" in words or "maxmemory" in words:
        return "the server's memory is full: raise its maxmemory; readers see what they saw"
    if "WRONGPASS" in words or "NOAUTH" in words or "invalid username-password" in words:
        return "check user and password in the variable that load.url_env names"
    return None
