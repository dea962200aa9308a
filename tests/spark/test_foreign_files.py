"""Parquet files that Spark reads otherwise than they were written: every road gives the values that
were written, or refuses them with the file and the column.
"""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, convert_to_deltalake
from spark.projects import DAY
from spark.roads import Rows, SharedTable, ordered

from batchinfer.contracts import SOURCE_FILE, SOURCE_LINE
from batchinfer.errors import InputError
from batchinfer.pipeline.damaged_files import damage_behind
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.extract import extract_source
from batchinfer.pipeline.slices.landed import read_data
from batchinfer.pipeline.slices.slice_frames import slice_frame

BITS = (8, 16, 32, 64)
HIVE = {"writer.date.proleptic": "false", "writer.time.zone": "Europe/Paris"}
OLD, NEW = dt.date(1582, 10, 4), dt.date(2026, 11, 21)
# How the legacy calendar counts the last day before the Gregorian one.
OLD_AS_COUNTED = dt.date(1582, 10, 14)


@pytest.fixture
def shared(tmp_path: Path, spark: Any) -> SharedTable:
    return SharedTable(tmp_path, spark)


def write(
    shared: SharedTable, columns: dict[str, Any], told: dict[str, str] | None = None, **how: Any
) -> None:
    """A file with a log, as `convert_to_deltalake` makes it."""
    table = pa.table({"id": pa.array(range(len(next(iter(columns.values())))), pa.int64())})
    for name, values in columns.items():
        table = table.append_column(name, values)
    Path(shared.place).mkdir(parents=True)
    with pq.ParquetWriter(
        f"{shared.place}/a.parquet", table.schema, store_schema=False, **how
    ) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata(told or {})
    convert_to_deltalake(shared.place)


def refused(shared: SharedTable, road: str) -> str:
    data = read_data(shared.landed(), [DAY])
    with pytest.raises(Exception) as caught:
        if road == "direct":
            shared.by_direct_road(data)
        else:
            slice_frame(shared.spark, data).collect()
    error = caught.value
    if not isinstance(error, InputError):
        found = damage_behind(shared.context(), DAY, error)
        assert found is not None, error
        error = found
    assert error.exit_code == 3
    return str(error)


def unsigned(bits: int, value: int) -> pa.Array:
    return pa.array([value, 0, None], getattr(pa, f"uint{bits}")())


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("dictionary", [True, False])
def test_unsigned_numbers_that_fit(shared: SharedTable, bits: int, dictionary: bool) -> None:
    greatest = 2 ** (bits - 1) - 1
    write(shared, {"v": unsigned(bits, greatest)}, use_dictionary=dictionary)
    wanted = [greatest, 0, None]
    found = shared.by_direct_road(read_data(shared.landed(), [DAY]))
    assert [row["v"] for row in found] == wanted
    if bits > 16 and dictionary:
        assert f"column 'v' is uint{bits} in a dictionary, which Spark" in refused(shared, "arrow")
    else:
        for rows in shared.by_roads().values():
            assert [row["v"] for row in rows] == wanted


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("statistics", [True, False])
def test_unsigned_numbers_that_do_not_fit(shared: SharedTable, bits: int, statistics: bool) -> None:
    write(
        shared,
        {"v": unsigned(bits, 2**bits - 1), "l": pa.array([[1], [], None], pa.list_(pa.int32()))},
        use_dictionary=False,
        write_statistics=statistics,
    )
    assert f"column 'v' is uint{bits} in the file" in refused(shared, "direct")
    said = f"{2**bits - 1} as -1" if statistics else "its greatest value is not told"
    assert said in refused(shared, "arrow")


def test_unsigned_numbers_inside_of_others(shared: SharedTable) -> None:
    type_ = pa.struct([("x", pa.list_(pa.uint8()))])
    write(shared, {"s": pa.array([{"x": [200]}], type_)})
    assert "column 's'" in refused(shared, "direct")
    assert "column 's.x.list.element' is uint8, of which Spark reads 200 as -56" in refused(
        shared, "arrow"
    )


