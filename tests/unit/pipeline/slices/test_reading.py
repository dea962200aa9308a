"""Rows of a table that is read in place: which slice they are of, and what a worker keeps of a
file.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from batchinfer.config.shapes.source_columns import SliceColumn
from batchinfer.inference.split_reading import Part, Split
from batchinfer.json_values import from_json, to_json
from batchinfer.pipeline.landing.delta_unsliced import Unsliced, UnslicedOf, quarantine_unsliced
from batchinfer.pipeline.slices.reading import (
    SliceCounts,
    SlicesOf,
    SliceSplit,
    count_slices,
    read_rows,
    slice_names,
)

DAY = SliceColumn(column="at", unit="day")
TIMES = [dt.datetime(2026, 11, 20, 23, 59, 59), dt.datetime(2026, 11, 21), None]


TYPES = {"id": "int", "at": "timestamp", "country": "string", "later": "double"}


def split_of(path: Path, **more: Any) -> SliceSplit:
    split = Split((Part(str(path), partition={"country": "no"}),), 3, 1)
    return SliceSplit(split, **{"types": TYPES, **more})


def written(folder: Path) -> Path:
    """A file as Spark writes it: INT96 times, a partition column that is not in it, and a column
    that came later missing.
    """
    rows = pa.table(
        {"id": pa.array([1, 2, 3], pa.int32()), "at": pa.array(TIMES, pa.timestamp("ns"))}
    )
    pq.write_table(rows, folder / "a.parquet", use_deprecated_int96_timestamps=True)
    return folder / "a.parquet"


def test_names_that_paths_cannot_hold_name_no_slice() -> None:
    batch = pa.RecordBatch.from_pydict({"at": ["a", None, "../b", ".", "", "c"]})
    assert slice_names(batch, SliceColumn(column="at")).to_pylist() == [
        "a",
        None,
        None,
        None,
        None,
        "c",
    ]


def test_a_worker_keeps_the_rows_of_its_slices_and_completes_their_columns(tmp_path: Path) -> None:
    split = split_of(written(tmp_path), within=DAY, slices=("2026-11-21",))
    [batch] = read_rows(split, ["country", "later", "id"])
    assert batch.schema.names == ["country", "later", "id"]
    assert batch.to_pylist() == [{"country": "no", "later": None, "id": 2}]


def test_without_slices_all_rows_are_kept(tmp_path: Path) -> None:
    [batch] = read_rows(split_of(written(tmp_path)), ["id", "at"])
    assert batch.column("id").to_pylist() == [1, 2, 3]
    assert batch.schema.field("at").type == pa.timestamp("us", tz="UTC")


def test_rows_are_counted_by_slice(tmp_path: Path) -> None:
    [counts] = count_slices(SlicesOf(split_of(written(tmp_path)), DAY))
    assert dict(counts) == {"2026-11-20": 1, "2026-11-21": 1, None: 1}
    assert sorted(from_json(SliceCounts, to_json(counts)), key=str) == sorted(counts, key=str)


def test_times_after_the_year_2262_keep_their_day(tmp_path: Path) -> None:
    """INT96 holds more than nanoseconds of 64 bits do."""
    rows = pa.table({"at": pa.array([dt.datetime(2262, 4, 11)], pa.timestamp("ns"))})
    pq.write_table(rows, tmp_path / "b.parquet", use_deprecated_int96_timestamps=True)
    [batch] = read_rows(split_of(tmp_path / "b.parquet", types={"at": "timestamp"}), ["at"])
    assert batch.column("at").to_pylist()[0].year == 2262


def unsliced(folder: Path, *columns: str) -> Unsliced:
    return Unsliced(DAY, columns, ("id",), "/lake/t", "p", "r", str(folder / "quarantine"))


def test_rows_of_no_slice_are_written_with_their_reason(tmp_path: Path) -> None:
    told = unsliced(tmp_path, "id", "at", "country")
    [result] = quarantine_unsliced(UnslicedOf(split_of(written(tmp_path)), told))
    assert result.reasons == {"null_slice": 1}
    [file] = result.quarantine
    [row] = pq.read_table(tmp_path / "quarantine" / file.path).to_pylist()
    assert (row["source_file"], row["key"], row["raw"]) == (
        "/lake/t",
        '{"id":3}',
        b'{"id":3,"at":null,"country":"no"}',
    )


def test_a_split_without_such_rows_writes_nothing(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"id": [1], "at": pa.array(TIMES[:1], pa.timestamp("us", "UTC"))}),
        tmp_path / "c.parquet",
    )
    task = UnslicedOf(split_of(tmp_path / "c.parquet"), unsliced(tmp_path, "id", "at"))
    assert list(quarantine_unsliced(task)) == []
