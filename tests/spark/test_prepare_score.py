"""Table transforms in front of the model: the same rows as a computation by hand, and nothing lost
on the way.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import pandas as pd
import pytest
from pyspark.sql import SparkSession
from spark.projects import SmallProject
from spark.readings import DAYS, HEADER, READINGS, by_hand, landed_frame, project_of, write_days

from batchinfer.errors import ConfigError, InputError, ModelError
from batchinfer.pipeline.slices.landed import find_slice
from batchinfer.pipeline.slices.prepared import prepared_frame
from batchinfer.pipeline.slices.table_columns import TableColumns

MADE = ["value_lag_1", "value_lag_3", "power_lag_1", "power_lag_3", "power_mean_3h", "power_sum_2"]
MADE += [
    f"value_{statistic}_4" for statistic in ("mean", "sum", "min", "max", "std", "count", "median")
]


@pytest.fixture
def sensors(tmp_path: Path, spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> SmallProject:
    """Three days of readings that have landed."""
    monkeypatch.delenv("BATCHINFER_HOME", raising=False)
    project = project_of(tmp_path, spark)
    write_days(project)
    project.extract(None)
    return project


def prepared(project: SmallProject, spark: SparkSession, slice_: str) -> pd.DataFrame:
    context = project.context()
    columns = TableColumns(context)
    frame = prepared_frame(spark, columns, find_slice(context, slice_), columns.landed).toPandas()
    return (
        frame.rename(columns={"__batchinfer_removed": "removed"})
        .sort_values(["id", "source_line"])
        .reset_index(drop=True)
    )


def assert_same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    assert len(found) == len(expected)
    for column in ["removed", "value", *MADE]:
        for one, other in zip(found[column], expected[column], strict=True):
            if pd.isna(one) or pd.isna(other):
                assert pd.isna(one) and pd.isna(other), column
            else:
                assert one == (
                    other if isinstance(other, str) else pytest.approx(other, rel=1e-9)
                ), column


def test_every_step_is_what_a_computation_by_hand_gives(
    sensors: SmallProject, spark: SparkSession
) -> None:
    for day in DAYS:
        expected = by_hand(landed_frame(sensors, day))
        expected = (
            expected[expected["slice"] == day]
            .sort_values(["id", "source_line"])
            .reset_index(drop=True)
        )
        assert set(expected["removed"].dropna()) == {"duplicate", "rule:plausible"}, (
            "the data must exercise both"
        )
        assert_same(prepared(sensors, spark, day), expected)


def test_removed_rows_are_in_quarantine_and_every_row_is_accounted_for(
    sensors: SmallProject,
) -> None:
    sensors.train()
    for day in DAYS:
        report = sensors.score(day)
        landed = landed_frame(sensors, day)
        expected = by_hand(landed)
        removed = expected[(expected["slice"] == day) & expected["removed"].notna()]
        assert (
            report.rows_in
            == 60
            == report.rows_scored + report.rows_reused + report.rows_quarantined
        )
        assert report.rows_quarantined == report.rows_removed == len(removed) > 0
        assert (report.road, "table transforms" in report.road_reason) == ("arrow", True)
        aside = [row for row in sensors.table("quarantine").to_pylist() if row["slice"] == day]
        assert sorted((row["source_line"], row["reason"]) for row in aside) == sorted(
            zip(removed["source_line"], removed["removed"], strict=True)
        )
        assert all(row["stage"] == "score" and row["published"] and row["message"] for row in aside)
        by_line = {
            row["source_line"]: row for row in landed[landed["slice"] == day].to_dict("records")
        }
        for row in aside:
            raw, whole = json.loads(row["raw"]), by_line[row["source_line"]]
            assert json.loads(row["key"]) == {"id": raw["id"]} == {"id": whole["id"]}
            assert raw["power"] == whole["power"] or (
                raw["power"] is None and math.isnan(whole["power"])
            )
            assert pd.Timestamp(raw["ts"]) == whole["ts"]
            assert raw["sensor"] == (whole["sensor"] or None)


def test_the_first_rows_of_a_slice_see_the_day_before(
    sensors: SmallProject, spark: SparkSession
) -> None:
    rows = prepared(sensors, spark, DAYS[1])
    remaining = rows[rows["removed"].isna() & (rows["sensor"] == "a")].sort_values(
        ["ts", "source_line"]
    )
    before = by_hand(landed_frame(sensors, DAYS[0]))
    last = (
        before[before["removed"].isna() & (before["sensor"] == "a")]
        .sort_values(["ts", "source_line"])
        .iloc[-1]
    )
    assert remaining.iloc[0]["value_lag_1"] == last["value"]


def test_the_roads_give_the_same_predictions_and_direct_is_refused(sensors: SmallProject) -> None:
    sensors.train()
    found = {}
    for road in ("arrow", "pandas"):
        report = sensors.score(DAYS[1], f"model.road={road}", force=True)
        assert report.road == road
        found[road] = {
            row["id"]: (row["prediction"], row["input_fingerprint"])
            for row in sensors.table("predictions").to_pylist()
        }
    assert found["arrow"].keys() == found["pandas"].keys()
    for key, (prediction, fingerprint) in found["arrow"].items():
        assert fingerprint == found["pandas"][key][1]
        assert prediction == pytest.approx(found["pandas"][key][0], rel=1e-5, abs=1e-6)
    with pytest.raises(
        ConfigError, match="table transforms run in Spark first: deduplicate, filter"
    ):
        sensors.score(DAYS[1], "model.road=direct", force=True)


def test_predict_takes_a_prepared_row_and_gives_the_stored_prediction(
    sensors: SmallProject, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    import batchinfer

    sensors.train()
    sensors.score(DAYS[1])
    rows = prepared(sensors, spark, DAYS[1])
    rows = rows[rows["removed"].isna()]
    monkeypatch.chdir(sensors.root)
    found = batchinfer.predict(rows, "models:/small@champion")
    stored = {row["id"]: row["prediction"] for row in sensors.table("predictions").to_pylist()}
    assert found["error"].isna().all()
    assert len(rows) == len(stored)
    for key, prediction in zip(rows["id"], found["prediction"], strict=True):
        assert prediction == pytest.approx(stored[key], rel=1e-5, abs=1e-6)


def test_two_runs_give_the_same_rows(sensors: SmallProject) -> None:
    sensors.train()
    tables = []
    for _ in range(2):
        sensors.score(DAYS[2], force=True)
        tables.append(
            sensors.table("predictions")
            .sort_by("id")
            .select(["id", "prediction", "input_fingerprint"])
        )
    assert tables[0] == tables[1]


def test_the_same_version_gives_the_same_state_and_weights(sensors: SmallProject) -> None:
    first, second = sensors.train(), sensors.train()
    assert first.rows_train + first.rows_validation < 180, "removed rows are not learned from"
    assert first.bundle_digest == second.bundle_digest
    assert not [path for path in (sensors.root / "var/staging").rglob("*") if path.is_file()], (
        "the scratch files are gone"
    )


def test_a_slice_is_stale_when_one_before_it_changed(sensors: SmallProject) -> None:
    sensors.train()
    assert sensors.backfill(DAYS[0], DAYS[2]).exit_code == 0
    assert set(sensors.states().values()) == {"published"}
    sensors.write("in/late.csv", HEADER + "9001,a,2026-01-02 05:05:00,10.5,x,1.0\n")
    sensors.extract(None)
    assert sensors.states() == {DAYS[0]: "published", DAYS[1]: "stale", DAYS[2]: "stale"}
    assert sensors.score(DAYS[0]).status == "unchanged"
    assert sensors.score(DAYS[2]).status == "published"
    filled = sensors.backfill(DAYS[0], DAYS[2])
    assert [row["status"] for row in filled.slices] == ["unchanged", "published", "unchanged"]
    assert set(sensors.states().values()) == {"published"}


def test_without_steps_that_look_back_only_the_slice_itself_counts(sensors: SmallProject) -> None:
    text = (
        READINGS[: READINGS.index("  - forward_fill")] + "features:\n  - one_hot: {columns: room}\n"
    )
    sensors.write("conf/pipelines/small.yaml", text + READINGS[READINGS.index("train:") :])
    sensors.train()
    sensors.backfill(DAYS[0], DAYS[2])
    sensors.write("in/late.csv", HEADER + "9001,a,2026-01-02 05:05:00,10.5,x,1.0\n")
    sensors.extract(None)
    assert sensors.states() == {DAYS[0]: "published", DAYS[1]: "stale", DAYS[2]: "published"}


def test_keys_that_repeat_may_land_only_where_a_step_leaves_one(sensors: SmallProject) -> None:
    sensors.edit("  - deduplicate: {by: id, order: ts}\n", "")
    sensors.write(
        "in/late.csv",
        HEADER + "9001,a,2026-01-02 05:05:00,1,x,1\n9001,a,2026-01-02 05:06:00,2,x,1\n",
    )
    with pytest.raises(InputError, match="repeat"):
        sensors.extract(None)
    sensors.extract(None, "source.unique=assumed")
    sensors.train()
    with pytest.raises(InputError, match="repeat"):
        sensors.score(DAYS[1])


def test_a_filter_may_mend_keys_that_repeat(sensors: SmallProject) -> None:
    sensors.edit(
        "  - deduplicate: {by: id, order: ts}\n", "  - filter: {rule: id > 9000, name: new}\n"
    )
    sensors.write(
        "in/late.csv",
        HEADER + "9001,a,2026-01-02 05:05:00,1,x,1\n9002,a,2026-01-02 05:06:00,2,x,2\n",
    )
    sensors.extract(None, "source.unique=assumed")
    sensors.train()
    report = sensors.score(DAYS[1])
    assert (report.rows_in, report.rows_quarantined, report.rows_scored + report.rows_reused) == (
        62,
        60,
        2,
    )


def test_a_step_that_changed_since_the_model_learned_is_another_input(
    sensors: SmallProject,
) -> None:
    sensors.train()
    sensors.edit("value < 90 or", "value < 80 or")
    sensors.edit("features:\n", "  - lag: {columns: room, by: sensor, order: ts}\nfeatures:\n")
    assert sensors.score(DAYS[0]).status == "published", (
        "rows may be removed by another rule, and columns added"
    )
    sensors.edit(
        "{columns: value, by: sensor, order: ts}\n  - lag",
        "{columns: value, by: sensor, order: ts, limit: 2}\n  - lag",
    )
    with pytest.raises(
        ModelError,
        match=r"forward_fill: .*order: \[ts\].*, which it was trained with, is missing or changed",
    ):
        sensors.score(DAYS[0])
    sensors.train()
    sensors.edit("features:\n", "  - forward_fill: {columns: room, order: ts}\nfeatures:\n")
    with pytest.raises(ModelError, match=r"room.*changes columns, but it was trained without"):
        sensors.score(DAYS[0])


def test_a_slice_of_which_other_rows_are_left_now_is_stale(sensors: SmallProject) -> None:
    sensors.train()
    first = sensors.score(DAYS[0])
    assert sensors.score(DAYS[0]).status == "unchanged"
    sensors.edit("value < 90 or value is null", "value < 80 or value is null")
    assert sensors.states()[DAYS[0]] == "stale"
    again = sensors.score(DAYS[0])
    assert (again.status, again.rows_removed > first.rows_removed) == ("published", True)
    assert (sensors.states()[DAYS[0]], sensors.score(DAYS[0]).status) == ("published", "unchanged")


def test_removed_rows_are_no_faults_but_the_others_still_are(sensors: SmallProject) -> None:
    sensors.train()
    assert sensors.score(DAYS[0], "checks.max_quarantine_rate=0").rows_removed > 0


def test_a_slice_whose_rows_are_all_removed_is_published_empty(sensors: SmallProject) -> None:
    sensors.train()
    sensors.score(DAYS[0])
    sensors.edit("value < 90 or value is null", "id < 0")
    report = sensors.score(DAYS[0], force=True)
    assert (report.status, report.rows_in, report.rows_quarantined) == ("published", 60, 60)
    assert sensors.table("predictions").num_rows == 0
    assert (
        len([row for row in sensors.table("quarantine").to_pylist() if row["stage"] == "score"])
        == 60
    )


@pytest.mark.parametrize(
    ("rule", "fact"),
    [
        ("value +", "Spark refuses"),
        ("value + 1", "of type double"),
        ("sum(value) > 1", "Spark refuses"),
        ("no_such_function(value)", "Spark refuses"),
    ],
)
def test_a_rule_that_spark_refuses_is_told_before_rows_are_read(
    sensors: SmallProject, rule: str, fact: str
) -> None:
    sensors.train()
    sensors.edit("value < 90 or value is null", rule)
    with pytest.raises(
        ConfigError, match=rf"small\.yaml:\d+:\d+ \(prepare\[1\]\.filter\.rule\).*{fact}"
    ):
        sensors.score(DAYS[0])


def test_a_row_that_a_rule_cannot_compute_is_an_error_of_the_input(sensors: SmallProject) -> None:
    sensors.train()
    sensors.edit("value < 90 or value is null", "1 / (id - id) > 0")
    with pytest.raises(InputError, match="DIVIDE_BY_ZERO"):
        sensors.score(DAYS[0])
