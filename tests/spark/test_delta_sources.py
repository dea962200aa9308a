"""Delta tables read in place: made by Spark and by delta-rs, partitioned or not, changed in every way that tables change."""

from __future__ import annotations

import datetime as dt
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake
from spark.projects import DAY, SmallProject

from batchinfer.errors import ConfigError, InputError, InputMissing, TooManyQuarantined
from batchinfer.pipeline.context import Context
from batchinfer.pipeline.plan import plan

DAYS = ("2026-11-20", "2026-11-21")
LAKE = """\
name: lake
source:
  kind: delta
  path: in/table
  key: id
  slice: {column: day, unit: day}
features:
  - standardize: {columns: size}
  - one_hot: {columns: color}
train:
  target: {column: big, positive: ["yes"]}
  params: {hidden: [4], epochs: 3, seed: 1}
model: {uri: "models:/small@champion"}
checks: {max_quarantine_rate: 0.5}
sink: {table: predictions/lake}
"""
EXPECTATION = "- expect_column_values_to_be_between: {column: id, min_value: 1, max_value: 39}\n"


@dataclass
class LakeProject(SmallProject):
    """A project with a Delta table beside the CSV files, and a pipeline that reads it in place."""

    spark: Any = None
    name: str = "lake"

    def context(self, *overrides: str) -> Context:
        return Context.open(str(self.root / f"conf/pipelines/{self.name}.yaml"), "local", [*self.overrides, *overrides])

    @property
    def place(self) -> str:
        return str(self.root / "in/table")

    def sql(self, text: str) -> Any:
        return self.spark.sql(text.replace("{here}", f"delta.`{self.place}`"))

    def create(self, *, partitioned: bool = True, **properties: str) -> None:
        told = ", ".join(f"'delta.{name}'='{value}'" for name, value in properties.items())
        self.sql(
            "CREATE TABLE {here} (id int, color string, size double, big string, day date) USING delta"
            + (" PARTITIONED BY (day)" if partitioned else "")
            + (f" TBLPROPERTIES ({told})" if told else "")
        )

    def insert(self, numbers: range, day: str | None = None) -> None:
        columns = "id int, color string, size double, big string, day date"
        rows = self.spark.createDataFrame(rows_of(numbers, day).to_pylist(), columns)
        rows.coalesce(1).write.format("delta").mode("append").save(self.place)

    def edit_lake(self, old: str, new: str) -> None:
        path = self.root / "conf/pipelines/lake.yaml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def table_of(self, kind: str) -> pa.Table:
        return DeltaTable(str(self.root / "var/lake" / kind / self.name)).to_pyarrow_table()

    def published(self, name: str = "lake") -> dict[int, tuple[float, str]]:
        rows = DeltaTable(str(self.root / "var/lake/predictions" / name)).to_pyarrow_table().to_pylist()
        return {row["id"]: (row["score"], row["label"]) for row in rows}

    def quarantined(self) -> list[dict[str, Any]]:
        place = self.root / "var/lake/quarantine" / self.name
        return DeltaTable(str(place)).to_pyarrow_table().to_pylist() if place.exists() else []


def rows_of(numbers: range, day: str | None = None) -> pa.Table:
    """The rows of the CSV files, each of a day: even numbers of the first, odd ones of the second."""
    colors = ("red", "blue", "green")
    days = [dt.date.fromisoformat(day or DAYS[n % 2]) for n in numbers]
    return pa.table(
        {
            "id": pa.array(numbers, pa.int32()),
            "color": [colors[n % 3] for n in numbers],
            "size": [round(n * 0.37, 2) for n in numbers],
            "big": ["yes" if n % 7 > 3 else "no" for n in numbers],
            "day": pa.array(days, pa.date32()),
        }
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, spark: Any) -> Path:
    """The state of a project after the CSV rows were landed, learned from and scored."""
    from spark.projects import PIPELINE, csv_of

    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("BATCHINFER_HOME", raising=False)
        project = SmallProject(tmp_path_factory.mktemp("trained"), lambda: spark)
        project.write("conf/pipelines/small.yaml", PIPELINE)
        project.write("in/a.csv", csv_of(range(40)))
        project.extract()
        project.train()
        project.score()
    return project.root


@pytest.fixture
def lake(tmp_path: Path, trained: Path, spark: Any, monkeypatch: pytest.MonkeyPatch) -> LakeProject:
    """A project whose model has been trained, with no table yet."""
    monkeypatch.delenv("BATCHINFER_HOME", raising=False)
    project = LakeProject(tmp_path, lambda: spark, spark=spark)
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    project.write("conf/pipelines/lake.yaml", LAKE)
    return project


