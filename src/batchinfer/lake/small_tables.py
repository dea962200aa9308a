"""Tables of few rows, which are written anew as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from batchinfer.contracts import RUN_ID
from batchinfer.lake.delta import commit, snapshot_files
from batchinfer.lake.staged_files import remove_staged
from batchinfer.lake.staging import StagedWriter


def replace_all_rows(
    uri: str,
    schema: pa.Schema,
    rows: Sequence[Mapping[str, Any]],
    *,
    partition: Mapping[str, str] | None = None,
    stats_columns: Sequence[str],
    transactions: Mapping[str, int],
    run_id: str,
    command: str,
) -> int:
    """Puts rows in place of all that a table has, by one commit; returns the version.

    Args:
        schema: of the table, which is there.
        rows: column to value, without those of `partition`.
        partition: its columns, with the one value that all rows have there.
        transactions: what the commit records with the rows.
        command: that writes them, for people.

    Runs on: driver, without Spark.

    Raises:
        StorageError: the lake cannot be written.
    """
    fixed = dict(partition or {})
    former = [file.path for file in snapshot_files(uri)]
    with StagedWriter(
        uri, schema, list(fixed), stats_columns=stats_columns, run_id=run_id
    ) as writer:
        if rows:
            own = pa.schema([field for field in schema if field.name not in fixed])
            writer.write(pa.RecordBatch.from_pylist(list(rows), own), fixed)
        staged = writer.close()
    try:
        return commit(
            uri,
            staged,
            remove=former,
            transactions=transactions,
            metadata={RUN_ID: run_id, "command": command},
            schema=schema,
        )
    except BaseException:
        remove_staged(uri, staged)
        raise
