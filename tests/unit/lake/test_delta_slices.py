"""Slices of odd names, and rows of a key: replaced, with nothing else touched."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable

from batchinfer.lake import delta
from batchinfer.lake.staged_files import read_staged

from .delta_tables import SCHEMA, make_table, read, stage

ODD_SLICES = ["2015-05-18", "a b", "a/b", "50%", "ü", "..", "x=y:z", "a%20b", "é" * 40, None]


def test_odd_slices_are_read_by_every_reader(tmp_path: Path) -> None:
    import duckdb
    import duckdb_extension_delta
    import polars

    uri = make_table(tmp_path)
    for number, slice_ in enumerate(ODD_SLICES):
        delta.commit(uri, stage(uri, [number], slice_), replace={"slice": slice_}, schema=SCHEMA)
    expected = sorted(((number, slice_) for number, slice_ in enumerate(ODD_SLICES)), key=str)
    assert read(uri) == expected
    assert sorted(DeltaTable(uri).to_pandas()["k"]) == list(range(len(ODD_SLICES)))
    assert sorted(polars.read_delta(uri).select("k", "slice").rows(), key=str) == expected
    [folder] = duckdb_extension_delta.__path__
    [extension] = Path(folder).glob("extensions/*/delta.duckdb_extension")
    with duckdb.connect() as connection:
        connection.load_extension(str(extension))
        assert (
            sorted(
                connection.execute(f"SELECT k, slice FROM delta_scan('{uri}')").fetchall(), key=str
            )
            == expected
        )


def test_replacing_odd_slices_touches_only_their_own_files(tmp_path: Path) -> None:
    uri = make_table(tmp_path)
    for number, slice_ in enumerate(ODD_SLICES):
        delta.commit(uri, stage(uri, [number], slice_))
    for number, slice_ in enumerate(ODD_SLICES):
        [before] = delta.snapshot_files(uri, {"slice": slice_})
        assert (
            (Path(uri) / before.path).is_file()
            and before.rows == 1
            and before.partition == {"slice": slice_}
        )
        delta.commit(uri, stage(uri, [100 + number], slice_), replace={"slice": slice_})
    assert read(uri) == sorted(
        ((100 + number, slice_) for number, slice_ in enumerate(ODD_SLICES)), key=str
    )


def test_rows_of_a_value_are_replaced_and_other_rows_of_their_files_stay(tmp_path: Path) -> None:
    uri = make_table(tmp_path)
    delta.commit(
        uri,
        stage(uri, [1, 2, 3], "s", ["a", "b", "a"])
        + stage(uri, [4], "t", ["a"])
        + stage(uri, [5], "t", ["b"]),
    )
    kept = [file.path for file in delta.snapshot_files(uri, {"slice": "t"}) if file.rows == 1]
    version = delta.commit(
        uri,
        stage(uri, [6], "u"),
        replace_rows={"name": ["a"], "slice": None},
        touch=lambda partition: f"slice:{partition['slice']}",
    )
    assert read(uri) == [(2, "s"), (5, "t"), (6, "u")]
    assert delta.transaction_versions(uri, ["slice:s", "slice:t", "slice:u", "slice:v"]) == {
        f"slice:{s}": version for s in "stu"
    }
    assert (
        len([file for file in delta.snapshot_files(uri, {"slice": "t"}) if file.path in kept]) == 1
    )
    delta.commit(uri, [], replace_rows={"name": ["b"], "slice": "t"})
    assert read(uri) == [(2, "s"), (6, "u")]


def test_rows_of_a_key_of_several_columns_are_replaced(tmp_path: Path) -> None:
    uri = make_table(tmp_path)
    delta.commit(
        uri, stage(uri, [1, 2, 3], "s", ["a", "b", "a"]) + stage(uri, [1, 2], "t", ["a", "a"])
    )
    coming = stage(uri, [1, 3], "u", ["a", "b"])
    keys = read_staged(uri, coming, ["k", "name"])
    delta.commit(uri, coming, replace_rows={"k": keys["k"], "name": keys["name"], "slice": None})
    assert read(uri) == [(1, "u"), (2, "s"), (2, "t"), (3, "s"), (3, "u")]
    # Alone a number is a key too, whatever width the one who asks has for it.
    delta.commit(
        uri, [], replace_rows={"k": pa.chunked_array([pa.array([2], pa.int16())]), "slice": "t"}
    )
    assert read(uri) == [(1, "u"), (2, "s"), (3, "s"), (3, "u")]