def as_csv(trained: Path) -> dict[int, tuple[float, str]]:
    return SmallProject(trained, lambda: None).predictions(DAY)


def score_all(lake: LakeProject, road: str = "direct") -> None:
    for day in DAYS:
        assert lake.score(day).road == road


def test_a_partitioned_table_scores_as_the_same_rows_from_csv(lake: LakeProject, trained: Path) -> None:
    lake.create()
    lake.insert(range(40))
    report = lake.extract(None)
    assert (report.status, report.rows_in, report.rows_landed, report.slices) == ("landed", 40, 40, list(DAYS))
    assert (report.table, report.version) == (lake.place, 1)
    again = lake.extract(None)
    assert (again.status, again.rows_in, again.version) == ("unchanged", 0, 1)
    score_all(lake)
    assert lake.published() == as_csv(trained)
    rows = lake.table_of("predictions").to_pylist()
    assert {(row["source_table"], row["source_version"]) for row in rows} == {(lake.place, 1)}
    assert not list((lake.root / "var/lake/landed/lake").glob("**/day=*")), "rows were copied"


def test_rows_of_several_slices_in_one_file_are_told_apart_by_the_worker(lake: LakeProject, trained: Path) -> None:
    lake.create(partitioned=False)
    lake.insert(range(40))
    assert lake.extract(None).slices == list(DAYS)
    score_all(lake)
    assert lake.published() == as_csv(trained)


@pytest.mark.parametrize("road", ["arrow", "pandas"])
def test_spark_reads_a_slice_at_the_version_recorded(lake: LakeProject, trained: Path, road: str) -> None:
    lake.create(partitioned=False)
    lake.insert(range(40))
    lake.extract(None)
    lake.sql("DELETE FROM {here} WHERE id < 20")
    for day in DAYS:
        assert lake.score(day, f"model.road={road}").rows_in == 20
    assert lake.published() == as_csv(trained)


def test_a_table_of_delta_rs_reads_alike(lake: LakeProject, trained: Path) -> None:
    write_deltalake(lake.place, rows_of(range(40)), partition_by=["day"])
    lake.extract(None)
    score_all(lake)
    assert lake.published() == as_csv(trained)


@pytest.mark.parametrize("partitioned", [True, False])
def test_late_rows_make_their_slice_stale_and_backfill_scores_it(lake: LakeProject, trained: Path, partitioned: bool) -> None:
    lake.create(partitioned=partitioned)
    lake.insert(range(36))
    lake.extract(None)
    score_all(lake)
    assert lake.states() == dict.fromkeys(DAYS, "published")
    lake.insert(range(36, 40, 2))
    report = lake.extract(None)
    assert (report.status, report.slices, report.rows_in) == ("landed", [DAYS[0]], 20)
    assert lake.states() == {DAYS[0]: "stale", DAYS[1]: "published"}
    filled = lake.backfill(*DAYS)
    assert [row["status"] for row in filled.slices] == ["published", "unchanged"]
    assert lake.states() == dict.fromkeys(DAYS, "published")
    assert lake.published() == {key: value for key, value in as_csv(trained).items() if key not in (37, 39)}


@pytest.mark.parametrize("partitioned", [True, False])
def test_optimize_changes_no_slice(lake: LakeProject, partitioned: bool) -> None:
    lake.create(partitioned=partitioned)
    lake.insert(range(20))
    lake.insert(range(20, 40))
    lake.extract(None)
    score_all(lake)
    lake.sql("OPTIMIZE {here}")
    assert DeltaTable(lake.place).version() == 3
    report = lake.extract(None)
    assert (report.status, report.version) == ("unchanged", 3)
    assert lake.states() == dict.fromkeys(DAYS, "published")
    # The version recorded moved along: what VACUUM takes is not needed any more.
    DeltaTable(lake.place).vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    assert plan(lake.context(), DAYS[0])["rows"] == 20
    assert lake.score(DAYS[0], force=True).rows_in == 20


