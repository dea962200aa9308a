"""Features fetched by key from a feature table: never one that is later than the row."""

from __future__ import annotations

import datetime as dt
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from pyspark.sql import SparkSession
from spark.projects import SmallProject
from spark.readings import project_of

from batchinfer.errors import ConfigError, InputError, InputMissing
from batchinfer.pipeline.plan import plan_slice
from batchinfer.pipeline.slices.landed import find_slice
from batchinfer.pipeline.slices.prepared import prepared_frame
from batchinfer.pipeline.slices.table_columns import TableColumns

DAY = "2026-01-02"
UTC = dt.UTC
PIPELINE = """\
name: small
source:
  kind: csv
  path: in/*.csv
  schema: {id: int, room: string, ts: timestamp, size: double}
  key: id
  slice: {column: ts, unit: day}
prepare:
  - join: {table: features/rooms, on: {room: name}, columns: [heat, note],
          as_of: {column: ts, table_column: at}, prefix: room_}
features:
  - impute: {columns: room_heat, strategy: mean}
  - standardize: {columns: room_heat}
train:
  target: {column: size}
  model: mlp_regressor
  params: {hidden: [2], epochs: 1, seed: 1}
model: {uri: "models:/small@champion"}
sink: {table: predictions/small}
"""
SCHEMA = pa.schema(
    [
        ("name", pa.string()),
        ("at", pa.timestamp("us", tz="UTC")),
        ("heat", pa.float64()),
        ("note", pa.string()),
    ]
)


