"""The newest row by key of tables of any writer: what a filter of the whole table finds."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow.fs import LocalFileSystem, SubTreeFileSystem

from batchinfer.errors import DamagedFile, StorageError
from batchinfer.lookups import newest_by_key as module
from batchinfer.lookups.kept_footers import KeptFooter
from batchinfer.lookups.keyed_files import Key
from batchinfer.lookups.newest_by_key import is_read_by_key, newest_by_key

UTC = dt.timezone.utc
DAYS = [dt.date(2026, 11, 29), dt.date(2026, 11, 30), None]
ORDERS: dict[pa.DataType, list[Any]] = {
    pa.string(): ["", "9", "10", "2026-11-30", "é/ =%", None],
    pa.int64(): [-1, 9, 10, None],
    pa.date32(): DAYS,
    pa.timestamp("us", "UTC"): [
        dt.datetime(1960, 1, 1, 0, 0, 0, 7, tzinfo=UTC),
        dt.datetime(2026, 1, 1, tzinfo=UTC),
        None,
    ],
}
KEYS: dict[pa.DataType, list[Any]] = {
    pa.int64(): [1, 2, 3],
    pa.string(): ["a", "ab", "a" * 40, "é"],
    pa.timestamp("us", "UTC"): [
        dt.datetime(2026, 1, 1, 0, 0, 0, micros, tzinfo=UTC) for micros in (0, 1, 999, 1001)
    ],
}


def filtered(
    table: DeltaTable, key: Sequence[str], wanted: set[Key], order: str | None
) -> dict[Key, Any]:
    """By looking through every row; a later row takes the place of an earlier one."""
    rows = table.to_pyarrow_dataset().to_table()
    if order is not None:
        rows = rows.sort_by([(order, "ascending")])
    found = {tuple(row[name] for name in key): row for row in rows.to_pylist()}
    return {one: row for one, row in found.items() if one in wanted}


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_same_rows_as_a_filter_of_the_whole_table(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    key = data.draw(st.sampled_from([["id"], ["id", "id2"]]))
    types = {name: data.draw(st.sampled_from(list(KEYS))) for name in key}
    type_ = data.draw(st.sampled_from(list(ORDERS)))
    schema = pa.schema(
        [*types.items(), ("at", type_), ("number", pa.int64()), ("served", pa.bool_())]
    )
    uri = str(tmp_path_factory.mktemp("table") / "t")
    partitions = data.draw(st.sampled_from([[], ["at"], ["at", "served"]]))
    numbers = iter(range(1000))
    drawn = st.fixed_dictionaries(
        {
            **{name: st.sampled_from([*KEYS[each], None]) for name, each in types.items()},
            "at": st.sampled_from(ORDERS[type_]),
            "number": st.builds(lambda: next(numbers)),
            "served": st.booleans(),
        }
    )
    for _ in range(data.draw(st.integers(1, 5))):
        rows = data.draw(st.lists(drawn, min_size=1, max_size=8))
        write_deltalake(
            uri, pa.Table.from_pylist(rows, schema), mode="append", partition_by=partitions
        )
    table = DeltaTable(uri)
    if data.draw(st.booleans()):
        table.create_checkpoint()
        table = DeltaTable(uri)
    wanted = data.draw(
        st.sets(st.tuples(*(st.sampled_from(KEYS[each]) for each in types.values())), min_size=1)
    )
    order = data.draw(st.sampled_from(["at", None]))
    assert is_read_by_key(uri, table, key)
    expected = filtered(table, key, wanted, order)
    assert newest_by_key(uri, table, key, wanted, order) == expected
    with pytest.MonkeyPatch.context() as patch:
        # Any file system but the local one is read as a store is.
        store = SubTreeFileSystem(uri, LocalFileSystem())
        patch.setattr(module, "open_filesystem", lambda _: (store, ""))
        patch.setattr(module, "_kept", type(module._kept)())
        patch.setattr(module, "STORE_READS", 2)
        assert newest_by_key(uri, table, key, wanted, order) == expected


SCHEMA = pa.schema([("id", pa.int64()), ("slice", pa.string()), ("number", pa.int64())])


def add(uri: Path, slice_: str, ids: Sequence[int], number: int) -> DeltaTable:
    rows = {"id": ids, "slice": [slice_] * len(ids), "number": [number] * len(ids)}
    write_deltalake(
        str(uri), pa.table(rows, SCHEMA), mode="append", partition_by=["slice"], schema_mode="merge"
    )
    return DeltaTable(str(uri))


def ask(uri: Path, *ids: int) -> list[int | None]:
    table = DeltaTable(str(uri))
    found = newest_by_key(str(uri), table, ["id"], {(one,) for one in ids}, "slice")
    return [found[(one,)]["number"] if (one,) in found else None for one in ids]


def test_older_slices_are_asked_only_for_what_newer_ones_lack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = tmp_path / "t"
    for day in range(3):
        add(uri, f"2026-11-{day + 10}", range(10 if day else 20), day)
    read: list[str] = []
    real = KeptFooter.read

    def watch(footer: Any, *arguments: Any) -> pa.Table:
        read.append(footer._path.rpartition("slice=")[2].partition("/")[0])
        return real(footer, *arguments)

    monkeypatch.setattr(KeptFooter, "read", watch)
    assert ask(uri, 3, 4) == [2, 2]
    assert set(read) == {"2026-11-12"}
    read.clear()
    # By the bounds of the log, the key is in the oldest slice alone.
    assert ask(uri, 15, 99) == [0, None]
    assert set(read) == {"2026-11-10"}


def test_moments_that_a_writer_has_cut_in_its_statistics_are_found(tmp_path: Path) -> None:
    uri, moment = tmp_path / "t", dt.datetime(2026, 1, 1, 0, 0, 0, 999, tzinfo=UTC)
    write_deltalake(str(uri), pa.table({"at": pa.array([moment], pa.timestamp("us", "UTC"))}))
    assert "00:00:00.000Z" in (uri / "_delta_log" / f"{0:020}.json").read_text()
    table = DeltaTable(str(uri))
    assert newest_by_key(str(uri), table, ["at"], {(moment,)}, None) == {(moment,): {"at": moment}}


def test_a_damaged_file_and_one_that_is_gone_are_told(tmp_path: Path) -> None:
    add(tmp_path / "t", "1", [1], 1)
    [path] = (tmp_path / "t").glob("slice=*/*.parquet")
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DamagedFile, match=path.name):
        ask(tmp_path / "t", 1)
    path.unlink()
    with pytest.raises(StorageError, match="a file of the table is missing"):
        ask(tmp_path / "t", 1)


def test_another_table_in_the_place_of_one_is_read_anew(tmp_path: Path) -> None:
    for name, number in (("t", 1), ("u", 2)):
        add(tmp_path / name, "1", [1], number)
    assert ask(tmp_path / "t", 1) == [1]
    (tmp_path / "t").rename(tmp_path / "old")
    (tmp_path / "u").rename(tmp_path / "t")
    assert ask(tmp_path / "t", 1) == [2]


def test_tables_whose_files_lack_the_key_are_not_read_by_it(tmp_path: Path) -> None:
    table = add(tmp_path / "t", "1", [1], 1)
    assert is_read_by_key(str(tmp_path / "t"), table, ["id"])
    assert not is_read_by_key(str(tmp_path / "t"), table, ["id", "slice"])
    assert not is_read_by_key("gs://bucket/t", table, ["id"])


def test_files_of_a_shallow_clone_are_another_tables(tmp_path: Path) -> None:
    add(tmp_path / "t", "1", [1], 7)
    [path] = (tmp_path / "t").glob("slice=*/*.parquet")
    log = tmp_path / "t" / "_delta_log" / f"{0:020}.json"
    clone = tmp_path / "clone" / "_delta_log"
    clone.mkdir(parents=True)
    name = path.relative_to(tmp_path / "t").as_posix()
    text = log.read_text()
    assert name in text
    (clone / log.name).write_text(text.replace(name, path.as_uri()))
    assert ask(tmp_path / "clone", 1) == [7]