def test_rows_deleted_by_vectors_are_not_scored(lake: LakeProject, trained: Path) -> None:
    lake.create(enableDeletionVectors="true")
    lake.insert(range(40))
    lake.extract(None)
    score_all(lake)
    lake.sql("DELETE FROM {here} WHERE id IN (0, 2)")
    report = lake.extract(None)
    assert (report.slices, report.rows_in) == ([DAYS[0]], 18)
    run = lake.score(DAYS[0])
    assert (run.road, run.road_reason, run.rows_in) == ("arrow", "the table has deletion vectors", 18)
    assert lake.published() == {key: value for key, value in as_csv(trained).items() if key not in (0, 2)}


def test_rows_deleted_by_vectors_in_a_table_without_partitions(lake: LakeProject) -> None:
    lake.create(partitioned=False, enableDeletionVectors="true")
    lake.insert(range(40))
    lake.extract(None)
    lake.sql("DELETE FROM {here} WHERE id IN (0, 2)")
    # Without a change data feed every slice of the file that changed counts as changed; the rows are counted exactly.
    report = lake.extract(None)
    assert (report.slices, report.rows_in) == (list(DAYS), 38)
    assert lake.score(DAYS[0]).rows_in == 18
    with pytest.raises(InputError, match="deletion vectors"):
        lake.train("model.uri=models:/other@champion")


def test_names_that_are_mapped_are_read_by_spark(lake: LakeProject, trained: Path) -> None:
    lake.create(**{"columnMapping.mode": "name"})
    lake.insert(range(40))
    lake.sql("ALTER TABLE {here} ADD COLUMN note string")
    lake.extract(None)
    score_all(lake, "arrow")
    assert lake.published() == as_csv(trained)
    lake.insert(range(40, 42, 2))
    assert lake.extract(None).slices == [DAYS[0]]


def test_the_change_data_feed_names_the_slices_exactly(lake: LakeProject) -> None:
    lake.create(partitioned=False, enableChangeDataFeed="true")
    lake.insert(range(40))
    lake.extract(None)
    score_all(lake)
    lake.spark.createDataFrame([(1, 9.0), (41, 1.0)], "id int, size double").createOrReplaceTempView("news")
    lake.sql(
        "MERGE INTO {here} t USING news s ON t.id = s.id WHEN MATCHED THEN UPDATE SET t.size = s.size "
        "WHEN NOT MATCHED THEN INSERT (id, color, size, big, day) VALUES (s.id, 'red', s.size, 'no', DATE'2026-11-22')"
    )
    # The file that MERGE rewrote holds rows of both days; the feed tells that only one of them changed.
    report = lake.extract(None)
    assert (report.slices, report.rows_in) == (["2026-11-21", "2026-11-22"], 21)
    assert lake.states() == {DAYS[0]: "published", DAYS[1]: "stale", "2026-11-22": "missing"}
    lake.sql("OPTIMIZE {here}")
    assert lake.extract(None).status == "unchanged"


def test_without_the_feed_all_slices_of_a_rewritten_file_count_as_changed(lake: LakeProject) -> None:
    lake.create(partitioned=False)
    lake.insert(range(40))
    lake.extract(None)
    lake.sql("UPDATE {here} SET size = 9.0 WHERE id = 1")
    report = lake.extract(None)
    assert (report.slices, report.rows_in) == (list(DAYS), 40)


def test_a_slice_whose_rows_are_gone_becomes_empty(lake: LakeProject) -> None:
    lake.create()
    lake.insert(range(40))
    lake.extract(None)
    score_all(lake)
    lake.sql(f"DELETE FROM {{here}} WHERE day = DATE'{DAYS[1]}'")
    report = lake.extract(None)
    assert (report.slices, report.rows_in) == ([DAYS[1]], 0)
    assert lake.states()[DAYS[1]] == "stale"
    assert lake.score(DAYS[1]).rows_in == 0
    assert sorted(lake.published()) == list(range(0, 40, 2))


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
    after = dt.datetime.fromtimestamp(DeltaTable(lake.place).history(1)[0]["timestamp"] / 1000, dt.timezone.utc)
    lake.insert(range(20, 40))
    report = lake.extract(None, f"source.as_of='{after.isoformat()}'")
    assert (report.version, report.rows_in) == (1, 20)
    with pytest.raises(InputMissing, match="before the first version"):
        lake.extract(None, "source.as_of='2020-01-01'")


def test_a_version_whose_files_vacuum_took_is_refused(lake: LakeProject) -> None:
    lake.create()
    lake.insert(range(20))
    lake.sql("UPDATE {here} SET size = 1.0")
    DeltaTable(lake.place).vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    with pytest.raises(InputError, match=r"version 1 can no longer be read: 2 of the 2 files are gone"):
        lake.extract(None, "source.version=1")


