"""Lookups: the served row of the greatest slice, whatever else lies in the table."""

from __future__ import annotations

import datetime
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from deltalake.transaction import AddAction
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow.fs import LocalFileSystem, SubTreeFileSystem

from batchinfer import contracts, predictions_table
from batchinfer.errors import DamagedFile, InputError, InputMissing, StorageError
from batchinfer.lookups import keyed_snapshots, tables
from batchinfer.lookups.kept_footers import KeptFooter
from batchinfer.lookups.tables import key_columns, lookup_rows

KEY = ("source_file", "source_line")
SCHEMA = predictions_table.predictions_schema(
    {"source_file": pa.string(), "source_line": pa.int64()},
    {
        "score": pa.float64(),
        "items": pa.list_(pa.struct([("item", pa.string()), ("score", pa.float64())])),
    },
)


def make_table(uri: Path, schema: pa.Schema = SCHEMA, key: Sequence[str] = KEY) -> DeltaTable:
    configuration = {contracts.KEY_PROPERTY: ",".join(key)}
    return DeltaTable.create(
        str(uri),
        schema,
        partition_by=["slice"],
        configuration=configuration,
        raise_if_key_not_exists=False,
    )


def row(file: str, line: int, score: float = 0.5, **changes: Any) -> dict[str, Any]:
    base = {
        "source_file": file,
        "source_line": line,
        "score": score,
        "items": [{"item": "x", "score": float("nan")}],
        "variant": "champion",
        "served": True,
        "model_name": "m",
        "model_version": "1",
        "bundle_digest": "d",
        "source_table": "t",
        "source_version": 3,
        "input_fingerprint": b"\x01\xff",
        "run_id": "r",
        "scored_at": datetime.datetime(2026, 11, 20, 12, 0, 0, 5, tzinfo=datetime.timezone.utc),
    }
    return base | changes


def add(
    uri: Path,
    slice_: str | None,
    rows: list[dict[str, Any]],
    name: str = "a",
    stats: bool = True,
    row_group: int = 1000,
) -> None:
    """Publishes one file of rows; bounds of the key are told if `stats`."""
    table = DeltaTable(str(uri))
    schema = pa.schema(
        [
            field
            for field in pa.schema(table.schema().to_arrow())
            if field.name != "slice" and field.name in rows[0]
        ]
    )
    path = f"slice={slice_}/part-{name}-{table.version()}.parquet"
    (uri / path).parent.mkdir(exist_ok=True)
    pq.write_table(
        pa.Table.from_pylist(rows, schema), uri / path, row_group_size=row_group, store_schema=False
    )
    keys = table.metadata().configuration[contracts.KEY_PROPERTY].split(",")
    bounds = {
        which: {key: pick(each[key] for each in rows) for key in keys}
        for which, pick in (("minValues", min), ("maxValues", max))
    }
    text = json.dumps(
        {"numRecords": len(rows), **bounds, "nullCount": {}} if stats else {"numRecords": len(rows)}
    )
    action = AddAction(path, (uri / path).stat().st_size, {"slice": slice_}, 0, True, text)
    table.create_write_transaction([action], "append", table.schema(), ["slice"])


def ask(uri: Path, *keys: tuple[Any, Any], as_of: str | None = None) -> list[float | None]:
    found = lookup_rows(str(uri), [dict(zip(KEY, key, strict=True)) for key in keys], as_of)
    return [each and each["score"] for each in found]


@pytest.fixture
def uri(tmp_path: Path) -> Path:
    make_table(tmp_path / "t")
    return tmp_path / "t"


def test_row_holds_all_columns_as_json(uri: Path) -> None:
    add(uri, "2026-11-20", [row("a.csv", 17)])
    [found] = lookup_rows(str(uri), [{"source_file": "a.csv", "source_line": "17"}])
    assert found is not None and list(found) == SCHEMA.names
    assert found["slice"] == "2026-11-20" and found["source_line"] == 17
    assert (
        found["input_fingerprint"] == "01ff" and found["scored_at"] == "2026-11-20T12:00:00.000005Z"
    )
    assert found["items"] == [{"item": "x", "score": "NaN"}]
    json.dumps(found, allow_nan=False)


def test_greatest_slice_wins_and_as_of_bounds_it(uri: Path) -> None:
    for day, score in [("2026-11-20", 0.2), ("2026-11-22", 0.4), ("2026-11-19", 0.1)]:
        add(uri, day, [row("a.csv", 1, score), row("b.csv", 1, score)])
    add(uri, "2026-11-25", [row("b.csv", 1, 0.9)])
    assert ask(uri, ("a.csv", 1), ("b.csv", 1)) == [0.4, 0.9]
    assert ask(uri, ("a.csv", 1), as_of="2026-11-22") == [0.4]
    assert ask(uri, ("a.csv", 1), as_of="2026-11-21") == [0.2]
    assert ask(uri, ("a.csv", 1), as_of="2026-11-18") == [None]


