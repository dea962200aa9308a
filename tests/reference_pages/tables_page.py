"""The text of docs/tables.md: every column of the tables of the lake, from their schemas."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

from batchinfer.config.types import spark_name
from batchinfer.contracts import (
    QUARANTINE_PARTITIONS,
    RESCUED,
    SLICE,
    SOURCE_FILE,
    SOURCE_LINE,
    quarantine_schema,
    runs_schema,
)
from batchinfer.pipeline.landing.landed_commits import landed_schema
from batchinfer.pipeline.slices.delta_register import register_schema
from batchinfer.predictions_table import LINEAGE, predictions_schema

FRAME = Path(__file__).parent / "tables_frame.md"
HEAD = "| column | type | null | what it says |\n|---|---|---|---|"
# Columns that stand for those of the pipeline's own, and what they are called on the page.
OWN = {"(columns)": "as declared", "(key)": "as declared", "(predictions)": "of the handler"}
NEVER_NULL = {
    "landed": {SLICE},
    "predictions": {"(key)", SLICE, *LINEAGE},
    "quarantine": {"pipeline", "stage", "reason", "message", "run_id", "published", "at"},
    "runs": {"run_id", "pipeline", "command", "status", "exit_code", "started_at", "report"},
    "register": {"source_table", "source_version", "recorded_at", "run_id", "slice_rule"},
}


def schemas() -> Mapping[str, pa.Schema]:
    """The schema of each table; what is the pipeline's own is one column in brackets."""
    place = {SOURCE_FILE: pa.string(), SOURCE_LINE: pa.int64(), RESCUED: pa.string()}
    return {
        "landed": landed_schema({"(columns)": pa.string(), **place}),
        "predictions": predictions_schema({"(key)": pa.string()}, {"(predictions)": pa.string()}),
        "quarantine": quarantine_schema(),
        "runs": runs_schema(),
        "register": register_schema(),
    }


def tables_page() -> str:
    """The text of the page."""
    text = FRAME.read_text(encoding="utf-8")
    for name, schema in schemas().items():
        text = text.replace(f"TABLE {name}\n", f"{table_of(name, schema)}\n")
    return text


def table_of(name: str, schema: pa.Schema) -> str:
    """The table of one schema."""
    lines = [HEAD]
    for field in schema:
        type_ = OWN.get(field.name) or f"`{spark_name(field.type)}`"
        shown = field.name if field.name in OWN else f"`{field.name}`"
        null = "never" if field.name in NEVER_NULL[name] or not field.nullable else "may be"
        comment = (field.metadata or {})[b"comment"].decode()
        partition = field.name in QUARANTINE_PARTITIONS and name == "quarantine"
        said = f"{comment}{' Partition column.' if partition else ''}"
        lines.append(f"| {shown} | {type_} | {null} | {said} |")
    return "\n".join(lines)
