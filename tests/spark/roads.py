"""The rows of a table that is read in place, by every road, and as Spark itself reads them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from spark.projects import DAY

from batchinfer.config.types import parse_ddl
from batchinfer.inference.road_choice import TableFacts, obstacles
from batchinfer.lake.snapshots import reading_facts
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.extract import extract_source
from batchinfer.pipeline.scoring.pandas_road import packed, unpacked
from batchinfer.pipeline.slices.landed import read_data
from batchinfer.pipeline.slices.reading import read_rows
from batchinfer.pipeline.slices.slice_data import SliceData
from batchinfer.pipeline.slices.slice_frames import slice_frame
from batchinfer.pipeline.slices.slice_splits import splits_of

PIPELINE = """\
name: shared
source: {{kind: {kind}, path: {path}, key: id, slice: {slice}}}
model: {{uri: "models:/small@champion"}}
checks: {{max_quarantine_rate: 0.9}}
sink: {{table: predictions/shared}}
"""
Rows = list[dict[str, Any]]


@dataclass
class SharedTable:
    """A folder with a pipeline that reads what others write to `in/table`."""

    root: Path
    spark: Any

    @property
    def place(self) -> str:
        return str(self.root / "in/table")

    def context(self, kind: str = "delta", slice_: str = "ingest_date") -> Context:
        path = "in/table" if kind == "delta" else "'in/table/*.parquet'"
        target = self.root / "conf/pipelines/shared.yaml"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(PIPELINE.format(kind=kind, path=path, slice=slice_))
        return Context.open(str(target), "local", [])

    def landed(self, slice_: str = "ingest_date") -> Context:
        """A pipeline whose table has been extracted."""
        context = self.context("delta", slice_)
        extract_source(context, DAY if slice_ == "ingest_date" else None, lambda: self.spark)
        return context

    def by_roads(self, slice_: str = DAY, cut: str = "ingest_date") -> dict[str, Rows]:
        """Rows of a slice by each road."""
        data = read_data(self.landed(cut), [slice_])
        assert data.fields is not None
        types = {name: parse_ddl(type_) for name, type_ in data.fields.items()}
        frame = slice_frame(self.spark, data)
        found = {
            "arrow": ordered(frame.toArrow().to_pylist()),
            "pandas": self._through_pandas(frame, types),
        }
        facts = reading_facts(data.table, data.version, data.files)
        if obstacles(TableFacts.of_delta(facts)):
            return found
        return found | {"direct": self.by_direct_road(data)}

    def by_direct_road(self, data: SliceData) -> Rows:
        assert data.fields is not None
        return ordered(
            [
                row
                for split in splits_of(data, 1)
                for batch in read_rows(split, list(data.fields))
                for row in batch.to_pylist()
            ]
        )

    def _through_pandas(self, frame: Any, types: dict[str, pa.DataType]) -> Rows:
        """Columns that hold others are left out: pandas may change what is in them, and the road
        then ends the run.
        """
        flat = {name: type_ for name, type_ in types.items() if not pa.types.is_nested(type_)}
        with settings(self.spark, {"spark.sql.execution.arrow.pyspark.enabled": "true"}):
            return ordered(unpacked(packed(frame, flat).toPandas(), flat).to_pylist())

    def by_spark(self) -> Rows:
        return ordered(self.spark.read.format("delta").load(self.place).toArrow().to_pylist())


@contextmanager
def settings(spark: Any, told: dict[str, str]) -> Iterator[None]:
    """Settings of the session for a while."""
    before = {name: spark.conf.get(name) for name in told}
    for name, value in told.items():
        spark.conf.set(name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            spark.conf.set(name, value)


def same_rows(found: Rows, wanted: Rows) -> None:
    """Whether rows are the same, in the columns that were found."""
    assert len(found) == len(wanted)
    for row, other in zip(found, wanted, strict=True):
        different = {
            name: (row[name], other[name]) for name in row if repr(row[name]) != repr(other[name])
        }
        assert different == {}


def ordered(rows: Rows) -> Rows:
    return sorted(rows, key=lambda row: row["id"])