def test_log_cleaned_up_at_the_source_makes_every_slice_count_as_changed(lake: LakeProject) -> None:
    lake.create()
    lake.insert(range(20))
    lake.extract(None)
    lake.insert(range(20, 40, 2))
    lake.insert(range(40, 42, 2))
    clean_log(lake.place)
    report = lake.extract(None)
    assert (report.slices, report.rows_in) == (list(DAYS), 31)
    assert "its log no longer tells what changed since version 1" in report.warnings[0]
    assert lake.extract(None).status == "unchanged"


def test_the_register_survives_the_clean_up_of_its_own_log(lake: LakeProject) -> None:
    lake.create()
    lake.insert(range(20))
    lake.extract(None)
    score_all(lake)
    lake.insert(range(20, 22, 2))
    lake.extract(None)
    clean_log(str(lake.root / "var/lake/landed/lake"))
    assert lake.states() == {DAYS[0]: "stale", DAYS[1]: "published"}
    assert lake.extract(None).status == "unchanged"
    assert lake.score(DAYS[0]).rows_in == 11


def clean_log(place: str) -> None:
    """What Delta itself does with logs after thirty days: a checkpoint stays, commits before it go."""
    table = DeltaTable(place)
    table.create_checkpoint()
    for commit in sorted(Path(place, "_delta_log").glob("*.json"))[:-1]:
        commit.unlink()


@pytest.mark.parametrize("partitioned", [True, False])
def test_rows_without_a_slice_are_quarantined(lake: LakeProject, partitioned: bool) -> None:
    lake.create(partitioned=partitioned)
    lake.insert(range(18))
    lake.sql("INSERT INTO {here} VALUES (90, 'red', 1.0, 'no', NULL), (91, 'blue', 2.0, 'no', NULL)")
    report = lake.extract(None)
    assert (report.rows_in, report.rows_landed, report.rows_quarantined) == (20, 18, 2)
    assert sorted((row["key"], row["reason"], row["published"]) for row in lake.quarantined()) == [
        ('{"id":90}', "null_slice", True),
        ('{"id":91}', "null_slice", True),
    ]
    assert lake.extract(None).status == "unchanged"
    lake.sql("UPDATE {here} SET day = DATE'2026-11-20' WHERE id = 90")
    again = lake.extract(None)
    assert DAYS[0] in again.slices
    assert again.rows_quarantined == 1
    assert [row["key"] for row in lake.quarantined()] == ['{"id":91}']


def test_too_many_rows_without_a_slice_record_nothing(lake: LakeProject) -> None:
    lake.create()
    lake.insert(range(9))
    lake.sql("INSERT INTO {here} VALUES (90, 'red', 1.0, 'no', NULL)")
    with pytest.raises(TooManyQuarantined, match="1 of 10 rows belong to no slice of day"):
        lake.extract(None, "checks.max_quarantine_rate=0.05")
    assert [row["published"] for row in lake.quarantined()] == [False]
    assert not (lake.root / "var/lake/landed/lake").exists()
    assert lake.extract(None).rows_quarantined == 1
    assert [row["published"] for row in lake.quarantined()] == [True]


def test_text_that_cannot_name_a_slice_is_quarantined(lake: LakeProject) -> None:
    rows = rows_of(range(10)).set_column(4, "day", pa.array(["a", "b/../c"] * 5))
    write_deltalake(lake.place, rows)
    report = lake.extract(None, "source.slice=day")
    assert (report.slices, report.rows_landed, report.rows_quarantined) == (["a"], 5, 5)
    assert {row["reason"] for row in lake.quarantined()} == {"slice_name"}


def test_rows_without_a_key_are_quarantined_when_they_are_scored(lake: LakeProject) -> None:
    lake.create()
    lake.insert(range(18))
    lake.sql(f"INSERT INTO {{here}} VALUES (NULL, 'red', 1.0, 'no', DATE'{DAYS[0]}'), (NULL, 'red', 1.0, 'no', DATE'{DAYS[0]}')")
    lake.extract(None)
    run = lake.score(DAYS[0])
    assert (run.rows_in, run.rows_quarantined, run.rows_scored + run.rows_reused) == (11, 2, 9)
    assert [row["reason"] for row in lake.quarantined()] == ["null_key", "null_key"]