@pytest.fixture
def rooms(tmp_path: Path, spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> SmallProject:
    """One day of rows, and a feature table that goes on for days after it."""
    monkeypatch.delenv("BATCHINFER_HOME", raising=False)
    project = project_of(tmp_path, spark, PIPELINE)
    draw = random.Random(3)
    start = dt.datetime.fromisoformat(DAY)
    lines = []
    for number in range(80):
        moment = (start + dt.timedelta(minutes=30 * draw.randrange(48))).isoformat(sep=" ")
        lines.append(f"{number},{draw.choice(['x', 'y', 'z', ''])},{moment},{number / 7:.2f}\n")
    project.write("in/a.csv", "id,room,ts,size\n" + "".join(lines))
    project.extract(None)
    write_features(project, features(4))
    return project


def features(seed: int) -> list[dict[str, Any]]:
    """Rows three days around, some at one moment, some without a key or a moment."""
    draw = random.Random(seed)
    start = dt.datetime.fromisoformat(DAY).replace(tzinfo=UTC) - dt.timedelta(days=1)
    return [
        {
            "name": draw.choice(["x", "y", None]),
            "at": None
            if draw.random() < 0.05
            else start + dt.timedelta(minutes=30 * draw.randrange(144)),
            "heat": None if draw.random() < 0.1 else round(draw.gauss(20, 3), 2),
            "note": draw.choice(["a", "b", None]),
        }
        for _ in range(300)
    ]


def write_features(
    project: SmallProject,
    rows: list[dict[str, Any]],
    mode: Any = "overwrite",
    schema: pa.Schema = SCHEMA,
) -> None:
    write_deltalake(
        str(project.root / "var/lake/features/rooms"), pa.Table.from_pylist(rows, schema),
        mode=mode, schema_mode="overwrite"
        if mode == "overwrite" else None,
    )  # fmt: skip


def prepared(project: SmallProject, spark: SparkSession, *overrides: str) -> list[dict[str, Any]]:
    context = project.context(*overrides)
    columns = TableColumns(context)
    frame = prepared_frame(spark, columns, find_slice(context, DAY), columns.landed)
    return [row.asDict() for row in frame.orderBy("id").collect()]


def newest(
    row: dict[str, Any],
    rows: list[dict[str, Any]],
    until: dt.datetime,
    tolerance: dt.timedelta | None,
) -> Any:
    """The features of a row by hand: of the newest moment the greatest, null before all else."""
    known = [
        each
        for each in rows
        if each["at"] is not None and each["name"] == row["room"] is not None
        and each["at"] <= until
    ]  # fmt: skip
    if tolerance is not None:
        known = [each for each in known if until - each["at"] <= tolerance]
    if not known:
        return (None, None)
    best = max(
        known,
        key=lambda each: (
            each["at"],
            each["heat"] is not None,
            each["heat"] or 0,
            each["note"] is not None,
            each["note"] or "",
        ),
    )
    return (best["heat"], best["note"])


@pytest.mark.parametrize("tolerance", [None, "90min"])
def test_each_row_gets_the_newest_features_that_it_may_know(
    rooms: SmallProject, spark: SparkSession, tolerance: str | None
) -> None:
    if tolerance:
        rooms.edit("table_column: at}", f"table_column: at, tolerance: {tolerance}}}")
    limit = dt.timedelta(minutes=90) if tolerance else None
    for seed in (4, 5, 6):
        table = features(seed)
        write_features(rooms, table)
        rows = prepared(rooms, spark)
        assert len(rows) == 80
        found = {row["id"]: (row["room_heat"], row["room_note"]) for row in rows}
        expected = {
            row["id"]: newest(row, table, row["ts"].replace(tzinfo=UTC), limit) for row in rows
        }
        assert found == expected
        assert any(heat is not None for heat, _ in found.values())
        # No later row may matter: without them, all is the same.
        write_features(
            rooms,
            [
                row
                for row in table
                if row["at"] is None or row["at"] < dt.datetime(2026, 1, 3, tzinfo=UTC)
            ],
        )
        assert {
            row["id"]: (row["room_heat"], row["room_note"]) for row in prepared(rooms, spark)
        } == found


def test_without_a_column_of_its_own_a_row_is_as_old_as_its_slice(
    rooms: SmallProject, spark: SparkSession
) -> None:
    rooms.edit("column: ts, table_column", "table_column")
    table = features(4)
    rows = prepared(rooms, spark)
    midnight = dt.datetime.fromisoformat(DAY).replace(tzinfo=UTC)
    assert {row["id"]: (row["room_heat"], row["room_note"]) for row in rows} == {
        row["id"]: newest(row, table, midnight, None) for row in rows
    }


def test_a_run_reads_one_version_and_says_which(rooms: SmallProject, spark: SparkSession) -> None:
    rooms.train()
    context = rooms.context()
    columns = TableColumns(context)
    before = columns.preparation
    write_features(rooms, features(9))
    place = str(rooms.root / "var/lake/features/rooms")
    assert before.used_tables() == [{"table": place, "version": 0}]
    frame = prepared_frame(spark, columns, find_slice(context, DAY), columns.landed)
    found = {row["id"]: row["room_heat"] for row in frame.collect()}
    expected = {
        row["id"]: newest(row, features(4), row["ts"].replace(tzinfo=UTC), None)[0]
        for row in prepared(rooms, spark)
    }
    assert found == expected, "the version of the run, not the one that came later"
    report = rooms.score(DAY)
    assert report.feature_tables == [{"table": place, "version": 1}]
    planned = plan_slice(rooms.context(), DAY)
    assert planned["feature_tables"] == report.feature_tables
    assert (planned["prepare"], planned["prepare_makes"]) == (
        ["join"],
        {"room_heat": "double", "room_note": "string"},
    )
    assert planned["road"] == "arrow"
    assert "join" in planned["road_reason"]


def test_without_as_of_a_key_has_one_row(rooms: SmallProject, spark: SparkSession) -> None:
    rooms.edit(",\n          as_of: {column: ts, table_column: at}", "")
    with pytest.raises(
        InputError,
        match=r'keys \(name\) that repeat in .*rooms, version 0: \{"name": "[xy]"\} \d+ times',
    ):
        prepared(rooms, spark)
    one = [
        {"name": name, "at": None, "heat": heat, "note": "n"}
        for name, heat in (("x", 1.0), ("y", 2.0), (None, 3.0), (None, 4.0))
    ]
    write_features(rooms, one)
    heats = {"x": 1.0, "y": 2.0}
    rows = prepared(rooms, spark)
    assert len(rows) == 80
    assert {row["room"] for row in rows} == {"x", "y", "z", None}
    assert all(row["room_heat"] == heats.get(row["room"]) for row in rows), (
        "a null in the key finds nothing"
    )


def test_what_the_table_lacks_is_told_before_spark_reads_it(rooms: SmallProject) -> None:
    rooms.train()
    rooms.edit("features/rooms", "features/roms")
    with pytest.raises(
        InputMissing, match=r"prepare\[0\]\.join\.table: no Delta table at .*features/roms"
    ):
        rooms.score(DAY)
    rooms.edit("features/roms", "features/rooms")
    rooms.edit("columns: [heat, note]", "columns: [heat, nota]")
    with pytest.raises(
        InputError, match=r"columns: it has no such column: got 'nota' \(did you mean note\?\)"
    ):
        rooms.score(DAY)
    rooms.edit("columns: [heat, nota]", "columns: [heat, note]")
    numbered = pa.schema(
        [("name", pa.int64()), ("at", pa.string()), ("heat", pa.float64()), ("note", pa.string())]
    )
    write_features(rooms, [{"name": 1, "at": "x", "heat": 1.0, "note": "n"}], schema=numbered)
    with pytest.raises(InputError) as caught:
        rooms.score(DAY)
    assert any(
        "its column name is integer (int64), but room is text" in problem
        for problem in caught.value.problems
    )
    assert any(
        "its column at is text (string); allowed: timestamp, date" in problem
        for problem in caught.value.problems
    )
    assert plan_slice(rooms.context(), DAY).exit_code == 3


def test_features_of_a_type_that_the_steps_cannot_take_are_a_problem_of_the_file(
    rooms: SmallProject,
) -> None:
    rooms.edit("standardize: {columns: room_heat}", "standardize: {columns: room_note}")
    with pytest.raises(ConfigError, match="room_note"):
        rooms.train()
