"""Streamed rows in files: how many there are, what stays for readers, and what goes."""

from __future__ import annotations

import datetime as dt
import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from batchinfer.errors import StorageError
from batchinfer.lookups.stores.embedded_store import EmbeddedStore
from batchinfer.lookups.stores.generation import Generation, Layer, Pointer
from batchinfer.lookups.stores.online_store import Rows

LINE = "table-1"


def rows_of(commit: int, *numbers: int) -> list[Rows]:
    return [([b"%03d" % number for number in numbers], [b"%d" % commit] * len(numbers))]


@pytest.fixture
def store(tmp_path: Path) -> EmbeddedStore:
    store = EmbeddedStore(str(tmp_path / "online"))
    store.begin("g", 1)
    layer = Layer("g", (store.write_part("g", 0, rows_of(0, 1, 2, 3)),))
    now = "2026-11-30T00:00:00+00:00"
    first = Generation("g", (layer,), "t", 1, None, None, 3, ("k",), "", now, line=LINE)
    store.switch(Pointer(first), None)
    return store


def pointer(store: EmbeddedStore) -> Pointer:
    found = store.pointer()
    assert found is not None
    return found


def overtaken(store: EmbeddedStore, *versions: int) -> None:
    """Loads of versions, without a change of rows."""
    for version in versions:
        before = pointer(store).bare()
        new = replace(before.current, name=f"g{version}", version=version)
        store.switch(Pointer(new, before.current), before)
        store.sweep_streamed()


def folders(store: EmbeddedStore) -> set[str]:
    return {path.name for path in stream_folder(store).iterdir() if path.is_dir()}


def stream_folder(store: EmbeddedStore) -> Path:
    return Path(store.root) / "layers" / f"streamed-{LINE}"


def test_writes_are_merged_into_few_files(store: EmbeddedStore) -> None:
    chance, expected = random.Random(3), dict[int, int]()
    for commit in range(2, 130):
        numbers = sorted(chance.sample(range(600), 5))
        assert store.upsert(commit, rows_of(commit, *numbers)) == 5
        expected |= dict.fromkeys(numbers, commit)
        assert len(pointer(store).current.streamed) <= 9
    found = store.read(pointer(store).current, [b"%03d" % number for number in expected])
    assert found == [b"%d" % commit for commit in expected.values()]


def test_files_that_were_merged_stay_for_whoever_reads_them(store: EmbeddedStore) -> None:
    store.upsert(2, rows_of(2, 1, 2))
    held, reader = pointer(store).current, EmbeddedStore(store.root)
    store.upsert(3, rows_of(3, 1, 2))
    assert len(pointer(store).current.streamed) == 1
    assert reader.read(held, [b"001"]) == [b"2"]
    reader.close()
    # Minutes later.
    file = stream_folder(store) / "stream.json"
    told = json.loads(file.read_text())
    (left,) = told["left"]
    since = dt.datetime.now(dt.timezone.utc) - dt.timedelta(minutes=2)
    file.write_text(json.dumps(told | {"left": {left: since.isoformat()}}))
    store.upsert(4, rows_of(4, 9))
    assert folders(store) == {
        layer.name.rpartition("/")[2] for layer in pointer(store).current.streamed
    }


def test_what_a_killed_writer_left_goes_with_the_next_write(store: EmbeddedStore) -> None:
    name = f"streamed-{LINE}/0000000000000000002-killed"
    store.begin(name, 1)
    store.write_part(name, 0, rows_of(2, 1))
    assert store.upsert(2, rows_of(2, 1)) == 1
    assert len(folders(store)) == 1
    store.begin(name, 1)
    assert store.upsert(2, rows_of(2, 1)) == 0
    assert len(folders(store)) == 1
    assert not (Path(store.root) / "stream.lock").exists()


def test_files_whose_rows_are_overtaken_go_with_a_load(store: EmbeddedStore) -> None:
    store.upsert(2, rows_of(2, *range(8)))
    store.upsert(5, rows_of(5, 1))
    old = {layer.name.rpartition("/")[2] for layer in pointer(store).current.streamed[1:]}
    overtaken(store, 3)
    assert old < folders(store), "the generation before shows them"
    overtaken(store, 4)
    assert old.isdisjoint(folders(store))
    assert store.read(pointer(store).current, [b"001", b"002"]) == [b"5", b"0"]


def test_rows_that_are_overtaken_are_not_merged_into_a_new_file(store: EmbeddedStore) -> None:
    store.upsert(2, rows_of(2, 1, 2, 3))
    store.upsert(5, rows_of(5, 4, 5, 6))
    overtaken(store, 3, 4)
    assert len(pointer(store).current.streamed) == 1
    store.upsert(6, rows_of(6, *range(10, 20)))
    (layer,) = pointer(store).current.streamed
    assert {key for key, _ in store.scan(layer)} == {
        b"%03d" % number for number in (4, 5, 6, *range(10, 20))
    }


def test_a_load_makes_no_file_for_a_table_without_a_stream(store: EmbeddedStore) -> None:
    before = sorted(Path(store.root).rglob("*"))
    overtaken(store, 2)
    assert sorted(Path(store.root).rglob("*")) == before
    assert "streamed-" not in (Path(store.root) / "pointer.json").read_text()


def test_a_damaged_list_of_streamed_files_is_told(store: EmbeddedStore) -> None:
    store.upsert(2, rows_of(2, 1))
    (stream_folder(store) / "stream.json").write_text("{")
    with pytest.raises(StorageError, match=r"stream\.json: damaged") as caught:
        store.pointer()
    assert "--full" in str(caught.value.hint)


def test_a_writer_waits_for_another_of_its_machine(
    store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchinfer.lookups.stores.embedded_store._LOCK_S", 0.05)

    def writing() -> list[Rows]:
        with pytest.raises(StorageError, match="another writer streams"):
            EmbeddedStore(store.root).upsert(3, rows_of(3, 1))
        return rows_of(2, 1)

    class Late(list[Rows]):
        def __iter__(self):
            return iter(writing())

    assert store.upsert(2, Late()) == 1
