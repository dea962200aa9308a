"""Table transforms where there is little or nothing to work on, and on sources of other kinds."""

from __future__ import annotations

import datetime as dt
import json
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake
from pyspark.sql import SparkSession
from spark.projects import SmallProject
from spark.readings import project_of

from batchinfer.errors import ConfigError, InputError
from batchinfer.pipeline.slices.landed import find_slice
from batchinfer.pipeline.slices.prepared import prepared_frame
from batchinfer.pipeline.slices.table_columns import TableColumns

DAY = "2026-02-01"
STEPS = """\
  - filter: {rule: size >= 0 or size is null, name: positive}
  - forward_fill: {columns: size, by: who, order: day}
  - lag: {columns: size, by: who, order: day}
  - rolling: {columns: size, by: who, order: day, window: 2d, statistic: [sum, count]}
"""
PIPELINE = f"""\
name: small
source:
  kind: csv
  path: in/*.csv
  schema: {{id: int, who: string, day: date, size: double, label: double}}
  key: id
  slice: ingest_date
prepare:
{STEPS}features:
  - impute: {{columns: [size_lag_1, size_sum_2d], strategy: constant, value: 0}}
  - standardize: {{columns: [size_lag_1, size_sum_2d]}}
train:
  target: {{column: label}}
  model: mlp_regressor
  params: {{hidden: [2], epochs: 1, seed: 1}}
model: {{uri: "models:/small@champion"}}
checks: {{max_quarantine_rate: 0}}
sink: {{table: predictions/small}}
"""
HEADER = "id,who,day,size,label\n"
ROWS = "".join(f"{n},{'ab'[n % 2]},2026-01-{n + 1:02d},{n}.5,{n}\n" for n in range(20))


