"""What the tests of commits share: a table, staged files for it, and its rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable

from batchinfer.contracts import KEY_PROPERTY, StagedFile
from batchinfer.lake import delta
from batchinfer.lake.staging import StagedWriter

SCHEMA = pa.schema(
    [
        pa.field("k", pa.int64(), metadata={"comment": "The key."}),
        pa.field("slice", pa.string(), metadata={"comment": "The slice."}),
        pa.field("name", pa.string()),
        pa.field("at", pa.timestamp("us", tz="UTC")),
    ]
)


def make_table(folder: Path, **options: Any) -> str:
    uri = str(folder / "table")
    delta.ensure_table(
        uri,
        SCHEMA,
        ["slice"],
        "About.",
        {KEY_PROPERTY: "k"},
        stats_columns=["k", "slice"],
        **options,
    )
    return uri


def stage(
    uri: str, keys: list[int], slice_: str | None, names: list[str] | None = None
) -> list[StagedFile]:
    with StagedWriter(uri, SCHEMA, ["slice"], ["k"]) as writer:
        rows = {"k": keys, "name": names or ["n"] * len(keys), "at": [0] * len(keys)}
        schema = pa.schema([field for field in SCHEMA if field.name != "slice"])
        writer.write(
            pa.RecordBatch.from_pydict(
                {name: pa.array(rows[name], schema.field(name).type) for name in schema.names}
            ),
            {"slice": slice_},
        )
        return writer.close()


def read(uri: str) -> list[tuple[int, str | None]]:
    rows = DeltaTable(uri).to_pyarrow_table().to_pylist()
    return sorted(((row["k"], row["slice"]) for row in rows), key=str)
