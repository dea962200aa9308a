"""Delta tables read in place: which slices changed between two runs, whatever happened to table and
log.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from deltalake import DeltaTable, write_deltalake
from spark.lakes import DAYS, LakeProject, as_csv, assert_same, clean_log, rows_of, score_all

from batchinfer.pipeline.plan import plan_slice


@pytest.mark.parametrize("partitioned", [True, False])
def test_late_rows_make_their_slice_stale_and_backfill_scores_it(
    lake: LakeProject, trained: Path, partitioned: bool
) -> None:
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
    assert_same(
        lake.published(),
        {key: value for key, value in as_csv(trained).items() if key not in (37, 39)},
    )


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
    DeltaTable(lake.place).vacuum(
        retention_hours=0, enforce_retention_duration=False, dry_run=False
    )
    assert plan_slice(lake.context(), DAYS[0])["rows"] == 20
    assert lake.score(DAYS[0], force=True).rows_in == 20


def test_the_change_data_feed_names_the_slices_exactly(lake: LakeProject) -> None:
    lake.create(partitioned=False, enableChangeDataFeed="true")
    lake.insert(range(40))
    lake.extract(None)
    score_all(lake)
    lake.spark.createDataFrame(
        [(1, 9.0), (41, 1.0)], "id int, size double"
    ).createOrReplaceTempView("news")
    lake.sql(
        "MERGE INTO {here} t USING news s ON t.id = s.id WHEN MATCHED THEN UPDATE SET t.size = "
        "s.size "
        "WHEN NOT MATCHED THEN INSERT (id, color, size, big, day) VALUES (s.id, 'red', s.size, "
        "'no', DATE'2026-11-22')"
    )
    # The file that MERGE rewrote holds rows of both days; the feed tells that only one of them
    # changed.
    report = lake.extract(None)
    assert (report.slices, report.rows_in) == (["2026-11-21", "2026-11-22"], 21)
    assert lake.states() == {DAYS[0]: "published", DAYS[1]: "stale", "2026-11-22": "missing"}
    lake.sql("OPTIMIZE {here}")
    assert lake.extract(None).status == "unchanged"


def test_without_the_feed_all_slices_of_a_rewritten_file_count_as_changed(
    lake: LakeProject,
) -> None:
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


def test_another_table_in_its_place_is_noticed(lake: LakeProject) -> None:
    write_deltalake(lake.place, rows_of(range(20)))
    lake.extract(None)
    score_all(lake)
    shutil.rmtree(lake.place)
    write_deltalake(lake.place, rows_of(range(20, 40)))
    report = lake.extract(None)
    assert (report.version, report.slices) == (0, list(DAYS))
    assert lake.states() == dict.fromkeys(DAYS, "stale")


@pytest.mark.parametrize("feature", ["enableDeletionVectors", "columnMapping"])
def test_a_feed_beside_deletion_vectors_and_mapped_names(lake: LakeProject, feature: str) -> None:
    told = {
        "enableDeletionVectors": {feature: "true"},
        "columnMapping": {"columnMapping.mode": "name"},
    }[feature]
    lake.create(partitioned=False, enableChangeDataFeed="true", **told)
    lake.insert(range(40))
    lake.extract(None)
    lake.sql("DELETE FROM {here} WHERE id = 1")
    report = lake.extract(None)
    assert (report.slices, report.rows_in) == ([DAYS[1]], 19)
    lake.sql("UPDATE {here} SET size = 9.0 WHERE id = 2")
    report = lake.extract(None)
    assert (report.slices, report.rows_in) == ([DAYS[0]], 20)
    assert [lake.score(day).rows_in for day in DAYS] == [20, 19]


def test_a_table_that_was_replaced_in_its_own_log_is_read_anew(lake: LakeProject) -> None:
    lake.create()
    lake.insert(range(20))
    lake.extract(None)
    score_all(lake)
    before = DeltaTable(lake.place).metadata().id
    lake.spark.createDataFrame(rows_of(range(20, 30)).to_pylist()).createOrReplaceTempView("others")
    select = "SELECT cast(id as int) id, color, size, big, day FROM others"
    lake.sql(f"CREATE OR REPLACE TABLE {{here}} USING delta PARTITIONED BY (day) AS {select}")
    assert (lake.version, DeltaTable(lake.place).metadata().id != before) == (2, True)
    report = lake.extract(None)
    assert (report.slices, report.rows_in) == (list(DAYS), 10)
    lake.backfill(*DAYS)
    assert sorted(lake.published()) == list(range(20, 30))
