"""The store on a server of Redis or Valkey, or on a cluster of them.

A row is a string of its own, `pred:<table>:<layer>:<key>`, so that anybody can GET it, and a
cluster spreads them over its slots. Which keys a layer has is kept beside them, compressed, and is
written before the rows are: so a layer is counted and taken away without a look at anything else
that the server holds. One set has the names of layers and of the parts that were begun; one string
is the pointer, which never expires: where `ttl_s` is over, it names rows that are no longer there,
and readers find none.
"""

from __future__ import annotations

import threading
import uuid
import zlib
from array import array
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from redis.exceptions import NoPermissionError, RedisError

from batchinfer.errors import StorageError
from batchinfer.json_values import to_json
from batchinfer.lookups.stores.generation import (
    Generation,
    Layer,
    LayerPart,
    Pointer,
    read_pointer,
)
from batchinfer.lookups.stores.online_store import Room, Rows, newest_first
from batchinfer.lookups.stores.redis_memory import check_memory, memory_of_rows
from batchinfer.lookups.stores.redis_pipe import RedisPipe, open_redis
from batchinfer.lookups.stores.redis_reads import RedisReads
from batchinfer.lookups.stores.store_addresses import shown_address
from batchinfer.lookups.stores.stored_rows import row_checksum

# Of one write: so many rows, or so many bytes.
_WRITE_ROWS, _WRITE_BYTES = 10_000, 4 << 20
# One MGET holds the server for milliseconds.
_READ_KEYS = 5_000
_SET_POINTER = """
local now = redis.call('GET', KEYS[1])
if (now or '') == ARGV[1] then redis.call('SET', KEYS[1], ARGV[2]) return 1 end
return 0
"""


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
        return None if text is None else read_pointer(text.decode(), self._pointer_place)

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
                for some, own in _pieces(keys, values):
                    # Before the rows: a row that no list has would stay for ever.
                    client.hset(listed, f"{attempt}:{written}", _packed(some))
                    if self.ttl_s is not None:
                        client.expire(listed, self.ttl_s)
                    names = [prefix + key for key in some]
                    pipe.send(names, self._set_commands(names, own))
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
                    raise StorageError(
                        f"{self.place}: layer {layer.name}, part {part}: {there:,} rows are "
                        f"there, {told.get(part, 0):,} were written"
                    )

    def switch(self, new: Pointer, expected: Pointer | None) -> None:
        name = self._name("pointer")
        with self._faults("set the pointer"):
            text = self._client().get(name)
            now = None if text is None else read_pointer(text.decode(), self._pointer_place)
            if now == expected and self._client().eval(
                _SET_POINTER, 1, name, text or b"", to_json(new).encode()
            ):
                return
            # An answer may have been lost on its way.
            if self.pointer() == new:
                return
        raise StorageError(f"{self.place}: another load has set the pointer meanwhile")

    def read(self, generation: Generation, keys: Sequence[bytes]) -> list[bytes | None]:
        if not generation.layers or not keys:
            return [None] * len(keys)
        step = max(1, _READ_KEYS // len(generation.layers))
        found: list[bytes | None] = []
        with self._faults("read rows"):
            for start in range(0, len(keys), step):
                some = keys[start : start + step]
                values = self._values(self._row_names(generation, some))
                found += newest_first(
                    values[at : at + len(some)] for at in range(0, len(values), len(some))
                )
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

    @property
    def _pointer_place(self) -> str:
        return f"{self.place}, {self._name('pointer')}"

    def _name(self, what: str) -> str:
        return f"pred:{self.table}:{what}"

    def _prefix(self, layer: str) -> bytes:
        return f"pred:{self.table}:{layer}:".encode()

    def _row_names(self, generation: Generation, keys: Sequence[bytes]) -> list[bytes]:
        """Of each layer, newest first, those of all keys."""
        prefixes = [self._prefix(layer.name) for layer in generation.layers]
        return [prefix + key for prefix in prefixes for key in keys]

    def _part_name(self, layer: str, part: int) -> str:
        return f"pred:{self.table}:{layer}#{part}"

    def _set_commands(self, names: Sequence[bytes], values: Sequence[bytes]) -> list[bytes]:
        if self.ttl_s is None:
            return [
                b"*3\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n"
                % (len(name), name, len(value), value)
                for name, value in zip(names, values, strict=True)
            ]
        ttl = str(self.ttl_s).encode()
        end = b"$2\r\nEX\r\n$%d\r\n%b\r\n" % (len(ttl), ttl)
        return [
            b"*5\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n%b"
            % (len(name), name, len(value), value, end)
            for name, value in zip(names, values, strict=True)
        ]

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
            keys = [] if packed is None else _unpacked(packed)
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


def _pieces(
    keys: Sequence[bytes], values: Sequence[bytes]
) -> Iterator[tuple[Sequence[bytes], Sequence[bytes]]]:
    """Rows in writes of bounded size."""
    size = sum(map(len, values)) // max(len(values), 1) + 1
    step = max(1, min(_WRITE_ROWS, _WRITE_BYTES // size))
    for start in range(0, len(keys), step):
        yield keys[start : start + step], values[start : start + step]


def _packed(keys: Sequence[bytes]) -> bytes:
    lengths = array("I", map(len, keys))
    return zlib.compress(array("I", [len(keys)]).tobytes() + lengths.tobytes() + b"".join(keys), 1)


def _unpacked(packed: bytes) -> list[bytes]:
    told, numbers = zlib.decompress(packed), array("I")
    [count] = array("I", told[: numbers.itemsize])
    at = numbers.itemsize * (count + 1)
    keys = list[bytes]()
    for length in array("I", told[numbers.itemsize : at]):
        keys.append(told[at : at + length])
        at += length
    return keys