def test_keys_that_repeat_in_a_slice_end_the_run(lake: LakeProject) -> None:
    lake.create()
    lake.insert(range(10))
    lake.insert(range(4, 6))
    lake.extract(None)
    with pytest.raises(InputError, match=r'slice 2026-11-20: {"id": 4} 2 times'):
        lake.score(DAYS[0])
    lake.score(DAYS[0], "source.unique=assumed")


def test_each_day_is_the_whole_table_as_it_was(lake: LakeProject) -> None:
    lake.edit_lake("slice: {column: day, unit: day}", "slice: ingest_date")
    lake.create()
    lake.insert(range(20))
    first = lake.extract("2026-11-20")
    assert (first.slices, first.rows_in) == (["2026-11-20"], 20)
    lake.insert(range(20, 40))
    assert lake.extract("2026-11-21").rows_in == 40
    assert lake.score("2026-11-20").rows_in == 20
    assert lake.score("2026-11-21").rows_in == 40
    assert lake.extract("2026-11-21").status == "unchanged"
    lake.sql("OPTIMIZE {here}")
    assert lake.extract("2026-11-21").status == "unchanged"
    assert lake.states() == dict.fromkeys(DAYS, "published")


@pytest.mark.parametrize("road", ["direct", "arrow"])
def test_each_day_is_what_came_since_the_day_before(lake: LakeProject, road: str) -> None:
    lake.edit_lake("slice: {column: day, unit: day}", "slice: ingest_date\n  changes_since: auto")
    lake.create(partitioned=False)
    lake.insert(range(20))
    assert lake.extract("2026-11-20").rows_in == 20
    lake.insert(range(20, 30))
    lake.insert(range(30, 32))
    assert lake.extract("2026-11-21").rows_in == 12
    for day in DAYS:
        lake.score(day, f"model.road={road}")
    of_days = {row["id"]: row["slice"] for row in lake.table_of("predictions").to_pylist()}
    assert of_days == {n: DAYS[n >= 20] for n in range(32)}
    assert lake.extract("2026-11-20").status == "unchanged"
    assert lake.extract("2026-11-22").rows_in == 0
    with pytest.raises(InputError, match="slices in their order"):
        lake.extract("2026-11-19")


def test_what_optimize_put_together_is_read_from_the_files_as_they_came(lake: LakeProject) -> None:
    lake.edit_lake("slice: {column: day, unit: day}", "slice: ingest_date\n  changes_since: auto")
    lake.create(partitioned=False)
    lake.insert(range(20))
    lake.extract("2026-11-20")
    lake.insert(range(20, 30))
    lake.sql("OPTIMIZE {here}")
    assert lake.extract("2026-11-21").rows_in == 10
    assert lake.score("2026-11-21").rows_in == 10
    assert sorted(lake.published()) == list(range(20, 30))
    lake.insert(range(30, 40))
    lake.sql("OPTIMIZE {here}")
    lake.sql("UPDATE {here} SET size = 1.0 WHERE id = 3")
    with pytest.raises(InputError, match="OPTIMIZE had put together with new ones"):
        lake.extract("2026-11-22")


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
    write_deltalake(lake.place, narrowed, mode="overwrite", schema_mode="overwrite", partition_by=["day"])
    with pytest.raises(InputError) as caught:
        lake.extract(None)
    said = "\n".join(caught.value.problems)
    assert "no column color string, which the last extract has (did you mean colour?)" in said
    assert "column size is float; the last extract says double" in said
    assert "no column note string" in said
    assert "features" in said


def test_columns_are_held_against_those_declared(lake: LakeProject) -> None:
    schema = "{day: date, id: int, color: string, size: float, big: string, late: int}"
    lake.edit_lake("key: id", f"key: id\n  schema: {schema}")
    write_deltalake(lake.place, rows_of(range(10)).append_column("later", pa.array(range(10), pa.int32())))
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
        ("source.key=ident", "source.key: no such column: got 'ident'; allowed: id, color, size, big, day"),
        ("source.slice=days", "source.slice: no such column: got 'days' (did you mean day?)"),
        ("source.slice=size", "source.slice: column size is double"),
        ("source.slice={column: id, unit: day}", "column id is int32; allowed with a unit: a date or a timestamp"),
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
    with pytest.raises(InputError, match=r"it holds a\.parquet; for Parquet files without a log: kind: parquet"):
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
    assert (report.slices, report.rows_in, report.table) == ([DAY], 40, str(lake.root / "var/lake/landed/small"))
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
        assert plan(lake.context(), DAYS[0])["rows"] == 5
        with pytest.raises(InputMissing, match=r"no table sales\.order "):
            lake.extract(None, "source.table=sales.order")
    finally:
        lake.spark.sql("DROP SCHEMA sales CASCADE")


