"""What every store promises, on all of them."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from postgres import PASSWORD as DATABASE_PASSWORD
from redis_server import PASSWORD as REDIS_PASSWORD
from stores.conftest import Place, batches, generation, own_rows, write_layer

from batchinfer.errors import StorageError
from batchinfer.lookups.stores.generation import Layer, LayerPart, Pointer
from batchinfer.lookups.stores.online_store import OnlineStore
from batchinfer.lookups.stores.stored_rows import GONE, stored_key, total_checksum

OLD, NEW = "20261130T021500-1f2e3d4c", "20261201T021500-5a6b7c8d"
ROWS = {b"%d" % number: b'{"id":"%d","score":0.5}' % number for number in range(20)}
HOSTILE = [
    stored_key([text])
    for text in (
        "", " ", "a{b}c", "{", "}", "nul\x00nul", "x" * 1_000_000, "x" * 1_000_001, "naïve",
        "nai\u0308ve", "а", "a", "*", "?", "[a-z]", "\\", "a:b", "a#b", "a=b", "'; DROP TABLE x;--",
        '"', "%", "%25", "\r\n$3\r\nfoo\r\n", "\n", "../../etc/passwd", "😀", "a,b", "\u202e",
    )
] + [stored_key(["a", "b"]), stored_key(["a,b", ""])]  # fmt: skip


def finished(store: OnlineStore, name: str, rows: dict[bytes, bytes], parts: int = 2) -> Layer:
    layer = write_layer(store, name, rows, parts)
    store.finish(layer)
    return layer


def test_a_layer_is_written_counted_and_read(place: Place) -> None:
    store = place.open()
    assert isinstance(store, OnlineStore)
    assert store.pointer() is None
    assert store.layers() == frozenset()
    layer = finished(store, OLD, ROWS)
    assert layer.rows == len(ROWS)
    assert sum(part.checksum for part in layer.parts) == total_checksum(ROWS.items())
    assert layer.size == sum(len(key) + len(value) for key, value in ROWS.items())
    asked = [b"7", b"none", b"0", b"7"]
    seen = generation(layer)
    assert store.read(seen, asked) == [ROWS[b"7"], None, ROWS[b"0"], ROWS[b"7"]]
    assert store.read(seen, []) == []
    assert dict(store.scan(layer)) == ROWS
    assert store.layers() == {OLD}
    # Counting is no writing: it may be done twice.
    store.finish(layer)


def test_the_second_try_of_a_part_leaves_the_same_rows(place: Place) -> None:
    store = place.open()
    store.begin(OLD, 1)
    first = store.write_part(OLD, 0, batches(ROWS))
    second = store.write_part(OLD, 0, batches(ROWS, most=7))
    assert replace(first, digest="") == replace(second, digest="")
    layer = Layer(OLD, (second,))
    store.finish(layer)
    assert sorted(store.scan(layer)) == sorted(ROWS.items())


def test_a_try_that_ended_in_the_middle_leaves_nothing_wrong(place: Place) -> None:
    store = place.open()
    store.begin(OLD, 1)

    def breaking():
        yield from batches(dict.fromkeys(list(ROWS)[:9], b"half"))
        raise RuntimeError("the task was lost")

    with pytest.raises(RuntimeError, match="the task was lost"):
        store.write_part(OLD, 0, breaking())
    layer = Layer(OLD, (store.write_part(OLD, 0, batches(ROWS)),))
    store.finish(layer)
    assert dict(store.scan(layer)) == ROWS


@pytest.mark.parametrize("wrong", [-1, 1])
def test_a_layer_that_does_not_add_up_is_not_whole(place: Place, wrong: int) -> None:
    store = place.open()
    layer = write_layer(store, OLD, ROWS)
    first, *rest = layer.parts
    told = Layer(OLD, (replace(first, rows=first.rows + wrong), *rest))
    with pytest.raises(StorageError, match=f"{first.rows if len(rest) else 0}|{layer.rows}"):
        store.finish(told)


def test_a_part_that_no_task_wrote_has_no_rows(place: Place) -> None:
    store = place.open()
    alone = {key: value for key, value in ROWS.items() if own_rows({key: value}, 0, 2)}
    store.begin(OLD, 2)
    layer = Layer(OLD, (store.write_part(OLD, 0, batches(alone)), LayerPart(1, 0, 0, 0)))
    store.finish(layer)
    assert store.read(generation(layer), list(ROWS)) == [alone.get(key) for key in ROWS]
    assert dict(store.scan(layer)) == alone


def test_a_table_without_rows_is_a_layer_without_rows(place: Place) -> None:
    store = place.open()
    store.begin(OLD, 1)
    layer = Layer(OLD, (LayerPart(0, 0, 0, 0),))
    store.finish(layer)
    store.switch(Pointer(generation(layer)), None)
    assert store.read(generation(layer), [b"a"]) == [None]
    assert store.read(generation(), [b"a"]) == [None]
    assert list(store.scan(layer)) == []


def test_the_pointer_goes_from_the_expected_one_only(place: Place) -> None:
    store, other = place.open(), place.open()
    first = Pointer(generation(finished(store, OLD, ROWS)))
    store.switch(first, None)
    assert other.pointer() == first
    second = Pointer(generation(finished(store, NEW, ROWS)), first.current)
    for wrong in (None, second):
        third = Pointer(replace(second.current, version=9))
        with pytest.raises(StorageError, match="another load has set the pointer"):
            other.switch(third, wrong)
        assert store.pointer() == first
    store.switch(second, first)
    assert other.pointer() == second
    # And back.
    store.switch(Pointer(first.current, second.current), second)
    assert other.pointer() == Pointer(first.current, second.current)


def test_one_of_many_that_set_the_pointer_at_once_succeeds(place: Place) -> None:
    if place.kind == "embedded":
        pytest.skip("the lease of the store keeps loads apart there")
    store = place.open()
    before = Pointer(generation(finished(store, OLD, ROWS)))
    store.switch(before, None)

    def switch(version: int) -> bool:
        try:
            place.open().switch(Pointer(replace(before.current, version=version)), before)
        except StorageError as error:
            assert "another load" in str(error)
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        done = list(threads.map(switch, range(2, 10)))
    assert done.count(True) == 1
    assert store.pointer().current.version == 2 + done.index(True)


def test_a_newer_layer_covers_those_below(place: Place) -> None:
    store = place.open()
    below = finished(store, OLD, ROWS)
    above = finished(store, NEW, {b"3": b'{"new":1}', b"4": GONE, b"new": b"{}"}, parts=1)
    seen = generation(above, below)
    assert store.read(seen, [b"3", b"4", b"5", b"new", b"none"]) == [
        b'{"new":1}', None, ROWS[b"5"], b"{}", None,
    ]  # fmt: skip
    assert store.read(generation(below), [b"3", b"4"]) == [ROWS[b"3"], ROWS[b"4"]]
    assert dict(store.scan(above)) == {b"3": b'{"new":1}', b"4": GONE, b"new": b"{}"}


def test_a_key_is_no_other_key_whatever_is_in_it(place: Place) -> None:
    store = place.open()
    assert len(set(HOSTILE)) == len(HOSTILE)
    rows = {key: b'{"n":%d}' % number for number, key in enumerate(HOSTILE)}
    layer = finished(store, OLD, rows, parts=3)
    assert store.read(generation(layer), HOSTILE) == list(rows.values())
    assert dict(store.scan(layer)) == rows
    finished(store, NEW, rows)
    store.drop([OLD])
    assert store.layers() == {NEW}


def test_values_come_back_as_they_were_written(place: Place) -> None:
    values = ('"ü😀\\u0000\\n"', "[NaN]", "1e-320", "9007199254740993", '"' + "y" * 300_000 + '"')
    rows = {b"%d" % place: value.encode() for place, value in enumerate(values)}
    store = place.open()
    layer = finished(store, OLD, rows, parts=1)
    assert store.read(generation(layer), list(rows)) == list(rows.values())


def test_dropping_a_layer_leaves_all_others(place: Place) -> None:
    store, others = place.open(), [place.open("scores2"), place.open("score")]
    gone = finished(store, OLD, ROWS)
    kept = finished(store, NEW, ROWS)
    elsewhere = [finished(other, OLD, ROWS) for other in others]
    store.drop([OLD, "20250101T000000-00000000"])
    assert store.layers() == {NEW}
    assert dict(store.scan(kept)) == ROWS
    assert [dict(o.scan(one)) for o, one in zip(others, elsewhere, strict=True)] == [ROWS, ROWS]
    with pytest.raises(StorageError) if place.kind in ("embedded", "postgres") else _as_it_is():
        assert store.read(generation(gone), [b"1"]) == [None]
        raise StorageError("no row is left") from None
    store.drop([NEW])
    assert store.layers() == frozenset()


def _as_it_is():
    return pytest.raises(StorageError, match="no row is left")


def test_what_a_killed_load_left_can_be_dropped(place: Place) -> None:
    store = place.open()
    store.begin(OLD, 4)
    store.write_part(OLD, 2, batches(own_rows(ROWS, 2, 4)))
    assert place.open().layers() == {OLD}
    place.open().drop([OLD])
    assert store.layers() == frozenset()


def test_a_store_travels_to_executors(place: Place) -> None:
    store = place.open()
    layer = finished(store, OLD, ROWS)
    there = pickle.loads(pickle.dumps(store))
    assert there.read(generation(layer), [b"1"]) == [ROWS[b"1"]]
    there.close()
    # It opens again what it has closed.
    assert there.read(generation(layer), [b"1"]) == [ROWS[b"1"]]
    there.close()


def test_threads_read_at_once(place: Place) -> None:
    store = place.open()
    seen = generation(finished(store, OLD, ROWS))
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda key: store.read(seen, [key]), list(ROWS) * 5))
    assert found == [[value] for value in ROWS.values()] * 5


def test_the_place_has_no_secret(place: Place) -> None:
    store = place.open()
    for text in (store.place, repr(store), str(store)):
        assert DATABASE_PASSWORD not in text
        assert REDIS_PASSWORD not in text
    assert "127.0.0.1" in store.place or place.kind == "embedded"
