"""Small projects for Spark tests: a pipeline, its data, and the commands called in process on the
shared session.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from batchinfer.command_reports import ExtractReport, RunReport, TrainReport
from batchinfer.pipeline.backfill import BackfillReport, backfill_slices
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.extract import extract_source
from batchinfer.pipeline.score import score_slice
from batchinfer.pipeline.status import pipeline_status
from batchinfer.pipeline.train import train_pipeline

DAY = "2026-11-21"
PIPELINE = """\
name: small
source:
  kind: csv
  path: in/*.csv
  schema: {id: int, color: string, size: double, big: string}
  key: id
  slice: ingest_date
features:
  - standardize: {columns: size}
  - one_hot: {columns: color}
train:
  target: {column: big, positive: ["yes"]}
  params: {hidden: [4], epochs: 3, seed: 1}
model: {uri: "models:/small@champion"}
checks: {max_quarantine_rate: 0.5}
sink: {table: predictions/small}
"""
# Rows of another's table that is read in place.
IN_PLACE = """\
name: small
source:
  kind: delta
  path: in/table
  key: id
  slice: {column: day, unit: day}
model: {uri: "models:/small@champion"}
sink: {table: predictions/small}
"""


def rows_of(numbers: range) -> str:
    colors = ("red", "blue", "green")
    return "".join(
        f"{n},{colors[n % 3]},{n * 0.37:.2f},{'yes' if n % 7 > 3 else 'no'}\n" for n in numbers
    )


def csv_of(numbers: range) -> str:
    return "id,color,size,big\n" + rows_of(numbers)


@dataclass
class SmallProject:
    """A project folder whose commands run in this process."""

    root: Path
    open_session: Callable[[], Any]
    overrides: tuple[str, ...] = ()

    @property
    def named(self) -> str:
        """The words of a hint that name the pipeline as this project asks for it."""
        return self.context().asked.command("status").removeprefix("batchinfer status ")

    def context(self, *overrides: str) -> Context:
        return Context.open(
            str(self.root / "conf/pipelines/small.yaml"), "local", [*self.overrides, *overrides]
        )

    def write(self, path: str, text: str) -> Path:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        return target

    def edit(self, old: str, new: str) -> None:
        path = self.root / "conf/pipelines/small.yaml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def extract(
        self, slice_: str | None = DAY, *overrides: str, force: bool = False
    ) -> ExtractReport:
        return extract_source(self.context(*overrides), slice_, self.open_session, force)

    def train(self, *overrides: str) -> TrainReport:
        return train_pipeline(self.context(*overrides), [], self.open_session)

    def score(self, slice_: str = DAY, *overrides: str, force: bool = False) -> RunReport:
        return score_slice(self.context(*overrides), slice_, self.open_session, force)

    def backfill(
        self, start: str, end: str, *overrides: str, force: bool = False
    ) -> BackfillReport:
        return backfill_slices(self.context(*overrides), start, end, self.open_session, force)

    def states(self) -> dict[str, str]:
        return {row["slice"]: row["status"] for row in pipeline_status(self.context())["slices"]}

    def table(self, kind: str) -> pa.Table:
        from deltalake import DeltaTable

        return DeltaTable(str(self.root / "var/lake" / kind / "small")).to_pyarrow_table()

    def predictions(self, slice_: str = DAY) -> dict[int, tuple[float, str]]:
        rows = self.table("predictions").to_pylist()
        return {row["id"]: (row["score"], row["label"]) for row in rows if row["slice"] == slice_}
