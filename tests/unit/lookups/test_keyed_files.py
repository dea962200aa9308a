"""Rows by key out of one file: what a plain read of the whole file finds, whoever wrote it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow.fs import FileSystem, LocalFileSystem, SubTreeFileSystem

from batchinfer.contracts import SERVED, SLICE
from batchinfer.errors import DamagedFile
from batchinfer.lake.staging import StagedWriter
from batchinfer.lake.table_places import reading_faults
from batchinfer.lookups import keyed_files
from batchinfer.lookups.kept_footers import KeptFooter
from batchinfer.lookups.keyed_files import Key, KeyedFile

UTC = dt.timezone.utc
# Any file system but the local one is read as a store is.
STORE = SubTreeFileSystem("/", LocalFileSystem())
# Few values of each type, so that keys come again, in several row groups too.
VALUES: dict[pa.DataType, list[Any]] = {
    pa.int64(): [-3, 0, 1, 2, 5, 2**40],
    pa.int32(): [-3, 0, 1, 2, 5],
    pa.string(): ["", "a", "ab", "é", "\U0010ffff", "z" * 70],
    pa.binary(): [b"", b"\x00", b"a", b"\x7f", b"\xff"],
    pa.bool_(): [True, False],
    pa.float64(): [-1.5, -0.0, 0.0, 2.25],
    pa.decimal128(9, 2): [Decimal("-1.00"), Decimal("0.05"), Decimal("12.50")],
    pa.date32(): [dt.date(1960, 1, 2), dt.date(2026, 11, 30)],
    pa.timestamp("us"): [dt.datetime(1960, 1, 1, 0, 0, 0, 7), dt.datetime(2026, 1, 1)],
    pa.timestamp("us", "UTC"): [
        dt.datetime(1960, 1, 1, 0, 0, 0, 7, tzinfo=UTC),
        dt.datetime(2026, 1, 1, tzinfo=UTC),
    ],
}
OTHERS = pa.schema(
    [
        (SLICE, pa.string()),
        ("label", pa.string()),
        ("model", pa.string()),
        ("version", pa.int64()),
        ("score", pa.float64()),
        ("raw", pa.binary()),
        ("items", pa.list_(pa.struct([("item", pa.string()), ("score", pa.float64())]))),
        ("tags", pa.map_(pa.string(), pa.int64())),
        ("scored_at", pa.timestamp("us", "UTC")),
        (SERVED, pa.bool_()),
        ("added_later", pa.string()),
    ]
)
OTHER_VALUES: dict[str, list[Any]] = {
    "label": ["yes", "no", None],
    "model": ["m"],
    "version": [7],
    "score": [0.5, -0.0, 0.0, float("nan"), None],
    "raw": [b"\x01", None],
    "items": [[], None, [{"item": "x", "score": None}]],
    "tags": [None, [("a", 1), ("b", None)]],
    "scored_at": [dt.datetime(2026, 11, 30, 1, 2, 3, 4, tzinfo=UTC)],
    SERVED: [True, True, False, None],
}
WRITERS = ("ours", "plain", "no statistics", "dictionaries", "int96", "narrow")


def file_schema(schema: pa.Schema) -> pa.Schema:
    return pa.schema([field for field in schema if field.name not in (SLICE, "added_later")])


def write(folder: Path, rows: pa.Table, key: Sequence[str], writer: str, group: int) -> str:
    """The file's path."""
    if writer == "ours":
        with StagedWriter(
            str(folder), rows.schema, [], key, key, row_group_rows=group, distinct=key
        ) as staged:
            for batch in rows.to_batches():
                staged.write(batch, {})
            [file] = staged.close()
        return str(folder / file.path)
    path = str(folder / "other.parquet")
    if writer == "dictionaries":
        rows = pa.table(
            {
                name: column.dictionary_encode() if pa.types.is_string(column.type) else column
                for name, column in zip(rows.column_names, rows.columns, strict=True)
            }
        )
    if writer == "narrow":
        of_file = {pa.int64(): pa.int32(), pa.timestamp("us", "UTC"): pa.timestamp("us")}
        narrow = [field.with_type(of_file.get(field.type, field.type)) for field in rows.schema]
        if not any(number == 2**40 for name in key for number in rows[name].to_pylist()):
            rows = rows.cast(pa.schema(narrow))
    pq.write_table(
        rows,
        path,
        row_group_size=group,
        write_statistics=writer != "no statistics",
        use_deprecated_int96_timestamps=writer == "int96",
        store_schema=writer == "dictionaries",
    )
    return path