def test_another_table_in_its_place_is_noticed(lake: LakeProject) -> None:
    write_deltalake(lake.place, rows_of(range(20)))
    lake.extract(None)
    score_all(lake)
    shutil.rmtree(lake.place)
    write_deltalake(lake.place, rows_of(range(20, 40)))
    report = lake.extract(None)
    assert (report.version, report.slices) == (0, list(DAYS))
    assert lake.states() == dict.fromkeys(DAYS, "stale")


def test_the_model_is_learned_in_place(lake: LakeProject) -> None:
    """Partition columns may be features or the target; the same rows give the same model, however they lie."""
    digests = []
    for partition in (None, ["big"], ["color"]):
        shutil.rmtree(lake.place, ignore_errors=True)
        rows = rows_of(range(60)).sort_by([("color", "ascending"), ("big", "ascending")])
        write_deltalake(lake.place, rows, partition_by=partition)
        shutil.rmtree(lake.root / "var/lake/landed/lake", ignore_errors=True)
        lake.extract(None)
        run = lake.train("model.uri=models:/other@champion")
        assert (run.rows_train + run.rows_validation, run.source_table) == (60, lake.place)
        digests.append(run.metrics["auc"])
        lake.train("model.uri=models:/other@champion", "source.path=in/table", "train.source.path=in/table")
    assert len(digests) == 3


def test_slices_to_learn_from_hold_their_own_rows_only(lake: LakeProject) -> None:
    from batchinfer.pipeline.train import train

    write_deltalake(lake.place, rows_of(range(60)))
    lake.extract(None)
    run = train(lake.context("model.uri=models:/other@champion"), [DAYS[1]], lake.open_session)
    assert run.rows_train + run.rows_validation == 30


def test_the_input_suite_judges_the_slice_alone(lake: LakeProject) -> None:
    lake.write(
        "conf/expectations/input.yaml", "- expect_column_values_to_be_between: {column: id, min_value: 1, max_value: 39}\n"
    )
    lake.edit_lake("checks: {", "checks: {input: conf/expectations/input.yaml, ")
    write_deltalake(lake.place, rows_of(range(40)))
    lake.extract(None)
    assert lake.score(DAYS[1]).checks_passed == 1
    with pytest.raises(InputError, match="input check of slice 2026-11-20"):
        lake.score(DAYS[0])


@pytest.mark.parametrize(
    ("type_", "rule", "slices"),
    [
        ("timestamp", "{column: at, unit: hour}", ["2026-11-20T22", "2026-11-21T00"]),
        ("timestamp", "{column: at, unit: month}", ["2026-11"]),
        ("timestamp", "at", ["2026-11-20T22:30:00", "2026-11-21T00:30:00"]),
        ("timestamp_ntz", "{column: at, unit: day}", list(DAYS)),
        ("date", "at", list(DAYS)),
        ("int", "at", ["0", "1"]),
        ("boolean", "at", ["false", "true"]),
        ("decimal(6,2)", "at", ["0.00", "1.00"]),
        ("string", "at", ["s0", "s1"]),
    ],
)
@pytest.mark.parametrize("partitioned", [True, False])
def test_every_type_of_slice_column(lake: LakeProject, type_: str, rule: str, slices: list[str], partitioned: bool) -> None:
    moment = "timestamp'2026-11-20 22:30:00' + make_interval(0, 0, 0, 0, 2 * (id % 2))"
    values = {"string": "concat('s', id % 2)", "int": "id % 2", "boolean": "id % 2 = 1", "decimal(6,2)": "id % 2"}
    frame = lake.spark.range(10).selectExpr(
        "cast(id as int) id", "'red' color", "1.5 * id size", "'no' big", f"cast({values.get(type_, moment)} as {type_}) at"
    )
    writer = frame.selectExpr("id", "color", "cast(size as double) size", "big", "at").coalesce(1).write.format("delta")
    (writer.partitionBy("at") if partitioned else writer).save(lake.place)
    lake.edit_lake("slice: {column: day, unit: day}", f"slice: {rule}")
    assert lake.extract(None).slices == slices
    for road in ("direct", "arrow"):
        for name in slices:
            assert lake.score(name, f"model.road={road}", force=True).rows_in == 10 // len(slices)