def test_only_served_rows_are_read(uri: Path) -> None:
    add(
        uri,
        "2",
        [
            row("a.csv", 1, 0.1, served=False, variant="shadow"),
            row("a.csv", 1, 0.2),
            row("b.csv", 1, served=False),
        ],
    )
    add(uri, "1", [row("b.csv", 1, 0.3)])
    assert ask(uri, ("a.csv", 1), ("b.csv", 1)) == [0.2, 0.3]


def test_absent_keys_are_none_in_the_order_asked(uri: Path) -> None:
    add(uri, "1", [row("a.csv", line, line / 10) for line in range(10)])
    assert ask(uri, ("a.csv", 3), ("a.csv", 11), ("z.csv", 3), ("a.csv", 3), ("a.csv", "4")) == [
        0.3,
        None,
        None,
        0.3,
        0.4,
    ]
    assert ask(uri) == []


def test_file_without_bounds_is_searched(uri: Path) -> None:
    add(uri, "1", [row("a.csv", 5)], stats=False)
    assert ask(uri, ("a.csv", 5)) == [0.5]


@pytest.mark.parametrize("slice_", ["a b", "50%", "x=y", "ü", None])
def test_odd_slices(uri: Path, slice_: str | None) -> None:
    add(uri, slice_, [row("a.csv", 5)])
    [found] = lookup_rows(str(uri), [{"source_file": "a.csv", "source_line": 5}])
    assert found is not None and found["slice"] == slice_
    assert lookup_rows(uri.as_uri(), [{"source_file": "a.csv", "source_line": 5}])[0] is not None


@pytest.mark.parametrize(
    "hostile",
    [
        "a.csv' OR '1'='1",
        "../../etc/passwd",
        "%2e%2e/x",
        "*",
        "a.csv\x00",
        "a.csv; DROP",
        "_",
        "a.%",
    ],
)
def test_hostile_text_is_only_a_value(uri: Path, hostile: str) -> None:
    add(uri, "1", [row("a.csv", 1)])
    assert ask(uri, (hostile, 1)) == [None]
    add(uri, "2", [row(hostile, 1, 0.7)])
    assert ask(uri, (hostile, 1), ("a.csv", 1)) == [0.7, 0.5]


def test_keys_that_do_not_fit_are_all_told(uri: Path) -> None:
    with pytest.raises(InputError) as caught:
        lookup_rows(
            str(uri),
            [
                {"source_file": "a", "source_line": "x"},
                {"source_file": "a"},
                {"source_file": "a", "source_line": 1, "z": 1},
            ],
        )
    assert len(caught.value.problems) == 3 and "source_line" in str(caught.value)


def test_column_added_later_is_null_in_older_files(tmp_path: Path) -> None:
    uri = tmp_path / "t"
    make_table(uri, SCHEMA.append(pa.field("label", pa.string())))
    add(uri, "1", [row("a.csv", 1)])
    [found] = lookup_rows(str(uri), [{"source_file": "a.csv", "source_line": 1}])
    assert found is not None and found["label"] is None and found["score"] == 0.5


def test_table_is_read_anew_when_it_changes(uri: Path) -> None:
    add(uri, "1", [row("a.csv", 1, 0.1)])
    assert ask(uri, ("a.csv", 1)) == [0.1]
    add(uri, "2", [row("a.csv", 1, 0.2)])
    assert ask(uri, ("a.csv", 1)) == [0.2]
    shutil.rmtree(uri)
    make_table(uri)
    add(uri, "1", [row("a.csv", 1, 0.3)])
    add(uri, "0", [row("a.csv", 1, 0.4)])
    assert ask(uri, ("a.csv", 1)) == [0.3]
    shutil.rmtree(uri)
    with pytest.raises(InputMissing):
        ask(uri, ("a.csv", 1))


def test_file_that_is_gone_is_a_storage_error(uri: Path) -> None:
    add(uri, "1", [row("a.csv", 1)])
    [path] = uri.glob("slice=*/*.parquet")
    path.unlink()
    with pytest.raises(StorageError, match="missing"):
        ask(uri, ("a.csv", 1))


def test_damaged_file_is_told_by_its_name(uri: Path) -> None:
    add(uri, "1", [row("a.csv", 1)])
    [path] = uri.glob("slice=*/*.parquet")
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DamagedFile, match=r"part-a-0\.parquet is damaged: it cannot be decoded"):
        ask(uri, ("a.csv", 1))