@pytest.fixture
def days(tmp_path: Path, spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> SmallProject:
    monkeypatch.delenv("BATCHINFER_HOME", raising=False)
    project = project_of(tmp_path, spark, PIPELINE)
    project.write("in/a.csv", HEADER + ROWS)
    project.extract(DAY)
    project.train()
    return project


def prepared(project: SmallProject, spark: SparkSession, slice_: str) -> dict[int, dict[str, Any]]:
    context = project.context()
    columns = TableColumns(context)
    frame = prepared_frame(spark, columns, find_slice(context, slice_), columns.landed)
    return {row["id"]: row.asDict() for row in frame.collect()}


def replaced(project: SmallProject, lines: str, slice_: str) -> None:
    project.write("in/a.csv", HEADER + lines)
    project.extract(slice_)


def test_a_slice_of_no_rows_of_one_and_of_removed_ones_only(days: SmallProject) -> None:
    replaced(days, "", "2026-02-02")
    empty = days.score("2026-02-02")
    assert (empty.status, empty.rows_in, empty.version is not None) == ("published", 0, True)
    replaced(days, "900,c,2026-02-03,1,1\n", "2026-02-03")
    assert (days.score("2026-02-03").rows_scored, days.table("predictions").num_rows) == (1, 1)
    replaced(days, "901,c,2026-02-04,-1,1\n902,c,2026-02-04,-2,1\n", "2026-02-04")
    gone = days.score("2026-02-04")
    assert (gone.status, gone.rows_in, gone.rows_quarantined, gone.rows_removed) == (
        "published",
        2,
        2,
        2,
    )
    aside = [row for row in days.table("quarantine").to_pylist() if row["slice"] == "2026-02-04"]
    assert {row["reason"] for row in aside} == {"rule:positive"}
    assert [
        json.loads(row["raw"])["size"] for row in sorted(aside, key=lambda row: row["key"])
    ] == [-1.0, -2.0]


def test_nothing_remains_to_learn_from(days: SmallProject) -> None:
    days.edit("size >= 0 or size is null", "id < 0")
    with pytest.raises(InputError, match="no rows to learn from"):
        days.train()


def test_a_row_without_a_place_in_the_order_sees_none_and_is_seen_by_none(
    days: SmallProject, spark: SparkSession
) -> None:
    lines = (
        "1,,2026-02-01,1,0\n2,,,2,0\n3,,2026-02-02,3,0\n"
        "4,,,,0\n5,z,2026-02-02,5,0\n6,,2026-02-02,,0\n"
    )
    replaced(days, lines, "2026-02-05")
    rows = prepared(days, spark, "2026-02-05")
    found = {
        key: (row["size"], row["size_lag_1"], row["size_sum_2d"], row["size_count_2d"])
        for key, row in rows.items()
    }
    assert found == {
        1: (1.0, None, 1.0, 1),
        2: (2.0, None, None, None),
        3: (
            3.0,
            1.0,
            7.0,
            3,
        ),  # rows of one day see each other in a window of time; 6 was filled with 3
        4: (None, None, None, None),
        5: (5.0, None, 5.0, 1),
        6: (3.0, 3.0, 7.0, 3),
    }


def test_nan_is_missing_as_null_is(
    tmp_path: Path, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BATCHINFER_HOME", raising=False)
    text = PIPELINE.replace("kind: csv", "kind: parquet").replace("in/*.csv", "in/*.parquet")
    text = "\n".join(line for line in text.splitlines() if "schema:" not in line) + "\n"
    project = project_of(tmp_path, spark, text)
    (tmp_path / "in").mkdir()
    table = pa.table(
        {
            "id": pa.array([1, 2, 3], pa.int32()),
            "who": ["a"] * 3,
            "day": pa.array([dt.date(2026, 1, 1), dt.date(2026, 1, 2), dt.date(2026, 1, 3)]),
            "size": [1.0, math.nan, 4.0],
            "label": [1.0, 2.0, 3.0],
        }
    )
    pq.write_table(table, tmp_path / "in/a.parquet")
    project.extract(DAY)
    rows = prepared(project, spark, DAY)
    assert [rows[key]["size"] for key in (1, 2, 3)] == [1.0, 1.0, 4.0]
    assert [rows[key]["size_sum_2d"] for key in (1, 2, 3)] == [1.0, 2.0, 5.0]
    project.train()
    assert project.score(DAY).rows_in == 3
    project.edit("by: who, order: day}\n  - rolling", "by: whom, order: day}\n  - rolling")
    with pytest.raises(ConfigError, match=r"prepare\[2\]\.lag\.by.*did you mean who"):
        project.score(DAY, force=True)


def test_labelled_data_with_a_source_of_its_own_goes_through_the_same_steps(
    days: SmallProject,
) -> None:
    own = "".join(f"{n},a,2026-01-{n % 28 + 1:02d},{-1 if n < 30 else n},{n}\n" for n in range(80))
    days.write("labelled/t.csv", HEADER + own)
    days.edit("train:\n", "train:\n  source: {path: labelled/t.csv}\n")
    report = days.train()
    assert report.rows_train + report.rows_validation == 50
    days.edit("order: day, window", "order: days, window")
    with pytest.raises(ConfigError, match="did you mean day"):
        days.train()


DELTA = PIPELINE.replace("kind: csv", "kind: delta").replace("path: in/*.csv", "path: in/events")
DELTA = "\n".join(line for line in DELTA.splitlines() if "schema:" not in line) + "\n"
DELTA = DELTA.replace("slice: ingest_date", "slice: {column: day, unit: day}")
DELTA = DELTA.replace(
    "prepare:\n", "prepare:\n  - deduplicate: {by: id, order: size, keep: last}\n"
)
EVENTS = pa.schema(
    [
        ("id", pa.int32()),
        ("who", pa.string()),
        ("day", pa.date32()),
        ("size", pa.float64()),
        ("label", pa.float64()),
    ]
)


def write_events(project: SmallProject, rows: list[tuple[Any, ...]]) -> None:
    table = pa.Table.from_pylist(
        [dict(zip(EVENTS.names, row, strict=True)) for row in rows], EVENTS
    )
    write_deltalake(str(project.root / "in/events"), table, mode="append")


def test_a_table_that_is_read_in_place(
    tmp_path: Path, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BATCHINFER_HOME", raising=False)
    project = project_of(tmp_path, spark, DELTA)
    first, second = dt.date(2026, 1, 1), dt.date(2026, 1, 2)
    ordinary = [(n, "ab"[n % 2], dt.date(2026, 1, 1 + n % 3), n / 2, 1.0 + n) for n in range(30)]
    write_events(
        project,
        [
            *ordinary,
            (100, "c", first, 1.0, 1.0),
            (100, "c", first, 2.0, 1.0),
            (None, "c", second, 3.0, 1.0),
        ],
    )
    project.extract(None)
    project.train()
    report = project.score("2026-01-01")
    assert (report.rows_in, report.rows_quarantined, report.rows_removed) == (12, 1, 1)
    [aside] = [row for row in project.table("quarantine").to_pylist() if row["stage"] == "score"]
    assert (aside["reason"], json.loads(aside["raw"])["size"], aside["source_file"]) == (
        "duplicate",
        1.0,
        None,
    )
    rows = prepared(project, spark, "2026-01-02")
    assert rows[None]["size_lag_1"] == 2.0, "the row of the day before that was kept"
    keyless = project.score("2026-01-02", "checks.max_quarantine_rate=0.5")
    assert (keyless.rows_quarantined, keyless.rows_removed) == (1, 0), (
        "a row without a key is a fault, a removed one is not"
    )
    assert project.score("2026-01-03").status == "published"
    write_events(project, [(200, "a", first, 9.0, 1.0)])
    project.extract(None)
    assert project.states() == {"2026-01-01": "stale", "2026-01-02": "stale", "2026-01-03": "stale"}
    project.edit(
        "deduplicate: {by: id, order: size, keep: last}",
        "filter: {rule: size <> 1.0 or id <> 100, name: fixed}",
    )
    assert project.score("2026-01-01").rows_removed == 1, (
        "a filter may take away the row whose key repeats"
    )
    project.edit("size <> 1.0 or id <> 100", "size > -1")
    with pytest.raises(InputError, match='"id": 100'):
        project.score("2026-01-01", force=True)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "window: 2d",
            "window: 2 days",
            r"prepare\[3\]\.rolling\.window.*got '2 days'; allowed: a number of rows",
        ),
        (
            "columns: size, by: who, order: day}\n  - lag",
            "columns: id, by: who, order: day}\n  - lag",
            "a column of the key",
        ),
        ("size >= 0", "label >= 0", "got label, the target"),
        ("size >= 0", "sizes >= 0", r"prepare\[0\]\.filter\.rule.*did you mean size"),
    ],
)
def test_a_pipeline_file_that_is_wrong_is_told_before_spark_starts(
    days: SmallProject, monkeypatch: pytest.MonkeyPatch, old: str, new: str, message: str
) -> None:
    days.edit(old, new)

    def never() -> Any:
        raise AssertionError("Spark was asked for")

    days.open_session = never
    with pytest.raises(ConfigError, match=message):
        days.score(DAY)
