"""Delta tables of Spark and of delta-rs, read in place alike: versions, feeds, logs that end,
tables that are made anew.
"""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from spark.lakes import DAYS, LakeProject, as_csv, assert_same, clean_log, rows_of, score_all

from batchinfer.errors import InputError

pytestmark = pytest.mark.parametrize("writer", ["spark", "delta-rs"])
both_ways = pytest.mark.parametrize("partitioned", [True, False])


@both_ways
@pytest.mark.parametrize("option", ["version", "as_of"])
def test_a_version_or_a_moment_is_read(
    lake: LakeProject, writer: str, partitioned: bool, option: str
) -> None:
    early = lake.make(writer, range(20), partitioned=partitioned)
    at = dt.datetime.fromtimestamp(
        DeltaTable(lake.place).history(1)[0]["timestamp"] / 1000, dt.timezone.utc
    )
    late = lake.append(writer, range(20, 40))
    lake.update(writer, 9.0, "id = 0")
    told = {"version": str(early), "as_of": f"'{at.isoformat()}'"}[option]
    report = lake.extract(None, f"source.{option}={told}")
    assert (report.version, report.slices, report.rows_in) == (early, list(DAYS), 20)
    for day in DAYS:
        assert lake.score(day, f"source.{option}={told}").rows_in == 10
    assert sorted(lake.published()) == list(range(20))
    report = lake.extract(None, f"source.version={late}")
    assert (report.version, report.rows_in, lake.states()) == (
        late,
        40,
        dict.fromkeys(DAYS, "stale"),
    )
    lake.backfill(*DAYS)
    assert sorted(lake.published()) == list(range(40))


def test_a_table_is_found_by_path_and_by_its_name_below_the_lake(
    lake: LakeProject, trained: Path, writer: str
) -> None:
    lake.make(writer, range(40))
    shutil.move(lake.place, lake.root / "var/lake/bronze/orders")
    lake.edit_lake("path: in/table", "table: bronze/orders")
    assert lake.extract(None).slices == list(DAYS)
    score_all(lake)
    assert_same(lake.published(), as_csv(trained))
    lake.edit_lake("table: bronze/orders", "path: var/lake/bronze/orders")
    assert lake.extract(None).status == "unchanged"
    lake.edit_lake(
        "path: var/lake/bronze/orders", f"path: 'file://{lake.root}/var/lake/bronze/orders'"
    )
    assert lake.extract(None).status == "unchanged"


@pytest.mark.parametrize("feed", ["true", "false"])
def test_a_change_is_of_one_slice_with_the_feed_and_of_the_whole_file_without(
    lake: LakeProject, writer: str, feed: str
) -> None:
    lake.make(writer, range(40), partitioned=False, enableChangeDataFeed=feed)
    lake.extract(None)
    lake.update(writer, 9.0, "id = 1")
    report = lake.extract(None)
    assert (report.slices, report.rows_in) == (
        ([DAYS[1]], 20) if feed == "true" else (list(DAYS), 40)
    )
    lake.append(writer, range(40, 43), "2026-11-22")
    report = lake.extract(None)
    assert (report.slices, report.rows_in) == (["2026-11-22"], 3)
    DeltaTable(lake.place).delete("id = 0") if writer == "delta-rs" else lake.sql(
        "DELETE FROM {here} WHERE id = 0"
    )
    report = lake.extract(None)
    assert (report.slices, report.rows_in) == (
        ([DAYS[0]], 19) if feed == "true" else (list(DAYS), 39)
    )
    assert lake.score(DAYS[0]).rows_in == 19


def test_a_feed_that_was_switched_on_in_between_is_used_from_then_on(
    lake: LakeProject, writer: str
) -> None:
    lake.make(writer, range(40), partitioned=False)
    lake.extract(None)
    lake.update(writer, 9.0, "id = 1")
    lake.sql("ALTER TABLE {here} SET TBLPROPERTIES ('delta.enableChangeDataFeed' = 'true')")
    lake.update(writer, 8.0, "id = 1")
    assert lake.extract(None).slices == list(DAYS)
    lake.update(writer, 7.0, "id = 1")
    assert lake.extract(None).slices == [DAYS[1]]