@pytest.mark.parametrize("zone", ["UTC", None])
def test_times_in_nanoseconds(shared: SharedTable, zone: str | None) -> None:
    whole = pa.array([1_000_000, None], pa.int64()).cast(pa.timestamp("ns", zone))
    write(shared, {"at": whole})
    [first, second] = shared.by_direct_road(read_data(shared.landed(), [DAY]))
    assert first["at"].replace(tzinfo=None) == dt.datetime(1970, 1, 1, 0, 0, 0, 1000)
    assert second["at"] is None
    assert "column 'at' is of times in nanoseconds, which Spark does not read" in refused(
        shared, "arrow"
    )


def test_parts_of_a_microsecond_are_refused_or_told(shared: SharedTable) -> None:
    times = pa.array([1_234_567, -1, None], pa.int64()).cast(pa.timestamp("ns", "UTC"))
    inside = pa.array([[dt.datetime(2026, 1, 1)], None, []], pa.list_(pa.timestamp("ns", "UTC")))
    write(shared, {"at": times, "inside": inside})
    assert "column 'at' is timestamp[ns, tz=UTC] in the file" in refused(shared, "direct")
    report = extract_source(as_files(shared), DAY, lambda: shared.spark)
    [warning] = report.warnings
    assert warning.startswith("2 times with parts of a microsecond")


def as_files(shared: SharedTable) -> Context:
    """The pipeline with kind parquet: the same files without a log."""
    shutil.rmtree(Path(shared.place, "_delta_log"))
    shutil.rmtree(shared.root / "var", ignore_errors=True)
    return shared.context("parquet")


def landed(shared: SharedTable) -> Rows:
    context = as_files(shared)
    extract_source(context, DAY, lambda: shared.spark)
    table = DeltaTable(context.landed).to_pyarrow_table()
    return ordered(table.drop_columns(["slice", SOURCE_FILE, SOURCE_LINE]).to_pylist())


def test_old_dates_of_hive(shared: SharedTable) -> None:
    """Spark itself reads them as they are counted, ten days later."""
    write(shared, {"day": pa.array([OLD_AS_COUNTED, NEW, None])}, HIVE)
    assert shared.by_spark()[0]["day"] == OLD_AS_COUNTED
    assert "column 'day' has days before 1582-10-15 in files of Hive" in refused(shared, "arrow")
    for rows in (shared.by_direct_road(read_data(shared.landed(), [DAY])), landed(shared)):
        assert [row["day"] for row in rows] == [OLD, NEW, None]


def test_later_dates_of_hive_are_read_on_every_road(shared: SharedTable) -> None:
    times = pa.array([dt.datetime(1582, 10, 15), dt.datetime(2026, 11, 21, 1, 2, 3)])
    write(
        shared,
        {"day": pa.array([dt.date(1582, 10, 15), NEW]), "at": times},
        HIVE,
        use_deprecated_int96_timestamps=True,
    )
    wanted = shared.by_spark()
    for rows in shared.by_roads().values():
        assert rows == wanted


def test_old_times_of_hive_are_refused(shared: SharedTable) -> None:
    times = pa.array([dt.datetime(1582, 10, 14, 23), None])
    write(
        shared,
        {"at": times},
        HIVE | {"writer.date.proleptic": "true"},
        use_deprecated_int96_timestamps=True,
    )
    assert "column 'at' has times before 1582-10-15 in INT96" in refused(shared, "direct")
    assert "column 'at' has days before 1582-10-15 in files of Hive" in refused(shared, "arrow")
    with pytest.raises(InputError, match="column 'at' has times before 1582-10-15 in INT96"):
        landed(shared)


def test_days_inside_of_others_in_files_of_hive(shared: SharedTable) -> None:
    write(shared, {"days": pa.array([[OLD_AS_COUNTED, NEW]])}, HIVE)
    [row] = shared.by_direct_road(read_data(shared.landed(), [DAY]))
    assert row["days"] == [OLD, NEW]
    assert "days inside of columns (days.list.element) in files of Hive" in refused(shared, "arrow")


def test_old_days_of_other_files_are_no_ones_of_hive(shared: SharedTable) -> None:
    write(shared, {"day": pa.array([OLD_AS_COUNTED, NEW])}, HIVE)
    rows = {"id": [7], "day": [dt.date(1000, 1, 1)]}
    pl.DataFrame(rows).write_delta(shared.place, mode="append")
    assert "in files of Hive" in refused(shared, "arrow")
    DeltaTable(shared.place).delete("id = 0")
    for found in shared.by_roads().values():
        assert [row["day"] for row in found] == [NEW, dt.date(1000, 1, 1)]