def test_file_that_goes_during_the_search_is_looked_for_in_the_new_snapshot(
    uri: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(uri, "1", [row("a.csv", 1, 0.1)])
    real, gone = tables._read, []

    def replace_first(*arguments: Any) -> Any:
        if not gone:
            gone.append("1")
            add(uri, "2", [row("a.csv", 1, 0.2)])
            raise FileNotFoundError
        return real(*arguments)

    monkeypatch.setattr(tables, "_read", replace_first)
    assert ask(uri, ("a.csv", 1)) == [0.2]


def test_unchanged_table_is_not_read_again(uri: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add(uri, "1", [row("a.csv", 1)])
    assert ask(uri, ("a.csv", 1)) == [0.5]

    def refuse(*_: Any) -> None:
        raise AssertionError("the log was read again")

    monkeypatch.setattr(keyed_snapshots, "_read", refuse)
    assert ask(uri, ("a.csv", 1)) == [0.5]


@pytest.mark.parametrize("on_store", [False, True])
def test_of_several_files_of_a_slice_the_first_that_has_the_key_answers(
    uri: Path, on_store: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = {"a": [1, 2], "b": [2, 3], "c": [3, 4], "d": [1, 4]}
    for name, lines in held.items():
        add(uri, "1", [row("a.csv", line, ord(name)) for line in lines], name=name, row_group=1)
    add(uri, "0", [row("a.csv", line, 0.5) for line in range(6)])
    if on_store:
        # Any file system but the local one is read as a store is.
        store = SubTreeFileSystem(str(uri), LocalFileSystem())
        monkeypatch.setattr(keyed_snapshots, "open_filesystem", lambda _: (store, ""))
    keys = [("a.csv", line) for line in range(7)]
    files = keyed_snapshots.open_snapshot(str(uri)).slices["1"]
    parts = [file.path.rpartition("part-")[2][0] for file in files]
    firsts = [next(part for part in parts if line in held[part]) for line in range(1, 5)]
    assert ask(uri, *keys) == [0.5, *(float(ord(part)) for part in firsts), 0.5, None]


def test_only_files_and_row_groups_that_may_hold_the_key_are_read(
    uri: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for day in range(3):
        for part in range(3):
            add(
                uri,
                str(day),
                [row("a.csv", line) for line in range(part * 100, part * 100 + 100)],
                name=str(part),
                row_group=10,
            )
    read: list[tuple[str, int, list[str]]] = []
    real = KeptFooter.read

    def watch(footer: Any, file: Any, group: int, columns: Sequence[str]) -> pa.Table:
        read.append((footer._path, group, list(columns)))
        return real(footer, file, group, columns)

    monkeypatch.setattr(KeptFooter, "read", watch)
    assert ask(uri, ("a.csv", 150)) == [0.5]
    [(path, group, keys), (path_again, group_again, others)] = read
    assert path == path_again and "slice=2/part-1" in path and group == group_again == 5
    assert keys == list(KEY) and not set(KEY) & set(others)


def test_of_an_absent_key_other_columns_are_not_read(
    uri: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(uri, "1", [row("a.csv", line) for line in range(0, 40, 2)], row_group=10)
    read: list[list[str]] = []
    real = KeptFooter.read

    def watch(footer: Any, file: Any, group: int, columns: Sequence[str]) -> pa.Table:
        read.append(list(columns))
        return real(footer, file, group, columns)

    monkeypatch.setattr(KeptFooter, "read", watch)
    assert ask(uri, ("a.csv", 11), ("a.csv", 19)) == [None, None]
    assert read == [list(KEY)]


def test_tables_without_a_key_are_refused(tmp_path: Path) -> None:
    DeltaTable.create(str(tmp_path / "t"), SCHEMA, partition_by=["slice"])
    with pytest.raises(InputError, match="not a table that is read by key"):
        key_columns(str(tmp_path / "t"))
    make_table(tmp_path / "u")
    assert key_columns(str(tmp_path / "u")) == KEY
    with pytest.raises(InputMissing) as caught:
        key_columns(str(tmp_path / "none"))
    assert caught.value.exit_code == 3
    (tmp_path / "u" / "_delta_log" / f"{0:020}.json").write_text("garbage")
    with pytest.raises(StorageError):
        key_columns(str(tmp_path / "u"))


@settings(max_examples=20, deadline=None)
@given(data=st.data(), many=st.booleans())
def test_same_answer_as_a_full_scan(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, many: bool
) -> None:
    uri = tmp_path_factory.mktemp("scan") / "t"
    make_table(uri)
    keys = st.tuples(st.sampled_from(["a", "b", "ab", "a" * 40]), st.integers(-3, 12))
    best: dict[tuple[str, int], tuple[str, float]] = {}
    for number in range(data.draw(st.integers(1, 4))):
        slice_ = f"{number:02}"
        published = data.draw(st.dictionaries(keys, st.booleans(), min_size=1, max_size=12))
        rows = [
            row(file, line, number, served=served) for (file, line), served in published.items()
        ]
        add(uri, slice_, rows, stats=data.draw(st.booleans()), row_group=3)
        best |= {key: (slice_, float(number)) for key, served in published.items() if served}
    asked = data.draw(
        st.lists(keys, min_size=40, max_size=60, unique=True)
        if many
        else st.lists(keys, min_size=1, max_size=5)
    )
    assert ask(uri, *asked) == [best[key][1] if key in best else None for key in asked]
