"""The store in a table of DynamoDB.

A layer is spread over shards, `pk` = `<table>#<layer>#<shard>`, so that no partition takes all the
writes, and a query of each shard lists it; `sk` is the key. The row is one text, `v`: the JSON that
a lookup tells. So its numbers are exact, and those that are none (NaN) are told by name, where
DynamoDB's own have 38 digits, no NaN, and no double below 1e-130. Names of layers and the pointer
are items of `pk` = `<table>`. A streamed row has its commit as the number `c`, by which the service
keeps the newer of two.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

from batchinfer.errors import DamagedStore, StorageError
from batchinfer.json_values import to_json
from batchinfer.lookups.stores.dynamodb_table import (
    READ_S,
    WRITTEN_ITEMS,
    DynamoTable,
    Item,
    batches_of,
    item_key,
)
from batchinfer.lookups.stores.generation import (
    Generation,
    Layer,
    LayerPart,
    Pointer,
    read_pointer,
    succeeding,
)
from batchinfer.lookups.stores.online_store import Room, Rows, StreamedRow, newest_first
from batchinfer.lookups.stores.stored_rows import row_checksum
from batchinfer.lookups.stores.streamed_rows import pointer_below, swap_pointer

# Threads of one task: a request takes milliseconds, most of them on its way.
_SHARDS, _THREADS = 64, 8
# DynamoDB's limit, and the most bytes that a number takes.
_ITEM_BYTES, _NUMBER_BYTES = 400 * 1024, 21


@dataclass
class DynamoStore:
    """Rows as items of a table.

    Attributes:
        name: of DynamoDB's table; `begin` makes it where it is not there, paid by request.
        table: whose rows these are.
        region, endpoint: where it is; None: as the machine's settings say.
        ttl_s: seconds after which DynamoDB may remove a row, by the attribute `ttl`; it does so
            within days, and readers may see the row until then.
    """

    name: str
    table: str
    region: str | None = None
    endpoint: str | None = field(default=None, repr=False)
    ttl_s: int | None = None
    kind: str = "dynamodb"
    sorted_parts: bool = False
    finds_parts: bool = False

    def __getstate__(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "table": self.table,
            "region": self.region,
            "endpoint": self.endpoint,
            "ttl_s": self.ttl_s,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)

    @cached_property
    def _items(self) -> DynamoTable:
        return DynamoTable(self.name, self.region, self.endpoint)

    @property
    def place(self) -> str:
        return self._items.place

    def pointer(self) -> Pointer | None:
        packed = self._packed_pointer()
        return None if packed is None else self._unpacked(packed)

    def begin(self, layer: str, parts: int) -> None:
        self._items.make("ttl" if self.ttl_s is not None else None)
        with self._items.faults("begin a layer"):
            self._items.ask("put_item", Item=item_key(self.table, f"layer={layer}"))

    def write_part(self, layer: str, part: int, rows: Iterable[Rows]) -> LayerPart:
        count = checksum = size = 0
        with self._items.faults("write a part"), ThreadPoolExecutor(_THREADS) as threads:
            for keys, values in rows:
                puts = [
                    {"PutRequest": {"Item": self._row(layer, key, value)}}
                    for key, value in zip(keys, values, strict=True)
                ]
                # One batch of rows at a time is in memory; the first error ends it.
                list(threads.map(self._items.write, batches_of(puts, WRITTEN_ITEMS)))
                count += len(keys)
                checksum += sum(map(row_checksum, keys, values))
                size += sum(map(len, keys)) + sum(map(len, values))
        return LayerPart(part, count, checksum & 0xFFFF_FFFF_FFFF_FFFF, size)

    def finish(self, layer: Layer) -> None:
        with ThreadPoolExecutor(_THREADS) as threads:
            there = sum(threads.map(partial(self._count, layer.name), range(_SHARDS)))
        if there != layer.rows:
            raise DamagedStore(
                f"{self.place}: layer {layer.name}: {there:,} rows are there, {layer.rows:,} "
                "were written"
            )

    def switch(self, new: Pointer, expected: Pointer | None) -> None:
        if not self._swap(lambda now: succeeding(new, expected, now)):
            # An answer may have been lost on its way.
            now = self.pointer()
            if now is None or now.bare() != new.bare():
                raise StorageError(f"{self.place}: another load has set the pointer meanwhile")

    def _swap(self, change: Callable[[Pointer | None], Pointer | None]) -> bool:
        return swap_pointer(self._packed_pointer, self._unpacked, self._put_pointer, change)

    def upsert(self, commit: int, rows: Iterable[Rows]) -> int:
        pointer = pointer_below(self, commit)
        if pointer is None:
            return 0
        stream, taken = pointer.current.stream, 0
        if not pointer.current.streamed:
            with self._items.faults("begin to stream"):
                self._items.ask("put_item", Item=item_key(self.table, f"layer={stream}"))
            self._swap(lambda now: now and now.with_stream())
        with self._items.faults("write streamed rows"), ThreadPoolExecutor(_THREADS) as threads:
            for keys, values in rows:
                items = [
                    self._row(stream, key, value, commit)
                    for key, value in zip(keys, values, strict=True)
                ]
                taken += sum(threads.map(self._put_newer, items))
        return taken

    def _put_newer(self, item: Item) -> bool:
        """Puts a streamed row where an older one is, or none."""
        given = {":c": item["c"]}
        return self._items.ask_if(
            "put_item", "attribute_not_exists(pk) OR c < :c", given, Item=item
        )

    def streamed(self, generation: Generation) -> Iterator[StreamedRow]:
        for shard in range(_SHARDS if generation.streamed else 0):
            for item in self._items.items(self._shard(generation.stream, shard), "sk, v, c"):
                yield item["sk"]["S"].encode(), int(item["c"]["N"]), item["v"]["S"].encode()

    def sweep_streamed(self) -> None:
        pointer = self.pointer()
        if pointer is None or not pointer.current.streamed:
            return
        sweep = partial(self._sweep_shard, pointer.current.stream, pointer.floor)
        with ThreadPoolExecutor(_THREADS) as threads:
            list(threads.map(sweep, range(_SHARDS)))

    def _sweep_shard(self, stream: str, floor: int, shard: int) -> None:
        given = {":c": {"N": str(floor)}}
        for item in self._items.items(self._shard(stream, shard), "pk, sk, c"):
            if int(item["c"]["N"]) <= floor:
                key = {"pk": item["pk"], "sk": item["sk"]}
                with self._items.faults("remove streamed rows"):
                    self._items.ask_if("delete_item", "c <= :c", given, Key=key)

    def read(self, generation: Generation, keys: Sequence[bytes]) -> list[bytes | None]:
        if not generation.seen or not keys:
            return [None] * len(keys)
        asked = [[self._key(layer.name, key) for key in keys] for layer in generation.seen]
        once = {_address(key): key for layer in asked for key in layer}
        with self._items.faults("read rows"):
            found = {
                _address(item): item["v"]["S"].encode()
                for item in self._items.read(list(once.values()))
                if "c" not in item or int(item["c"]["N"]) > generation.version
            }
        return newest_first([[found.get(_address(key)) for key in layer] for layer in asked])

    def scan(self, layer: Layer) -> Iterator[tuple[bytes, bytes]]:
        for shard in range(_SHARDS):
            for item in self._items.items(self._shard(layer.name, shard), "sk, v"):
                yield item["sk"]["S"].encode(), item["v"]["S"].encode()

    def layers(self) -> frozenset[str]:
        found = (item["sk"]["S"].partition("=") for item in self._items.items(self.table, "sk"))
        return frozenset(name for what, _, name in found if what == "layer")

    def drop(self, layers: Collection[str]) -> None:
        for layer in layers:
            with ThreadPoolExecutor(_THREADS) as threads:
                list(threads.map(partial(self._drop_shard, layer), range(_SHARDS)))
            with self._items.faults("remove a layer"):
                self._items.ask("delete_item", Key=item_key(self.table, f"layer={layer}"))

    def close(self) -> None:
        self._items.close()

    def check_room(self, rows: int, row_bytes: Callable[[], float]) -> Room:
        return Room()

    def _packed_pointer(self) -> bytes | None:
        key = item_key(self.table, "pointer")
        with self._items.faults("read the pointer"):
            try:
                item = self._items.ask("get_item", READ_S, Key=key, ConsistentRead=True).get("Item")
            except self._items.client.exceptions.ResourceNotFoundException:
                return None
        return None if item is None else item["v"]["B"]

    def _unpacked(self, packed: bytes) -> Pointer:
        try:
            text = zlib.decompress(packed).decode()
        except (zlib.error, UnicodeDecodeError) as error:
            text = f"not compressed text: {error}"
        return read_pointer(text, f"{self.place}, {self.table}, pointer")

    def _put_pointer(self, new: Pointer, old: bytes | None) -> bool:
        """Puts the pointer if it still is the old one."""
        condition, given = "attribute_not_exists(pk)", {}
        if old is not None:
            condition, given = "v = :old", {":old": {"B": old}}
        # Compressed: the names of many parts may take more than an item holds.
        packed = zlib.compress(to_json(new).encode())
        item = item_key(self.table, "pointer") | {"v": {"B": packed}}
        with self._items.faults("set the pointer"):
            return self._items.ask_if("put_item", condition, given, Item=item)

    def _shard(self, layer: str, shard: int) -> str:
        return f"{self.table}#{layer}#{shard:02d}"

    def _key(self, layer: str, key: bytes) -> Item:
        return item_key(self._shard(layer, zlib.crc32(key) % _SHARDS), key.decode())

    def _row(self, layer: str, key: bytes, value: bytes, commit: int | None = None) -> Item:
        row = self._key(layer, key) | {"v": {"S": value.decode()}}
        size = len("pkskv") + len(row["pk"]["S"].encode()) + len(key) + len(value)
        if commit is not None:
            row["c"] = {"N": str(commit)}
            size += len("c") + _NUMBER_BYTES
        if self.ttl_s is not None:
            row["ttl"] = {"N": str(int(time.time()) + self.ttl_s)}
            size += len("ttl") + _NUMBER_BYTES
        if size > _ITEM_BYTES:
            after = "nothing was switched" if commit is None else "its batch was not written"
            raise StorageError(
                f"{self.place}: the row of key {key.decode()} takes {size:,} bytes; allowed: "
                f"{_ITEM_BYTES:,}; {after}",
                "publish fewer columns, or shorter texts",
            )
        return row

    def _count(self, layer: str, shard: int) -> int:
        pages = self._items.pages(self._shard(layer, shard), Select="COUNT")
        return sum(page["Count"] for page in pages)

    def _drop_shard(self, layer: str, shard: int) -> None:
        keys = list(self._items.items(self._shard(layer, shard), "pk, sk"))
        for some in batches_of(keys, WRITTEN_ITEMS):
            with self._items.faults("remove a layer"):
                self._items.write([{"DeleteRequest": {"Key": key}} for key in some])


def _address(item: Item) -> tuple[str, str]:
    return item["pk"]["S"], item["sk"]["S"]
