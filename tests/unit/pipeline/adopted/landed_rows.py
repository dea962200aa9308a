"""A project whose rows have landed, for models trained elsewhere; commands need no JVM."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from batchinfer.command_reports import RegisterReport
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.extract import extract_source
from batchinfer.pipeline.register import RegisterOptions, register_model
from batchinfer.pipeline.score import score_slice

from ..one_process import OneProcess

DAY = "2026-11-21"
_PIPELINE = """\
name: adopted
source: {kind: parquet, path: in/*.parquet, key: id, unique: assumed, slice: ingest_date}
model: {uri: "models:/adopted@champion"}
sink: {table: predictions/adopted}
checks: {max_quarantine_rate: 1.0}
"""


class LandedRows:
    """Rows of a table, landed, that a model is registered for and scores."""

    def __init__(self, root: Path, rows: pa.Table, more: str = "", land: bool = True) -> None:
        self.root, self.rows = root, rows
        (root / "in").mkdir()
        (root / "conf/pipelines").mkdir(parents=True)
        self.file = root / "conf/pipelines/adopted.yaml"
        self.file.write_text(_PIPELINE + more)
        pq.write_table(rows, root / "in/rows.parquet")
        if land:
            extract_source(self.context(), DAY, OneProcess)  # pyright: ignore[reportArgumentType]

    def context(self, *overrides: str) -> Context:
        return Context.open(str(self.file), overrides=overrides)

    def frame(self) -> pd.DataFrame:
        """The rows as `pandas.read_parquet` gives them."""
        return pd.read_parquet(self.root / "in/rows.parquet")

    def register(self, artifact: Path | str, *overrides: str, **options: Any) -> RegisterReport:
        return register_model(
            self.context(*overrides), str(artifact), None, RegisterOptions(**options)
        )

    def scored(self, *overrides: str) -> pd.DataFrame:
        """The published predictions by key, after scoring."""
        from deltalake import DeltaTable

        context = self.context(*overrides)
        score_slice(context, DAY, OneProcess, force=True)  # pyright: ignore[reportArgumentType]
        return DeltaTable(context.predictions).to_pandas().set_index("id").sort_index()
