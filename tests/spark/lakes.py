"""Projects with a Delta table that is read in place, and what the tests of such tables share."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from spark.projects import DAY, SmallProject

from batchinfer.pipeline.definition.context import Context

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


@dataclass
class LakeProject(SmallProject):
    """A project with a Delta table beside the CSV files, and a pipeline that reads it in place."""

    spark: Any = None
    name: str = "lake"

    def context(self, *overrides: str) -> Context:
        return Context.open(
            str(self.root / f"conf/pipelines/{self.name}.yaml"),
            "local",
            [*self.overrides, *overrides],
        )

    @property
    def place(self) -> str:
        return str(self.root / "in/table")

    def sql(self, text: str) -> Any:
        return self.spark.sql(text.replace("{here}", f"delta.`{self.place}`"))

    def create(self, *, partitioned: bool = True, **properties: str) -> None:
        told = ", ".join(f"'delta.{name}'='{value}'" for name, value in properties.items())
        self.sql(
            "CREATE TABLE {here} (id int, color string, size double, big string, day date) USING "
            "delta"
            + (" PARTITIONED BY (day)" if partitioned else "")
            + (f" TBLPROPERTIES ({told})" if told else "")
        )

    def insert(self, numbers: range, day: str | None = None) -> None:
        columns = "id int, color string, size double, big string, day date"
        rows = self.spark.createDataFrame(rows_of(numbers, day).to_pylist(), columns)
        rows.coalesce(1).write.format("delta").mode("append").save(self.place)

    def make(
        self, writer: str, numbers: range, *, partitioned: bool = True, **properties: str
    ) -> int:
        """A new table of these rows, made by Spark or by delta-rs; its version."""
        if writer == "spark":
            self.create(partitioned=partitioned, **properties)
            self.insert(numbers)
        else:
            told = {f"delta.{name}": value for name, value in properties.items()}
            by = ["day"] if partitioned else None
            write_deltalake(self.place, rows_of(numbers), partition_by=by, configuration=told)
        return self.version

    def append(self, writer: str, numbers: range, day: str | None = None) -> int:
        """More rows, by Spark or by delta-rs; the version that has them."""
        if writer == "spark":
            self.insert(numbers, day)
        else:
            write_deltalake(self.place, rows_of(numbers, day), mode="append")
        return self.version

    def update(self, writer: str, size: float, where: str) -> int:
        """Another size for some rows, by Spark or by delta-rs; the version that has it."""
        if writer == "spark":
            self.sql(f"UPDATE {{here}} SET size = {size} WHERE {where}")
        else:
            DeltaTable(self.place).update(updates={"size": str(size)}, predicate=where)
        return self.version

    @property
    def version(self) -> int:
        return DeltaTable(self.place).version()

    def edit_lake(self, old: str, new: str) -> None:
        path = self.root / "conf/pipelines/lake.yaml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def table_of(self, kind: str) -> pa.Table:
        return DeltaTable(str(self.root / "var/lake" / kind / self.name)).to_pyarrow_table()

    def published(self, name: str = "lake") -> dict[int, tuple[float, str]]:
        rows = (
            DeltaTable(str(self.root / "var/lake/predictions" / name))
            .to_pyarrow_table()
            .to_pylist()
        )
        return {row["id"]: (row["score"], row["label"]) for row in rows}

    def quarantined(self) -> list[dict[str, Any]]:
        place = self.root / "var/lake/quarantine" / self.name
        return DeltaTable(str(place)).to_pyarrow_table().to_pylist() if place.exists() else []


def rows_of(numbers: range, day: str | None = None) -> pa.Table:
    """The rows of the CSV files, each of a day: even numbers of the first, odd ones of the
    second.
    """
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


def as_csv(trained: Path) -> dict[int, tuple[float, str]]:
    return SmallProject(trained, lambda: None).predictions(DAY)


def assert_same(found: dict[int, tuple[float, str]], wanted: dict[int, tuple[float, str]]) -> None:
    """The same keys and labels, and scores but for float32's rounding, which depends on how many
    rows a batch has.
    """
    assert {key: label for key, (_, label) in found.items()} == {
        key: label for key, (_, label) in wanted.items()
    }
    scores = {key: score for key, (score, _) in wanted.items()}
    assert {key: score for key, (score, _) in found.items()} == pytest.approx(
        scores, rel=1e-6, abs=0
    )


def score_all(lake: LakeProject, road: str = "direct") -> None:
    for day in DAYS:
        assert lake.score(day).road == road


def clean_log(place: str) -> None:
    """What Delta itself does with logs after thirty days: a checkpoint stays, commits before it
    go.
    """
    table = DeltaTable(place)
    table.create_checkpoint()
    for commit in sorted(Path(place, "_delta_log").glob("*.json"))[:-1]:
        commit.unlink()
