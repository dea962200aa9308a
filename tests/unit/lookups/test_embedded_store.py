"""The store of files: layers, the pointer, damage."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from batchinfer.errors import StorageError
from batchinfer.lookups.stores.embedded_store import EmbeddedStore
from batchinfer.lookups.stores.generation import Generation, Layer, Pointer
from batchinfer.lookups.stores.online_store import part_of
from batchinfer.lookups.stores.stored_rows import GONE


def write(store: EmbeddedStore, name: str, rows: dict[bytes, bytes], parts: int = 2) -> Layer:
    store.begin(name, parts)
    written = []
    for number in range(parts):
        own = sorted((k, v) for k, v in rows.items() if part_of(k, parts) == number)
        batches = [([key], [value]) for key, value in own]
        written.append(store.write_part(name, number, batches))
    layer = Layer(name, tuple(written))
    store.finish(layer)
    return layer


def generation(name: str, *layers: Layer) -> Generation:
    rows = sum(layer.rows for layer in layers)
    return Generation(
        name, layers, "t", 1, "d", None, rows, ("k",), "", "2026-11-21T00:00:00+00:00"
    )


ROWS = {b"a": b"1", b"b": b"2", b"c": b"3", b"\xff{x}*": b"4", b"7": b"5", b"8": b"6"}


@pytest.fixture
def store(tmp_path: Path) -> EmbeddedStore:
    return EmbeddedStore(str(tmp_path / "online"))


def test_what_was_written_is_read_by_key(store: EmbeddedStore) -> None:
    layer = write(store, "1", ROWS)
    assert all(part.rows for part in layer.parts), "both parts have rows"
    found = store.read(generation("g", layer), [*ROWS, b"absent"])
    assert found == [*ROWS.values(), None]
    assert dict(store.scan(layer)) == ROWS


def test_a_newer_layer_hides_the_one_below_and_takes_rows_away(store: EmbeddedStore) -> None:
    below = write(store, "1", ROWS)
    above = write(store, "2", {b"a": b"new", b"b": GONE}, parts=1)
    both = generation("g", above, below)
    assert store.read(both, [b"a", b"b", b"c"]) == [b"new", None, b"3"]
    assert store.read(generation("f", below), [b"a", b"b"]) == [b"1", b"2"]


def test_the_pointer_is_set_only_by_who_knows_the_present_one(store: EmbeddedStore) -> None:
    assert store.pointer() is None
    first = Pointer(generation("1", write(store, "1", ROWS)))
    store.switch(first, None)
    assert store.pointer() == first
    second = Pointer(generation("2"), first.current)
    with pytest.raises(StorageError, match="another load"):
        store.switch(second, None)
    assert store.pointer() == first
    store.switch(second, first)
    assert store.pointer() == second


def test_a_second_try_of_a_part_leaves_the_same_rows(store: EmbeddedStore) -> None:
    store.begin("1", 1)
    store.write_part("1", 0, [([b"z"], [b"left of a task that died"])])
    layer = Layer("1", (store.write_part("1", 0, [([b"a"], [b"1"])]),))
    store.finish(layer)
    assert dict(store.scan(layer)) == {b"a": b"1"}


def test_rows_that_are_missing_are_told_before_anybody_reads_them(store: EmbeddedStore) -> None:
    layer = write(store, "1", ROWS)
    part = dataclasses.replace(layer.parts[0], rows=layer.parts[0].rows + 1)
    with pytest.raises(
        StorageError, match=f"{part.rows - 1} rows are there, {part.rows} were written"
    ):
        store.finish(dataclasses.replace(layer, parts=(part, layer.parts[1])))


def test_keys_that_come_twice_are_refused(store: EmbeddedStore) -> None:
    store.begin("1", 1)
    with pytest.raises(StorageError, match="come twice, or are not in order"):
        store.write_part("1", 0, [([b"a", b"a"], [b"1", b"2"])])


def test_a_damaged_file_is_never_mapped(store: EmbeddedStore) -> None:
    layer = write(store, "1", ROWS, parts=1)
    file = next(Path(store.root).rglob("*.lmdb"))
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(StorageError, match="damaged: its checksum") as told:
        store.read(generation("g", layer), [b"a"])
    assert "--full" in str(told.value.hint)


def test_a_damaged_pointer_names_its_file(store: EmbeddedStore) -> None:
    store.switch(Pointer(generation("1", write(store, "1", ROWS))), None)
    (Path(store.root) / "pointer.json").write_text("{")
    with pytest.raises(StorageError, match=r"pointer\.json: damaged") as told:
        store.pointer()
    assert told.value.hint == "load the table anew, with --full"
    # Only who expects none may replace it.
    anew = Pointer(generation("2"))
    with pytest.raises(StorageError, match="another load"):
        store.switch(anew, Pointer(generation("1")))
    store.switch(anew, None)
    assert store.pointer() == anew


def test_layers_are_listed_and_dropped_one_by_one(store: EmbeddedStore) -> None:
    assert store.layers() == frozenset()
    write(store, "1", ROWS)
    kept = write(store, "2", ROWS)
    assert store.layers() == {"1", "2"}
    store.drop(["1", "never there"])
    assert store.layers() == {"2"}
    assert store.read(generation("g", kept), [b"a"]) == [b"1"]


def test_a_file_grows_past_the_room_it_was_given(
    store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchinfer.lookups.stores.lmdb_files._MAP_BYTES", 1 << 16)
    rows = {f"{number:05d}".encode(): b"x" * 500 for number in range(1_000)}
    layer = write(store, "1", rows, parts=1)
    assert dict(store.scan(layer)) == rows


def test_a_layer_without_rows_can_be_read(store: EmbeddedStore) -> None:
    layer = write(store, "1", {})
    assert store.read(generation("g", layer), [b"a"]) == [None]


def test_two_stores_of_one_process_read_the_same_file(store: EmbeddedStore) -> None:
    layer = write(store, "1", ROWS)
    other = EmbeddedStore(store.root)
    assert store.read(generation("g", layer), [b"a"]) == [b"1"]
    assert other.read(generation("g", layer), [b"a"]) == [b"1"]
    store.close()
    assert other.read(generation("g", layer), [b"a"]) == [b"1"], "it still has the file"
