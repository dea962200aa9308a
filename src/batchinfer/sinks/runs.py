"""The runs table: one row per attempt at a command, appended and never changed.

Owns how a row gets in and how the latest ones are found. Must not decide what is published: that is read from the
tables themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds

from batchinfer.contracts import BUNDLE_DIGEST, SLICE, runs_schema
from batchinfer.errors import InputError
from batchinfer.sinks.creation import ensure_table
from batchinfer.sinks.delta import commit
from batchinfer.sinks.places import storage_faults
from batchinfer.sinks.snapshots import exists, open_table
from batchinfer.sinks.staging import StagedWriter

_SKIP_BY = ("pipeline", "started_at")


def append_run(uri: str, row: Mapping[str, Any]) -> int:
    """Appends one row; columns that it leaves out are null. The table is made if missing.

    Args:
        uri: of the runs table.
        row: columns of `contracts.runs_schema`; times are aware datetimes.

    Returns:
        The table's version.

    Runs on: driver

    Raises:
        InputError: unknown columns, or values of another type.
        StorageError: the table cannot be written.
    """
    schema = runs_schema()
    unknown = sorted(set(row) - set(schema.names))
    if unknown:
        raise InputError(f"unknown columns of the runs table: {unknown}; it has {schema.names}")
    try:
        batch = pa.RecordBatch.from_pylist([{name: row.get(name) for name in schema.names}], schema)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise InputError(f"a row of the runs table: {error}; its columns are {schema}") from error
    ensure_table(
        uri,
        schema,
        description="One row per attempt at a command; appended, never changed.",
        stats_columns=_SKIP_BY,
    )
    with StagedWriter(uri, schema, (), _SKIP_BY) as writer:
        writer.write(batch, {})
        return commit(uri, writer.close())


def latest_runs(
    uri: str, pipeline: str, command: str | None = None, bundle_digest: str | None = None
) -> dict[str, dict[str, Any]]:
    """The run of each slice that started last, as a mapping of slice to row; runs on no one slice are left out.

    Args:
        uri: of the runs table; no table means no runs.
        pipeline: name of the pipeline.
        command: only runs of this command.
        bundle_digest: only runs with this bundle.

    Runs on: driver

    Raises:
        StorageError: the table cannot be read.
    """
    if not exists(uri):
        return {}
    wanted = (ds.field("pipeline") == pipeline) & ds.field(SLICE).is_valid()
    if command is not None:
        wanted &= ds.field("command") == command
    if bundle_digest is not None:
        wanted &= ds.field(BUNDLE_DIGEST) == bundle_digest
    with storage_faults(uri, "read the runs table"):
        rows = open_table(uri).to_pyarrow_dataset().to_table(filter=wanted).sort_by("started_at")
    return {row[SLICE]: row for row in rows.to_pylist()}
