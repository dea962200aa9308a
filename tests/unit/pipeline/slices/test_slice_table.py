"""The rows of a small slice as a table: all columns in the order of the table, the slice in it."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pyarrow as pa
from deltalake import write_deltalake

from batchinfer.config.shapes.source_columns import SliceColumn
from batchinfer.lake.snapshots import open_table, table_files
from batchinfer.pipeline.slices.slice_data import SliceData
from batchinfer.pipeline.slices.slice_table import slice_table, with_slice

DAYS = [dt.date(2026, 11, 20), dt.date(2026, 11, 21), dt.date(2026, 11, 21)]
FIELDS = {"id": "bigint", "day": "date", "big": "double"}


def test_rows_of_a_table_in_place_are_those_of_the_slice_with_its_name_behind(
    tmp_path: Path,
) -> None:
    rows = pa.table({"id": [1, 2, 3], "day": DAYS, "big": [0.5, None, 1.5]})
    write_deltalake(str(tmp_path), rows)
    rule = SliceColumn(column="day", unit="day")
    files = table_files(open_table(str(tmp_path)))
    data = SliceData(str(tmp_path), ("2026-11-21",), files, 0, 0, 2, fields=FIELDS, rule=rule)
    found = slice_table(data)
    assert found.column_names == ["id", "day", "big", "slice"]
    assert found.to_pylist() == [
        {"id": 2, "day": DAYS[1], "big": None, "slice": "2026-11-21"},
        {"id": 3, "day": DAYS[2], "big": 1.5, "slice": "2026-11-21"},
    ]


def test_a_landed_slice_has_the_columns_of_the_version_that_is_read(tmp_path: Path) -> None:
    first = pa.table({"slice": ["2026-11-21"], "id": [1]})
    write_deltalake(str(tmp_path), first, partition_by=["slice"])
    later = pa.table({"slice": ["2026-11-22"], "id": [2], "added": ["x"]})
    write_deltalake(str(tmp_path), later, mode="append", schema_mode="merge")
    files = {file.partition["slice"]: file for file in table_files(open_table(str(tmp_path)))}

    def rows_at(version: int) -> pa.Table:
        one = files["2026-11-21"]
        return slice_table(SliceData(str(tmp_path), ("2026-11-21",), [one], version, 0, 1))

    assert rows_at(0).to_pylist() == [{"slice": "2026-11-21", "id": 1}]
    assert rows_at(1).to_pylist() == [{"slice": "2026-11-21", "id": 1, "added": None}]


def test_a_slice_column_stays_where_it_is() -> None:
    rows = pa.table({"a": [1, 2], "slice": ["x", None], "b": [3, 4]})
    found = with_slice(rows, "y")
    assert found.column_names == rows.column_names
    assert found.to_pydict() == {"a": [1, 2], "slice": ["y", "y"], "b": [3, 4]}