def whole_file(path: str, schema: pa.Schema, key: Sequence[str], asked: set[Key]) -> dict[Key, Any]:
    """The last served row of each key that was asked for, by reading every row."""
    read = pq.ParquetFile(path).read()
    columns = {
        field.name: read[field.name].cast(field.type)
        if field.name in read.schema.names
        else pa.nulls(read.num_rows, field.type)
        for field in schema
    }
    found: dict[Key, Any] = {}
    for row in pa.table(columns).to_pylist(maps_as_pydicts="lossy"):
        one = tuple(row[name] for name in key)
        if one in asked and row[SERVED]:
            found[one] = row
    return found


def ask(
    filesystem: FileSystem, path: str, schema: pa.Schema, key: Sequence[str], asked: set[Key]
) -> dict[Key, Any]:
    file = KeyedFile(filesystem, path, schema, key)
    rows = file.find(file.candidates(asked))
    return {key: row for key, row in rows if row.get(SERVED, True)}


def told(found: dict[Key, Any]) -> set[str]:
    """As text, in which -0.0 is not 0.0 and NaN is itself."""
    return {repr(list(row.items())) for row in found.values()}


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_same_rows_as_a_read_of_the_whole_file(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    types = data.draw(st.lists(st.sampled_from(list(VALUES)), min_size=1, max_size=2))
    key = [f"key{place}" for place in range(len(types))]
    fields = [pa.field(name, type_) for name, type_ in zip(key, types, strict=True)]
    schema = pa.schema([*fields, *OTHERS])
    values = dict(zip(key, map(VALUES.__getitem__, types), strict=True))
    drawn = {
        **{name: st.sampled_from([*some, None]) for name, some in values.items()},
        **{name: st.sampled_from(some) for name, some in OTHER_VALUES.items()},
    }
    rows = data.draw(st.lists(st.fixed_dictionaries(drawn), min_size=1, max_size=14))
    table = pa.Table.from_pylist(rows, file_schema(schema))
    if data.draw(st.booleans()):
        table = table.sort_by([(name, "ascending") for name in key])
    writer = data.draw(st.sampled_from(WRITERS))
    group = data.draw(st.sampled_from([1, 3, 100]))
    path = write(tmp_path_factory.mktemp("file"), table, key, writer, group)
    asked = data.draw(
        st.sets(st.tuples(*(st.sampled_from(some) for some in values.values())), min_size=1)
    )
    of_files = schema.remove(schema.get_field_index(SLICE))
    expected = told(whole_file(path, of_files, key, asked))
    with pytest.MonkeyPatch.context() as patch:
        # Few values are compared one by one, more as a set: here, of any number, both.
        patch.setattr(keyed_files, "_FEW_VALUES", data.draw(st.sampled_from([0, 12])))
        assert told(ask(LocalFileSystem(), path, of_files, key, asked)) == expected
        assert told(ask(STORE, path.lstrip("/"), of_files, key, asked)) == expected


def staged(folder: Path, rows: pa.Table, group: int = 100) -> str:
    return write(folder, rows, ["id"], "ours", group)


SMALL = pa.schema([("id", pa.int64()), ("label", pa.string()), ("model", pa.string())])


def test_columns_of_one_value_are_told_by_a_checked_footer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = pa.table({"id": [1, 2, 3], "label": ["a", "b", None], "model": ["m"] * 3}, schema=SMALL)
    read: list[list[str]] = []
    real = KeptFooter.read

    def watch(footer: Any, file: Any, group: int, columns: Sequence[str]) -> pa.Table:
        read.append(list(columns))
        return real(footer, file, group, columns)

    monkeypatch.setattr(KeptFooter, "read", watch)
    found = ask(LocalFileSystem(), staged(tmp_path, rows), SMALL, ["id"], {(2,)})
    assert found == {(2,): {"id": 2, "label": "b", "model": "m"}}
    assert read == [["id"], ["label"]]
    # Other writers may cut the bounds of texts.
    read.clear()
    other = write(tmp_path, rows, ["id"], "plain", 100)
    assert ask(LocalFileSystem(), other, SMALL, ["id"], {(2,)}) == found
    assert read == [["id"], ["label", "model"]]


def test_column_of_one_value_and_nulls_is_read(tmp_path: Path) -> None:
    rows = pa.table({"id": [1, 2], "label": ["a", None], "model": ["m", "m"]}, schema=SMALL)
    found = ask(LocalFileSystem(), staged(tmp_path, rows), SMALL, ["id"], {(1,), (2,)})
    assert [row["label"] for row in found.values()] == ["a", None]


def test_file_without_rows_or_without_the_key_has_none(tmp_path: Path) -> None:
    path = str(tmp_path / "a.parquet")
    pq.write_table(SMALL.empty_table(), path)
    assert ask(LocalFileSystem(), path, SMALL, ["id"], {(1,)}) == {}
    with pq.ParquetWriter(path, SMALL):
        pass
    assert pq.read_metadata(path).num_row_groups == 0
    assert ask(LocalFileSystem(), path, SMALL, ["id"], {(1,)}) == {}
    pq.write_table(pa.table({"label": ["a"]}), path)
    assert ask(LocalFileSystem(), path, SMALL, ["id"], {(1,)}) == {}


@pytest.mark.parametrize("few", [0, 12])
def test_both_zeros_are_one_key_beside_others(
    tmp_path: Path, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyed_files, "_FEW_VALUES", few)
    schema = pa.schema([("id", pa.float64()), ("label", pa.string())])
    rows = pa.table({"id": [-0.0, 1.5], "label": ["a", "b"]}, schema=schema)
    path = write(tmp_path, rows, ["id"], "plain", 100)
    found = ask(LocalFileSystem(), path, schema, ["id"], {(0.0,), (1.5,), (7.0,)})
    assert [row["label"] for row in found.values()] == ["a", "b"]


def test_bounds_of_another_type_are_not_compared(tmp_path: Path) -> None:
    moment = dt.datetime(2026, 11, 30, tzinfo=UTC)
    schema = pa.schema([("id", pa.timestamp("us", "UTC")), ("label", pa.string())])
    rows = pa.table({"id": [moment], "label": ["a"]}, schema=schema)
    path = write(tmp_path, rows, ["id"], "narrow", 100)
    assert pq.read_schema(path).field("id").type == pa.timestamp("us")
    assert ask(LocalFileSystem(), path, schema, ["id"], {(moment,)})[(moment,)]["label"] == "a"


def test_sorted_file_is_halved_and_a_key_may_stand_in_two_row_groups(tmp_path: Path) -> None:
    rows = pa.table(
        {"id": [1, 2, 3, 3, 3, 9], "label": list("abcdef"), "model": ["m"] * 6}, schema=SMALL
    )
    file = KeyedFile(LocalFileSystem(), staged(tmp_path, rows, 2), SMALL, ["id"])
    assert file.candidates([(3,), (1,), (4,), (10,)]) == {0: [(1,)], 1: [(3,)], 2: [(3,), (4,)]}


@pytest.mark.parametrize("filesystem", [LocalFileSystem(), STORE], ids=["local", "store"])
@pytest.mark.parametrize("column", range(2))
def test_every_flipped_bit_of_a_page_is_told_or_does_no_harm(
    tmp_path: Path, filesystem: FileSystem, column: int
) -> None:
    rows = pa.table({"id": range(60), "label": ["a", "b"] * 30, "model": ["m"] * 60})
    path = Path(staged(tmp_path, rows.cast(SMALL), 20))
    place = str(path) if filesystem is not STORE else str(path).lstrip("/")
    asked = {(number,) for number in range(25, 35)}
    whole, written = ask(filesystem, place, SMALL, ["id"], asked), path.read_bytes()
    assert len(whole) == 10
    pages = pq.read_metadata(path).row_group(1).column(column)
    start = pages.dictionary_page_offset or pages.data_page_offset
    told = 0
    for byte in range(start, start + pages.total_compressed_size):
        for bit in range(8):
            flipped = bytearray(written)
            flipped[byte] ^= 1 << bit
            path.write_bytes(flipped)
            try:
                with reading_faults(place):
                    got = ask(filesystem, place, SMALL, ["id"], asked)
            except DamagedFile:
                told += 1
                continue
            assert got == whole, f"byte {byte}, bit {bit}"
    assert told > pages.total_compressed_size * 4