def test_a_feed_whose_files_vacuum_took_is_done_without(lake: LakeProject, writer: str) -> None:
    lake.make(writer, range(40), partitioned=False, enableChangeDataFeed="true")
    lake.extract(None)
    lake.update(writer, 9.0, "id = 1")
    shutil.rmtree(Path(lake.place, "_change_data"))
    report = lake.extract(None)
    assert (report.slices, report.rows_in) == (list(DAYS), 40)
    assert lake.extract(None).status == "unchanged"


def test_a_feed_over_a_column_that_came(lake: LakeProject, writer: str) -> None:
    lake.make(writer, range(40), partitioned=False, enableChangeDataFeed="true")
    lake.extract(None)
    more = rows_of(range(41, 43, 2)).append_column("note", pa.array(["x"]))
    write_deltalake(lake.place, more, mode="append", schema_mode="merge")
    report = lake.extract(None)
    assert (report.slices, report.rows_in) == ([DAYS[1]], 21)
    lake.update(writer, 9.0, "id = 1")
    assert lake.extract(None).slices == [DAYS[1]]


@both_ways
@pytest.mark.parametrize("feed", ["true", "false"])
def test_a_log_that_was_cleaned_up_between_two_runs(
    lake: LakeProject, writer: str, partitioned: bool, feed: str
) -> None:
    lake.make(writer, range(20), partitioned=partitioned, enableChangeDataFeed=feed)
    lake.extract(None)
    score_all(lake)
    lake.append(writer, range(20, 40, 2))
    lake.append(writer, range(40, 42, 2))
    clean_log(lake.place)
    report = lake.extract(None)
    assert (report.slices, report.rows_in) == (list(DAYS), 31)
    assert "its log no longer tells what changed since version" in report.warnings[0]
    assert lake.states() == dict.fromkeys(DAYS, "stale")
    assert lake.extract(None).status == "unchanged"
    lake.append(writer, range(42, 44, 2))
    assert lake.extract(None).slices == [DAYS[0]]
    lake.backfill(*DAYS)
    assert sorted(lake.published()) == sorted([*range(20), *range(20, 44, 2)])


def test_a_version_whose_log_is_gone_is_refused(lake: LakeProject, writer: str) -> None:
    first = lake.make(writer, range(20))
    lake.extract(None)
    lake.append(writer, range(20, 22))
    lake.append(writer, range(22, 24))
    clean_log(lake.place)
    with pytest.raises(InputError, match=f"version {first} can no longer be read"):
        lake.extract(None, f"source.version={first}")
    with pytest.raises(
        InputError, match=f"version {first}, which was recorded, can no longer be read"
    ) as caught:
        lake.score(DAYS[0])
    assert (caught.value.exit_code, caught.value.hint) == (3, lake.context().extract_command())


@both_ways
def test_a_table_made_anew_is_read_from_its_beginning(
    lake: LakeProject, writer: str, partitioned: bool
) -> None:
    lake.make(writer, range(20), partitioned=partitioned)
    lake.extract(None)
    score_all(lake)
    shutil.rmtree(lake.place)
    lake.make(writer, range(20, 30), partitioned=partitioned)
    lake.append(writer, range(30, 40))
    with pytest.raises(InputError, match="another table lies there now") as caught:
        lake.score(DAYS[0], force=True)
    assert caught.value.hint == lake.context().extract_command()
    report = lake.extract(None)
    assert (report.slices, report.rows_in) == (list(DAYS), 20)
    assert lake.states() == {DAYS[0]: "failed", DAYS[1]: "stale"}
    lake.backfill(*DAYS)
    assert sorted(lake.published()) == list(range(20, 40))


def test_a_table_made_anew_with_fewer_slices(lake: LakeProject, writer: str) -> None:
    lake.make(writer, range(20))
    lake.append(writer, range(20, 30))
    lake.extract(None)
    score_all(lake)
    shutil.rmtree(lake.place)
    lake.make(writer, range(0, 20, 2))
    report = lake.extract(None)
    assert (report.slices, report.rows_in) == (list(DAYS), 10)
    assert lake.score(DAYS[1]).rows_in == 0
    assert lake.score(DAYS[0]).rows_in == 10
    assert sorted(lake.published()) == list(range(0, 20, 2))


