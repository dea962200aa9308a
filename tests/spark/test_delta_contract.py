"""Delta tables read in place: where the table lies, which version is read, and the columns it must
have.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake
from spark.lakes import DAYS, LakeProject, rows_of, score_all
from spark.projects import DAY

from batchinfer.errors import ConfigError, InputError, InputMissing
from batchinfer.pipeline.plan import plan_slice


def test_an_earlier_version_is_read_where_the_pipeline_asks_for_it(lake: LakeProject) -> None:
    lake.create()
    lake.insert(range(20))
    lake.insert(range(20, 40))
    lake.extract(None)
    score_all(lake)
    lake.edit_lake("path: in/table", "path: in/table\n  version: 1")
    report = lake.extract(None)
    assert (report.version, report.rows_in) == (1, 20)
    assert lake.states() == dict.fromkeys(DAYS, "stale")
    lake.backfill(*DAYS)
    assert sorted(lake.published()) == list(range(20))
    with pytest.raises(InputMissing, match="version 9; allowed: 0 to 2"):
        lake.extract(None, "source.version=9")


def test_a_moment_names_the_version_that_was_the_latest_then(lake: LakeProject) -> None:
    lake.create()
    lake.insert(range(20))
    after = dt.datetime.fromtimestamp(
        DeltaTable(lake.place).history(1)[0]["timestamp"] / 1000, dt.timezone.utc
    )
    lake.insert(range(20, 40))
    report = lake.extract(None, f"source.as_of='{after.isoformat()}'")
    assert (report.version, report.rows_in) == (1, 20)
    with pytest.raises(InputMissing, match="before the first version"):
        lake.extract(None, "source.as_of='2020-01-01'")


def test_a_version_whose_files_vacuum_took_is_refused(lake: LakeProject) -> None:
    lake.create()
    lake.insert(range(20))
    lake.sql("UPDATE {here} SET size = 1.0")
    DeltaTable(lake.place).vacuum(
        retention_hours=0, enforce_retention_duration=False, dry_run=False
    )
    with pytest.raises(
        InputError, match=r"version 1 can no longer be read: 2 of the 2 files are gone"
    ):
        lake.extract(None, "source.version=1")


def test_columns_are_held_against_those_seen_last(lake: LakeProject) -> None:
    write_deltalake(lake.place, rows_of(range(10)), partition_by=["day"])
    lake.extract(None)
    wider = rows_of(range(10, 12)).append_column("note", pa.array(["a", "b"]))
    write_deltalake(lake.place, wider, mode="append", schema_mode="merge")
    report = lake.extract(None)
    assert f"{lake.place} has a new column: note string" in report.warnings
    assert lake.score(DAYS[0]).rows_in == 6
    renamed = rows_of(range(10)).rename_columns(["id", "colour", "size", "big", "day"])
    narrowed = renamed.set_column(2, "size", renamed["size"].cast(pa.float32()))
    write_deltalake(
        lake.place, narrowed, mode="overwrite", schema_mode="overwrite", partition_by=["day"]
    )
    with pytest.raises(InputError) as caught:
        lake.extract(None)
    said = "\n".join(caught.value.problems)
    assert "no column color string, which the last extract has (did you mean colour?)" in said
    assert "column size is float; the last extract says double" in said
    assert "no column note string" in said
    assert "features" in said
    # What the hint says is enough: the columns as they are now, declared.
    lake.edit_lake(
        "key: id",
        "key: id\n  schema: {id: int, colour: string, size: float, big: string, day: date}",
    )
    lake.edit_lake("one_hot: {columns: color}", "one_hot: {columns: colour}")
    assert lake.extract(None).rows_in == 10


def test_columns_are_held_against_those_declared(lake: LakeProject) -> None:
    schema = "{day: date, id: int, color: string, size: float, big: string, late: int}"
    lake.edit_lake("key: id", f"key: id\n  schema: {schema}")
    write_deltalake(
        lake.place, rows_of(range(10)).append_column("later", pa.array(range(10), pa.int32()))
    )
    with pytest.raises(InputError) as caught:
        lake.extract(None)
    said = "\n".join(caught.value.problems)
    assert "no column late int, which source.schema has (did you mean later?)" in said
    assert "column size is double; source.schema says float" in said
    assert "has a column later (int) that source.schema does not" in said
    lake.edit_lake("size: float", "size: double")
    lake.edit_lake(", late: int", ", later: int")
    assert lake.extract(None).rows_in == 10


@pytest.mark.parametrize(
    ("override", "said"),
    [
        (
            "source.key=ident",
            "source.key: no such column: got 'ident'; allowed: id, color, size, big, day",
        ),
        ("source.slice=days", "source.slice: no such column: got 'days' (did you mean day?)"),
        ("source.slice=size", "source.slice: column size is double"),
        (
            "source.slice={column: id, unit: day}",
            "column id is int32; allowed with a unit: a date or a timestamp",
        ),
        ("source.path=in/tabel", "no such Delta table"),
        ("source.path=in/a.csv", "is a file"),
        ("source.path=conf", "is no Delta table: it has no _delta_log; it holds pipelines"),
    ],
)
def test_what_is_not_there_is_told(lake: LakeProject, override: str, said: str) -> None:
    write_deltalake(lake.place, rows_of(range(10)))
    with pytest.raises(InputError) as caught:
        lake.extract(None, override)
    assert caught.value.exit_code == 3
    assert said in "\n".join(caught.value.problems)


def test_parquet_files_without_a_log_are_no_delta_table(lake: LakeProject) -> None:
    Path(lake.place).mkdir(parents=True)
    pq.write_table(rows_of(range(3)), f"{lake.place}/a.parquet")
    with pytest.raises(
        InputError, match=r"it holds a\.parquet; for Parquet files without a log: kind: parquet"
    ):
        lake.extract(None)


def test_roots_hold_the_path(lake: LakeProject) -> None:
    write_deltalake(lake.place, rows_of(range(10)))
    with pytest.raises(ConfigError, match=r"outside source\.roots"):
        lake.extract(None, "source.roots=[conf]")
    assert lake.extract(None, "source.roots=[in]").rows_in == 10


def test_a_table_below_the_lake_is_found_by_its_name(lake: LakeProject) -> None:
    lake.edit_lake("path: in/table", "table: landed/small")
    lake.edit_lake("slice: {column: day, unit: day}", "slice: slice")
    report = lake.extract(None)
    assert (report.slices, report.rows_in, report.table) == (
        [DAY],
        40,
        str(lake.root / "var/lake/landed/small"),
    )
    assert lake.score(DAY, "source.key=[source_file, source_line]").rows_in == 40


def test_a_table_of_the_catalog_is_found_by_its_name(lake: LakeProject) -> None:
    lake.spark.sql(f"CREATE SCHEMA IF NOT EXISTS sales LOCATION '{lake.root}/sales'")
    columns = "id int, color string, size double, big string, day date"
    lake.spark.sql(f"CREATE TABLE sales.orders ({columns}) USING delta LOCATION '{lake.place}'")
    try:
        lake.insert(range(10))
        lake.edit_lake("path: in/table", "table: sales.orders")
        report = lake.extract(None)
        assert (report.table, report.rows_in) == (lake.place, 10)
        # Where it lies has been recorded: no catalog is asked any more.
        assert plan_slice(lake.context(), DAYS[0])["rows"] == 5
        with pytest.raises(InputMissing, match=r"no table sales\.order "):
            lake.extract(None, "source.table=sales.order")
    finally:
        lake.spark.sql("DROP SCHEMA sales CASCADE")


def test_columns_that_nobody_declared_are_left_out_along_every_road(lake: LakeProject) -> None:
    lake.create()
    lake.insert(range(20))
    declared = "{id: int, color: string, size: double, big: string, day: date}"
    lake.edit_lake("key: id", f"key: id\n  schema: {declared}")
    lake.extract(None)
    score_all(lake)
    expected = lake.published()
    lake.sql("ALTER TABLE {here} ADD COLUMN later array<int>")
    lake.sql("UPDATE {here} SET later = array(id)")
    with pytest.raises(InputError, match="has a column later") as caught:
        lake.extract(None)
    assert "source.columns: {new: ignore}" in str(caught.value.hint)
    lake.edit_lake("key: id", "key: id\n  columns: {new: ignore}")
    assert lake.extract(None).warnings == []
    for road in ("direct", "arrow", "pandas"):
        for day in DAYS:
            lake.score(day, f"model.road={road}", force=True)
        assert lake.published() == expected
