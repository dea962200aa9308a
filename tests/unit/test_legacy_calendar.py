"""Days and times of files that count in the legacy calendar."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.errors import InputError
from batchinfer.inference.split_reading import read_split, whole_file
from batchinfer.legacy_calendar import calendar_of, gregorian_days, gregorian_times

EPOCH = dt.date(1970, 1, 1)
LEGACY = {"org.apache.spark.version": "3.5.1", "org.apache.spark.legacyDateTime": ""}
# Dates, and by how many days the Julian calendar counts them later than the Gregorian one.
JULIAN = {(1000, 1, 6): 5, (1582, 10, 4): 10, (300, 3, 1): 1, (200, 3, 1): 0, (1, 1, 6): -2}


def days(year: int, month: int, day: int) -> int:
    return (dt.date(year, month, day) - EPOCH).days


@pytest.mark.parametrize(("date", "shift"), list(JULIAN.items()))
def test_a_julian_day_is_the_gregorian_day_of_the_same_name(
    date: tuple[int, int, int], shift: int
) -> None:
    counted = days(*date) + shift
    assert gregorian_days(np.array([counted], np.int32)).tolist() == [days(*date)]


@given(st.integers(-719_000, 100_000))
def test_days_of_one_month_follow_each_other(day: int) -> None:
    one, next_ = gregorian_days(np.array([day, day + 1]))
    assert next_ - one in ((1,) if day > -141_427 or day < -719_000 else (0, 1, 11))
    assert (one == day) if day >= -141_427 else (one - day in range(-10, 3))


def test_a_leap_day_that_no_gregorian_year_has_is_the_first_of_march() -> None:
    counted = days(1000, 2, 28) + 5 + 1
    assert gregorian_days(np.array([counted])).tolist() == [days(1000, 3, 1)]


@pytest.mark.parametrize(
    ("zone", "seconds"),
    [("UTC", 0), ("Z", 0), ("Europe/Paris", 3600 - 561), ("+05:30", 0), ("GMT-3", 0)],
)
def test_clocks_before_1900_go_by_the_zone(zone: str, seconds: int) -> None:
    before = int(dt.datetime(1850, 6, 1, tzinfo=dt.timezone.utc).timestamp())
    after = int(dt.datetime(1900, 1, 1, tzinfo=dt.timezone.utc).timestamp())
    found = gregorian_times(np.array([before, after]), zone, 1)
    assert found.tolist() == [before + seconds, after]


def test_the_zone_says_where_a_day_of_the_old_calendar_ends() -> None:
    midnight = np.array([days(1582, 10, 15) * 86_400], np.int64)
    for zone, shift in (("UTC", 0), ("+01:00", 0), ("-01:00", -10 * 86_400)):
        assert (gregorian_times(midnight, zone, 1) - midnight).tolist() == [shift]


def write(path: Path, columns: dict[str, pa.Array], told: dict[str, str], **how: Any) -> str:
    table = pa.table(columns)
    with pq.ParquetWriter(path, table.schema, store_schema=False, **how) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata(told)
    return str(path)


def read(path: str, *columns: str) -> list[dict[str, Any]]:
    split = whole_file(path)
    return [row for batch in read_split(split, list(columns)) for row in batch.to_pylist()]


OLD = pa.array([days(1000, 1, 6) + 5, None, 0], pa.int32()).cast(pa.date32())
AS_READ = [dt.date(1000, 1, 6), None, EPOCH]


@pytest.mark.parametrize(
    ("told", "is_legacy"),
    [
        (LEGACY, True),
        ({"org.apache.spark.version": "2.4.8"}, True),
        ({"org.apache.spark.version": "3.0.0"}, False),
        ({"org.apache.spark.version": "10.1.0"}, False),
        ({"writer.date.proleptic": "false"}, True),
        ({"writer.date.proleptic": "true"}, False),
        ({}, False),
    ],
)
def test_the_footer_says_whether_dates_are_counted_so(
    tmp_path: Path, told: dict[str, str], is_legacy: bool
) -> None:
    path = write(tmp_path / "a.parquet", {"day": OLD}, told)
    found = [row["day"] for row in read(path, "day")]
    assert found == (AS_READ if is_legacy else OLD.to_pylist())


def test_dates_inside_of_others_are_read_too(tmp_path: Path) -> None:
    columns = {
        "list": pa.array([OLD.to_pylist(), None, []], pa.list_(pa.date32())),
        "struct": pa.array([{"day": day} for day in OLD.to_pylist()]),
        "map": pa.array([[("x", OLD[0].as_py())], None, []], pa.map_(pa.string(), pa.date32())),
        "plain": pa.array([["x"], None, []]),
    }
    path = write(tmp_path / "a.parquet", columns, LEGACY)
    assert read(path, *columns) == [
        {
            "list": AS_READ,
            "struct": {"day": AS_READ[0]},
            "map": [("x", AS_READ[0])],
            "plain": ["x"],
        },
        {"list": None, "struct": {"day": None}, "map": None, "plain": None},
        {"list": [], "struct": {"day": EPOCH}, "map": [], "plain": []},
    ]


MOMENT = dt.datetime(1000, 1, 12, 10, 30)


@pytest.mark.parametrize("version", ["3.0.1", "3.5.1"])
@pytest.mark.parametrize("marked", [True, False])
def test_int96_is_told_apart_from_other_times(tmp_path: Path, version: str, marked: bool) -> None:
    told = {"org.apache.spark.version": version}
    told |= {"org.apache.spark.legacyINT96": ""} if marked else {}
    column = pa.array([MOMENT], pa.timestamp("us"))
    path = write(tmp_path / "a.parquet", {"at": column}, told, use_deprecated_int96_timestamps=True)
    is_legacy = marked or version == "3.0.1"
    [row] = read(path, "at")
    assert row["at"] == MOMENT - dt.timedelta(days=5 if is_legacy else 0)


def test_times_without_a_zone_are_younger_than_that_calendar(tmp_path: Path) -> None:
    columns = {
        "local": pa.array([MOMENT], pa.timestamp("us")),
        "at": pa.array([MOMENT], pa.timestamp("us", "UTC")),
    }
    [row] = read(write(tmp_path / "a.parquet", columns, LEGACY), "local", "at")
    assert row["local"] == MOMENT
    assert row["at"].replace(tzinfo=None) == MOMENT - dt.timedelta(days=5)


def test_a_zone_that_nobody_knows_is_told_and_hurts_no_younger_time(tmp_path: Path) -> None:
    told = LEGACY | {"org.apache.spark.timeZone": "Mars/Olympus"}
    young = write(
        tmp_path / "young.parquet",
        {"at": pa.array([dt.datetime(1900, 1, 1)], pa.timestamp("us", "UTC"))},
        told,
    )
    assert len(read(young, "at")) == 1
    old = write(
        tmp_path / "old.parquet", {"at": pa.array([MOMENT], pa.timestamp("us", "UTC"))}, told
    )
    with pytest.raises(InputError, match=r"old.parquet: column 'at': it has times before 1900"):
        read(old, "at")


def test_files_of_others_cost_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", {"day": OLD}, {})
    with pq.ParquetFile(path) as parquet:
        assert calendar_of(parquet) is None
