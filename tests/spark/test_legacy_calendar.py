"""Dates and times of files that Spark wrote in the legacy calendar: every road reads what Spark
reads.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from spark.roads import SharedTable, ordered, same_rows, settings

from batchinfer.contracts import SOURCE_FILE, SOURCE_LINE
from batchinfer.pipeline.extract import extract_source
from batchinfer.pipeline.slices.landed import read_data
from batchinfer.pipeline.slices.reading import read_rows
from batchinfer.pipeline.slices.slice_frames import slice_frame
from batchinfer.pipeline.slices.slice_splits import splits_of

_YEARS = (1, 4, 100, 325, 900, 1000, 1500)
DAYS = [
    *[f"{year:04}-{day}" for year in _YEARS for day in ("01-06", "03-01")],
    *("0500-02-28", "1582-10-04", "1582-10-15", "1600-02-29", "1899-12-31"),
    *("1900-01-01", "2026-11-21"),
]
ZONES = ["UTC", "Europe/Paris", "America/Los_Angeles", "Asia/Kolkata", "+05:30"]


def write(spark: Any, place: str, kind: str, zone: str, times: str, how: str) -> None:
    told = {
        "spark.sql.session.timeZone": zone,
        "spark.sql.parquet.datetimeRebaseModeInWrite": how,
        "spark.sql.parquet.int96RebaseModeInWrite": how,
        "spark.sql.parquet.outputTimestampType": times,
    }
    rows = [
        (2 * number + late, dt.date.fromisoformat(day), f"{day} {clock}")
        for number, day in enumerate(DAYS)
        for late, clock in enumerate(("00:00:00.000001", "23:59:59.999999"))
    ] + [(1000, None, None)]
    with settings(spark, told):
        frame = spark.createDataFrame(rows, "id int, day date, text string").selectExpr(
            "id", "day", "cast(text as timestamp) at", "cast(text as timestamp_ntz) local",
            "struct(day, array(cast(text as timestamp), null) as times) inside",
            "map('day', day) days",
        )  # fmt: skip
        frame.coalesce(1).write.format(kind).save(place)


@pytest.mark.parametrize(
    ("times", "zone"),
    [
        *(("TIMESTAMP_MICROS", zone) for zone in ZONES),
        ("TIMESTAMP_MILLIS", "Europe/Paris"),
        ("INT96", "Europe/Paris"),
    ],
)
def test_every_road_reads_what_spark_reads(
    tmp_path: Path, spark: Any, times: str, zone: str
) -> None:
    table = SharedTable(tmp_path, spark)
    write(spark, table.place, "delta", zone, times, "LEGACY")
    wanted = table.by_spark()
    assert wanted[0]["day"] == dt.date(1, 1, 6)
    for rows in table.by_roads().values():
        same_rows(rows, wanted)


@pytest.mark.parametrize("times", ["TIMESTAMP_MICROS", "INT96"])
@pytest.mark.parametrize("how", ["LEGACY", "CORRECTED"])
def test_files_land_with_the_days_that_spark_reads(
    tmp_path: Path, spark: Any, how: str, times: str
) -> None:
    table = SharedTable(tmp_path, spark)
    write(spark, table.place, "parquet", "Europe/Paris", times, how)
    context = table.context("parquet")
    extract_source(context, "2026-11-21", lambda: spark)
    landed = DeltaTable(context.landed).to_pyarrow_table()
    landed = landed.drop_columns(["slice", SOURCE_FILE, SOURCE_LINE])
    assert ordered(landed.to_pylist()) == ordered(
        spark.read.parquet(table.place).toArrow().to_pylist()
    )


@pytest.mark.parametrize("feed", ["true", "false"])
def test_a_slice_of_such_a_day_has_its_rows_on_every_road(
    tmp_path: Path, spark: Any, feed: str
) -> None:
    table = SharedTable(tmp_path, spark)
    here = f"delta.`{table.place}`"
    spark.sql(
        f"CREATE TABLE {here} (id int, day date) USING delta "
        f"TBLPROPERTIES (delta.enableChangeDataFeed = {feed})"
    )
    for days in (("1000-01-06", "1582-10-04"), ("1000-01-06", "1000-01-12")):
        with settings(spark, {"spark.sql.parquet.datetimeRebaseModeInWrite": "LEGACY"}):
            spark.sql(f"INSERT INTO {here} VALUES (1, DATE'{days[0]}'), (2, DATE'{days[1]}')")
        context = table.landed("day")
    for slice_, count in {"1000-01-06": 2, "1582-10-04": 1, "1000-01-12": 1}.items():
        data = read_data(context, [slice_])
        read = [batch for split in splits_of(data, 1) for batch in read_rows(split, ["day"])]
        assert data.rows == sum(batch.num_rows for batch in read) == count
        assert slice_frame(spark, data).count() == count
