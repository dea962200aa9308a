"""Parquet files, as Spark, pandas, DuckDB and Polars write them, from the folder to the
predictions.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from spark.projects import DAY, SmallProject

from batchinfer.errors import ConfigError, InputError, TooManyQuarantined

UTC = dt.timezone.utc
SOURCE = (
    "  kind: csv\n  path: in/*.csv\n  schema: {id: int, color: string, size: double, big: string}\n"
)


@pytest.fixture
def project(small: SmallProject) -> SmallProject:
    """The small project with Parquet files in place of its CSV file, and no schema."""
    small.edit(SOURCE, "  kind: parquet\n  path: in\n")
    (small.root / "in/a.csv").unlink()
    return small


def rows_of(numbers: range) -> dict[str, Any]:
    colors = ("red", "blue", "green")
    return {
        "id": pa.array(numbers, pa.int32()),
        "color": [colors[n % 3] for n in numbers],
        "size": [n * 0.37 for n in numbers],
        "big": ["yes" if n % 7 > 3 else "no" for n in numbers],
    }


def write(project: SmallProject, name: str, numbers: range, **options: Any) -> Path:
    path = project.root / "in" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(rows_of(numbers)), path, **options)
    return path


def landed(project: SmallProject) -> list[dict[str, Any]]:
    return project.table("landed").sort_by("id").to_pylist()


def test_train_and_score_without_a_schema(project: SmallProject) -> None:
    write(project, "a.parquet", range(40), row_group_size=7)
    report = project.extract()
    assert (report.rows_in, report.rows_landed, report.files_read) == (40, 40, 1)
    assert [row["source_line"] for row in landed(project)] == list(range(1, 41))
    project.train()
    assert project.score().rows_scored == 40
    assert len(project.predictions()) == 40
    assert project.extract().status == "unchanged"
    write(project, "b.parquet", range(40, 45))
    again = project.extract()
    assert (again.files_read, again.rows_landed) == (1, 5)
    assert project.states() == {DAY: "stale"}


def test_labelled_data_may_land_before_anything_else_and_what_is_scored_has_no_target(
    project: SmallProject,
) -> None:
    project.edit("train:\n", "train:\n  source: {path: labelled}\n")
    path = write(project, "a.parquet", range(40))
    (project.root / "labelled").mkdir()
    path.rename(project.root / "labelled/a.parquet")
    project.train()
    pq.write_table(pa.table(rows_of(range(10))).drop_columns(["big"]), path)
    assert project.extract().rows_landed == 10
    assert "big" not in landed(project)[0]
    assert project.score().rows_scored == 10
    project.train()


def test_a_feature_of_no_column_is_told_before_anything_lands_or_is_learnt(
    project: SmallProject,
) -> None:
    write(project, "a.parquet", range(40))
    project.edit("standardize: {columns: size}", "standardize: {columns: sise}")
    with pytest.raises(
        ConfigError,
        match=r"features\[0\]\.standardize\.columns.*no column 'sise'; did you mean 'size'",
    ):
        project.extract()
    assert not (project.root / "var/lake/landed").exists()
    project.edit("standardize: {columns: sise}", "standardize: {columns: size}")
    project.extract()
    with pytest.raises(ConfigError, match=r"no such column: got 'bigg' \(did you mean big\?\)"):
        project.train("train.target.column=bigg")


def test_a_folder_that_spark_wrote_with_partitions_and_old_timestamps(
    project: SmallProject, spark: SparkSession
) -> None:
    project.edit("  key: id", "  key: [id, country]")
    frame = spark.range(40).select(
        F.col("id").cast("int").alias("id"),
        F.lit("red").alias("color"),
        F.col("id").cast("double").alias("size"),
        F.lit("no").alias("big"),
        F.timestamp_seconds(F.col("id") - 10**10).alias(
            "t"
        ),  # the year 1653: INT96 holds it, its nanoseconds do not
        F.col("id").cast("decimal(12,2)").alias("price"),
        F.array(F.struct(F.col("id").alias("n"), F.lit("x").alias("s"))).alias("parts"),
        F.create_map(F.lit("k"), F.col("id")).alias("facts"),
        F.when(F.col("id") % 2 == 0, F.lit("Côte/d=Or 1")).alias("country"),
        (F.col("id") % 3).cast("int").alias("month"),
    )
    previous = spark.conf.get("spark.sql.parquet.outputTimestampType")
    spark.conf.set("spark.sql.parquet.outputTimestampType", "INT96")
    try:
        frame.write.mode("overwrite").partitionBy("month", "country").parquet(
            str(project.root / "in")
        )
    finally:
        spark.conf.set("spark.sql.parquet.outputTimestampType", previous)
    [part, *_] = (project.root / "in").glob("**/*.parquet")
    assert pq.ParquetFile(part).schema.column(4).physical_type == "INT96"
    with pytest.raises(TooManyQuarantined, match="null_key"):
        project.extract(DAY, "checks.max_quarantine_rate=0.1")
    project.edit("  key: [id, country]", "  key: id")
    assert project.extract().rows_landed == 40
    assert [row["month"] for row in landed(project)] == [n % 3 for n in range(40)]
    # The same rows, read with Spark from both places.
    names = ["id", "t", "price", "parts", "facts", "country", "month"]
    source = spark.read.parquet(str(project.root / "in")).select(*names).orderBy("id").collect()
    table = (
        spark.read.format("delta")
        .load(project.context().landed)
        .select(*names)
        .orderBy("id")
        .collect()
    )
    assert [row.asDict(recursive=True) for row in table] == [
        row.asDict(recursive=True) for row in source
    ]


def test_files_of_pandas_duckdb_and_polars_lie_side_by_side(project: SmallProject) -> None:
    project.edit(
        "  path: in\n",
        "  path: in\n  schema: {id: int, color: string, size: double, big: string, t: timestamp, "
        "tags: array<string>}\n",
    )
    folder = project.root / "in"
    frame = pd.DataFrame(pa.table(rows_of(range(10))).to_pandas())
    frame["color"] = frame["color"].astype("category")
    frame["t"] = pd.Timestamp("2026-11-21 12:00:00.123456789")
    frame["tags"] = [["x", None]] * 10
    frame.to_parquet(folder / "pandas.parquet", coerce_timestamps=None)
    moment = pl.lit(dt.datetime(2026, 11, 21, 12, tzinfo=UTC)).dt.cast_time_unit("ns").alias("t")
    polars = pl.DataFrame(pa.table(rows_of(range(10, 20)))).with_columns(
        moment, tags=pl.Series([["x", None]] * 10)
    )
    polars.write_parquet(folder / "polars.parquet")
    duckdb.sql(
        "copy (select range::int as id, 'red' as color, range * 0.5::double as size, 'no' as big, "
        "['x', null] as tags, "
        "timestamptz '2026-11-21 12:00:00+00' as t from range(20, 30)) to "
        f"'{folder}/duckdb.parquet' (format parquet)"
    )
    assert project.extract().rows_landed == 30
    rows = landed(project)
    noon = dt.datetime(2026, 11, 21, 12, tzinfo=UTC)
    assert [row["t"] for row in rows] == [noon.replace(microsecond=123456)] * 10 + [noon] * 20
    assert all(row["tags"] == ["x", None] for row in rows)
    assert [row["color"] for row in rows[:3]] == ["red", "blue", "green"]


def test_a_file_that_changed_is_refused_or_replaced(project: SmallProject) -> None:
    write(project, "a.parquet", range(10))
    write(project, "b.parquet", range(10, 20))
    project.extract()
    write(project, "b.parquet", range(10, 15))
    with pytest.raises(InputError, match=r"b\.parquet: it changed after it was landed"):
        project.extract()
    assert len(landed(project)) == 20
    assert project.extract(DAY, "source.on_changed=replace").rows_landed == 5
    assert [row["id"] for row in landed(project)] == list(range(15))
    with pytest.raises(ConfigError, match="allowed: fail, replace"):
        project.extract(DAY, "source.on_changed=append")


@pytest.mark.parametrize("damage", ["footer", "data", "drift"])
def test_a_bad_file_among_good_ones_lands_nothing(project: SmallProject, damage: str) -> None:
    write(project, "a.parquet", range(10))
    path = write(
        project, "b.parquet", range(10, 2000), row_group_size=500, write_page_checksum=True
    )
    data = path.read_bytes()
    if damage == "footer":
        path.write_bytes(data[:-100])
    elif damage == "data":
        place = pq.ParquetFile(path).metadata.row_group(2).column(2).data_page_offset
        path.write_bytes(data[: place + 60] + bytes(20) + data[place + 80 :])
    else:
        pq.write_table(pa.table(rows_of(range(10)) | {"id": pa.array(range(10), pa.int64())}), path)
    expected = {
        "footer": "is no Parquet file",
        "data": "row group 2, is damaged",
        "drift": "'id' is bigint; allowed: int",
    }
    with pytest.raises(InputError, match=rf"b\.parquet.*{expected[damage]}"):
        project.extract()
    assert not list((project.root / "var/lake").glob("landed/**/*.parquet"))
    path.unlink()
    assert project.extract().rows_landed == 10


def test_columns_that_landed_stay_the_contract_of_later_files(project: SmallProject) -> None:
    write(project, "b.parquet", range(10))
    project.extract()
    table = pa.table(rows_of(range(10, 20)))
    pq.write_table(table.append_column("more", table["id"]), project.root / "in/a.parquet")
    with pytest.raises(InputError, match=r"a\.parquet: .*not expected: 'more' \(int\)"):
        project.extract()
    pq.write_table(table.select(["big", "size", "id", "color"]), project.root / "in/a.parquet")
    assert project.extract().rows_landed == 10


def test_times_without_a_zone_land_as_they_are_and_all_readers_read_them(
    project: SmallProject, spark: SparkSession
) -> None:
    moment = dt.datetime(2026, 11, 21, 23, 59, 59, 999_999)
    table = pa.table(rows_of(range(3))).append_column(
        "t", pa.array([moment] * 3, pa.timestamp("us"))
    )
    (project.root / "in").mkdir(exist_ok=True)
    pq.write_table(table, project.root / "in/a.parquet")
    project.edit("  slice: ingest_date", "  slice: {column: t, unit: hour}")
    report = project.extract(None)
    assert report.slices == ["2026-11-21T23"]
    assert landed(project)[0]["t"] == moment
    assert spark.read.format("delta").load(report.table).first()["t"] == moment  # pyright: ignore[reportOptionalSubscript]
    assert pl.read_delta(report.table)["t"][0] == moment


def test_hundreds_of_small_files_are_few_tasks_and_few_files(project: SmallProject) -> None:
    for number in range(300):
        write(project, f"day={number % 5}/{number:03}.parquet", range(number * 3, number * 3 + 3))
    report = project.extract()
    assert (report.rows_landed, report.files_read) == (900, 300)
    assert len(list((project.root / "var/lake/landed").glob("**/*.parquet"))) <= 10
    assert [row["day"] for row in landed(project)] == [n // 3 % 5 for n in range(900)]
