"""A project whose predictions and outcomes a test writes down itself, into real Delta tables."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import write_deltalake

from batchinfer.command_reports import EvaluateReport
from batchinfer.contracts import KEY_PROPERTY, SLICE
from batchinfer.lake import delta
from batchinfer.lake.ledger import publish_transactions
from batchinfer.lake.snapshots import exists
from batchinfer.lake.staging import StagedWriter
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.evaluate import evaluate_predictions
from batchinfer.predictions_table import predictions_schema

DAY, NEXT = "2026-11-21", "2026-11-22"
PIPELINE = """\
name: told
source: {kind: csv, path: in/*.csv, schema: {id: int, size: double}, key: id, slice: ingest_date}
TRAIN
outcomes: {OUTCOMES}
"""
POSITIVE = "train: {target: {column: size, positive: [bad]}}"
BINARY = {"score": pa.float64(), "label": pa.string()}
NUMBER = {"prediction": pa.float64()}
SEVERAL = {
    "label": pa.string(),
    "score": pa.float64(),
    "scores": pa.map_(pa.string(), pa.float64()),
}


@dataclass
class Told:
    """The project."""

    root: Path
    train: str = POSITIVE
    outcomes: str = "table: outcomes/told, value: came"

    def context(self, *overrides: str) -> Context:
        file = self.root / "conf/pipelines/told.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(PIPELINE.replace("TRAIN", self.train).replace("OUTCOMES", self.outcomes))
        return Context.open(str(file), overrides=overrides)

    def predict(
        self,
        rows: Sequence[Mapping[str, Any]],
        outputs: Mapping[str, pa.DataType],
        slice_: str = DAY,
        version: str = "1",
        key: pa.DataType | None = None,
        pipeline: str = "told",
    ) -> None:
        """Publishes rows of a slice, beside those that it has; each row needs its `id` and what
        `outputs` names.
        """
        uri = self.context().predictions
        schema = predictions_schema({"id": key or pa.int32()}, outputs)
        if not exists(uri):
            delta.ensure_table(uri, schema, [SLICE], configuration={KEY_PROPERTY: "id"})
        usual = {
            "variant": "champion", "served": True, "model_name": "told", "model_version": version,
            "bundle_digest": f"digest of {version}", "source_table": "t", "source_version": 1,
            "input_fingerprint": bytes(16), "run_id": "r",
            "scored_at": dt.datetime(2026, 11, 23, tzinfo=dt.UTC),
        }  # fmt: skip
        inside = pa.schema([field for field in schema if field.name != SLICE])
        with StagedWriter(uri, schema, [SLICE], ["id"]) as writer:
            batch = pa.RecordBatch.from_pylist([{**usual, **row} for row in rows], inside)
            writer.write(batch, {SLICE: slice_})
            files = writer.close()
        delta.commit(uri, files, transactions=lambda at: publish_transactions(pipeline, slice_, at))

    def came(self, columns: Mapping[str, Any], table: str = "outcomes/told") -> str:
        """Adds rows to a table of outcomes; where it lies."""
        place = str(self.root / "var/lake" / table)
        write_deltalake(place, pa.table(dict(columns)), mode="append")
        return place

    def evaluate(self, slice_: str | None = DAY, **asked: str) -> EvaluateReport:
        return evaluate_predictions(self.context(), slice_, **asked)
