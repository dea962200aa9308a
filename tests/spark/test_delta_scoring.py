"""Delta tables read in place: how their rows reach the model, and which of them are put aside on
the way.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from deltalake import write_deltalake
from spark.lakes import DAYS, LakeProject, as_csv, assert_same, rows_of, score_all

from batchinfer.errors import InputError


def test_a_partitioned_table_scores_as_the_same_rows_from_csv(
    lake: LakeProject, trained: Path
) -> None:
    lake.create()
    lake.insert(range(40))
    report = lake.extract(None)
    assert (report.status, report.rows_in, report.rows_landed, report.slices) == (
        "landed",
        40,
        40,
        list(DAYS),
    )
    assert (report.table, report.version) == (lake.place, 1)
    again = lake.extract(None)
    assert (again.status, again.rows_in, again.version) == ("unchanged", 0, 1)
    score_all(lake)
    assert_same(lake.published(), as_csv(trained))
    rows = lake.table_of("predictions").to_pylist()
    assert {(row["source_table"], row["source_version"]) for row in rows} == {(lake.place, 1)}
    assert not list((lake.root / "var/lake/landed/lake").glob("**/day=*")), "rows were copied"


def test_rows_of_several_slices_in_one_file_are_told_apart_by_the_worker(
    lake: LakeProject, trained: Path
) -> None:
    lake.create(partitioned=False)
    lake.insert(range(40))
    assert lake.extract(None).slices == list(DAYS)
    score_all(lake)
    assert_same(lake.published(), as_csv(trained))


@pytest.mark.parametrize("road", ["arrow", "pandas"])
def test_spark_reads_a_slice_at_the_version_recorded(
    lake: LakeProject, trained: Path, road: str
) -> None:
    lake.create(partitioned=False)
    lake.insert(range(40))
    lake.extract(None)
    lake.sql("DELETE FROM {here} WHERE id < 20")
    for day in DAYS:
        assert lake.score(day, f"model.road={road}").rows_in == 20
    assert_same(lake.published(), as_csv(trained))


def test_a_table_of_delta_rs_reads_alike(lake: LakeProject, trained: Path) -> None:
    write_deltalake(lake.place, rows_of(range(40)), partition_by=["day"])
    lake.extract(None)
    score_all(lake)
    assert_same(lake.published(), as_csv(trained))


def test_rows_deleted_by_vectors_are_not_scored(lake: LakeProject, trained: Path) -> None:
    lake.create(enableDeletionVectors="true")
    lake.insert(range(40))
    lake.extract(None)
    score_all(lake)
    lake.sql("DELETE FROM {here} WHERE id IN (0, 2)")
    report = lake.extract(None)
    assert (report.slices, report.rows_in) == ([DAYS[0]], 18)
    run = lake.score(DAYS[0])
    assert (run.road, run.road_reason, run.rows_in) == (
        "arrow",
        "the table has deletion vectors",
        18,
    )
    assert_same(
        lake.published(),
        {key: value for key, value in as_csv(trained).items() if key not in (0, 2)},
    )


def test_rows_deleted_by_vectors_in_a_table_without_partitions(lake: LakeProject) -> None:
    lake.create(partitioned=False, enableDeletionVectors="true")
    lake.insert(range(40))
    lake.extract(None)
    lake.sql("DELETE FROM {here} WHERE id IN (0, 2)")
    # Without a change data feed every slice of the file that changed counts as changed; the rows
    # are counted exactly.
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
    assert_same(lake.published(), as_csv(trained))
    lake.insert(range(40, 42, 2))
    assert lake.extract(None).slices == [DAYS[0]]


@pytest.mark.parametrize("way", ["auto", "always"])
def test_rows_without_a_key_are_quarantined_when_they_are_scored(
    lake: LakeProject, way: str
) -> None:
    lake.create()
    lake.insert(range(18))
    lake.sql(
        f"INSERT INTO {{here}} VALUES (NULL, 'red', 1.0, 'no', DATE'{DAYS[0]}'), (NULL, 'red', "
        f"1.0, 'no', DATE'{DAYS[0]}')"
    )
    lake.extract(None)
    run = lake.score(DAYS[0], f"model.deduplicate={way}")
    assert (run.rows_in, run.rows_quarantined, run.rows_scored + run.rows_reused) == (11, 2, 9)
    assert [row["reason"] for row in lake.quarantined()] == ["null_key", "null_key"]


@pytest.mark.parametrize("by_driver", [16_000_000, 0], ids=["the driver", "workers"])
def test_keys_that_lie_among_each_other_are_compared_without_grouping_them(
    lake: LakeProject, trained: Path, monkeypatch: pytest.MonkeyPatch, by_driver: int
) -> None:
    from batchinfer.pipeline.slices import duplicate_keys, unique_keys

    monkeypatch.setattr(unique_keys, "_MOST_ROWS", by_driver)
    looked: list[str] = []
    whole = duplicate_keys.raise_duplicate_keys
    monkeypatch.setattr(
        duplicate_keys,
        "raise_duplicate_keys",
        lambda *rows, **asked: (looked.append("all keys"), whole(*rows, **asked)),
    )
    lake.create(partitioned=False)
    lake.insert(range(0, 40, 3))
    lake.insert(range(1, 40, 3))
    lake.insert(range(2, 40, 3))
    lake.extract(None)
    score_all(lake)
    assert_same(lake.published(), as_csv(trained))
    assert not looked, "Spark groups all keys only where nobody else can tell"
    lake.insert(range(6, 7))
    lake.extract(None)
    with pytest.raises(InputError, match=r'"id": 6\} 2 times'):
        lake.score(DAYS[0])
    assert looked


def test_keys_that_repeat_in_a_slice_end_the_run(lake: LakeProject) -> None:
    lake.create()
    lake.insert(range(10))
    lake.insert(range(4, 6))
    lake.extract(None)
    with pytest.raises(InputError, match=r'slice 2026-11-20: {"id": 4} 2 times'):
        lake.score(DAYS[0])
    lake.score(DAYS[0], "source.unique=assumed")


def test_the_model_is_learned_in_place(lake: LakeProject) -> None:
    """Partition columns may be features or the target; the same rows give the same model, however
    they lie.
    """
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
        lake.train(
            "model.uri=models:/other@champion", "source.path=in/table", "train.source.path=in/table"
        )
    assert len(digests) == 3


def test_slices_to_learn_from_hold_their_own_rows_only(lake: LakeProject) -> None:
    from batchinfer.pipeline.train import train_pipeline

    write_deltalake(lake.place, rows_of(range(60)))
    lake.extract(None)
    run = train_pipeline(
        lake.context("model.uri=models:/other@champion"), [DAYS[1]], lake.open_session
    )
    assert run.rows_train + run.rows_validation == 30


def test_the_input_suite_judges_the_slice_alone(lake: LakeProject) -> None:
    lake.write(
        "conf/expectations/input.yaml",
        "- expect_column_values_to_be_between: {column: id, min_value: 1, max_value: 39}\n",
    )
    lake.edit_lake("checks: {", "checks: {input: conf/expectations/input.yaml, ")
    write_deltalake(lake.place, rows_of(range(40)))
    lake.extract(None)
    assert lake.score(DAYS[1]).checks_passed == 1
    with pytest.raises(InputError, match="input check of slice 2026-11-20"):
        lake.score(DAYS[0])
