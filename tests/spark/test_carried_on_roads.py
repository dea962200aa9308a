"""Columns that are carried along are the same on every road, where equal rows are scored once, and
for rows that join their slice later.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession
from spark.projects import DAY, SmallProject

from batchinfer.pipeline.replay import replay_slice

WAYS = (
    ("model.road=direct",),
    ("model.road=direct", "model.deduplicate=always"),
    ("model.road=arrow",),
    ("model.road=pandas",),
)
ADDED = "id: int, color: string, size: double, big: string, at: timestamp, note: string, many: long"
CARRY = ("at", "note", "many", "size", "source_line")


@pytest.fixture
def carrying(
    tmp_path: Path, trained: Path, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> SmallProject:
    """Rows of which many have equal inputs and each has other values beside them, nulls too."""
    monkeypatch.delenv("BATCHINFER_HOME", raising=False)
    project = SmallProject(tmp_path, lambda: spark)
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    shutil.rmtree(tmp_path / "var/lake")
    project.edit("id: int, color: string, size: double, big: string", ADDED)
    project.edit("sink: {", f"sink: {{carry: [{', '.join(CARRY)}], ")
    lines = (
        f"{n},{('red', 'blue')[n % 2]},{n % 3}.5,,"
        + ("," if n % 5 == 0 else f"2026-11-21 10:00:{n % 60:02},note {n}")
        + (",\n" if n % 7 == 0 else f",{2**53 + n}\n")
        for n in range(60)
    )
    project.write("in/a.csv", "id,color,size,big,at,note,many\n" + "".join(lines))
    project.extract()
    return project


def stored(project: SmallProject) -> list[dict[str, Any]]:
    rows = project.table("predictions").select(["id", *CARRY]).to_pylist()
    return sorted(rows, key=lambda row: row["id"])


def test_every_road_carries_the_values_that_landed(carrying: SmallProject) -> None:
    landed = carrying.table("landed").select(["id", *CARRY]).to_pylist()
    landed.sort(key=lambda row: row["id"])
    for way in WAYS:
        report = carrying.score(DAY, *way, force=True)
        assert report.road == way[0].split("=")[1]
        assert report.rows_scored + report.rows_reused == 60
        assert stored(carrying) == landed, way
    # After table transforms the values are those that the model sees.
    filled = "prepare=[{filter: {rule: 'id < 50', name: late}}]"
    carrying.score(DAY, filled, "checks.max_quarantine_rate=0.5", force=True)
    assert stored(carrying) == landed[:50]
    replayed = replay_slice(carrying.context(filled), DAY, carrying.open_session)
    assert replayed.status == "unchanged"