@pytest.mark.parametrize("since", ["", "\n  changes_since: auto"])
def test_a_day_of_a_table_that_is_gone_is_not_read_from_the_one_in_its_place(
    lake: LakeProject, writer: str, since: str
) -> None:
    lake.edit_lake("slice: {column: day, unit: day}", f"slice: ingest_date{since}")
    lake.make(writer, range(20))
    lake.append(writer, range(20, 30))
    lake.extract("2026-11-20")
    shutil.rmtree(lake.place)
    lake.make(writer, range(30, 35))
    lake.append(writer, range(35, 40))
    lake.append(writer, range(40, 44))
    assert lake.extract("2026-11-21").rows_in == 14
    with pytest.raises(InputError, match="another table lies there now"):
        lake.score("2026-11-20")
    lake.append(writer, range(44, 50))
    assert lake.extract("2026-11-22").rows_in == (6 if since else 20)
    assert lake.score("2026-11-21").rows_in == 14
    assert sorted(lake.published()) == list(range(30, 44))


@both_ways
def test_columns_that_came_are_told_and_those_that_went_end_the_run(
    lake: LakeProject, writer: str, partitioned: bool
) -> None:
    lake.make(writer, range(20), partitioned=partitioned)
    lake.extract(None)
    score_all(lake)
    if writer == "spark":
        lake.sql("ALTER TABLE {here} ADD COLUMN note string")
        lake.sql("INSERT INTO {here} VALUES (20, 'red', 1.0, 'no', DATE'2026-11-20', 'new')")
    else:
        more = rows_of(range(20, 22, 2)).append_column("note", pa.array(["new"]))
        write_deltalake(lake.place, more, mode="append", schema_mode="merge")
    report = lake.extract(None)
    assert (report.slices, report.rows_in) == ([DAYS[0]], 11)
    assert report.warnings == [f"{lake.place} has a new column: note string"]
    assert lake.score(DAYS[0]).rows_in == 11
    recorded = lake.table_of("landed").to_pylist()
    narrow = rows_of(range(20)).drop_columns("color")
    narrow = narrow.set_column(0, "id", narrow["id"].cast(pa.int64()))
    if writer == "spark":
        frame = lake.spark.createDataFrame(
            narrow.to_pylist(), "id long, size double, big string, day date"
        )
        how = frame.write.format("delta").mode("overwrite").option("overwriteSchema", "true")
        (how.partitionBy("day") if partitioned else how).save(lake.place)
    else:
        by = ["day"] if partitioned else None
        write_deltalake(
            lake.place, narrow, mode="overwrite", schema_mode="overwrite", partition_by=by
        )
    with pytest.raises(InputError) as caught:
        lake.extract(None)
    assert (caught.value.exit_code, "source.schema" in str(caught.value.hint)) == (3, True)
    there = "id bigint, size double, big string, day date"
    assert list(caught.value.problems)[:3] == [
        f"{lake.place}: column id is bigint; the last extract says int",
        f"{lake.place}: no column color string, which the last extract has; the table has {there}",
        f"{lake.place}: no column note string, which the last extract has; the table has {there}",
    ]
    assert "features" in caught.value.problems[3]
    assert lake.table_of("landed").to_pylist() == recorded
    assert lake.score(DAYS[0], force=True).rows_in == 11


@both_ways
def test_slices_of_any_text(lake: LakeProject, writer: str, partitioned: bool) -> None:
    names = ["50%", "a b", "a=b", "a:b", "ü'#?", "2026-11-20 10:00"]
    rows = rows_of(range(12)).set_column(4, "day", pa.array(names * 2))
    lake.edit_lake("slice: {column: day, unit: day}", "slice: day")
    if writer == "spark":
        how = lake.spark.createDataFrame(
            rows.to_pylist(), "id int, color string, size double, big string, day string"
        ).write
        (how.partitionBy("day") if partitioned else how).format("delta").save(lake.place)
    else:
        write_deltalake(lake.place, rows, partition_by=["day"] if partitioned else None)
    assert lake.extract(None).slices == sorted(names)
    for road in ("direct", "arrow"):
        for name in names:
            assert lake.score(name, f"model.road={road}", force=True).rows_in == 2
    assert len(lake.published()) == 12
    if writer == "spark":
        lake.sql("UPDATE {here} SET size = 9.0 WHERE day = '50%'")
    else:
        DeltaTable(lake.place).update(updates={"size": "9.0"}, predicate="day = '50%'")
    assert "50%" in lake.extract(None).slices
