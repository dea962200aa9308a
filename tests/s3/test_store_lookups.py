"""Lookups in a table that lies in a bucket: files are asked at once, by threads. No JVM."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from s3.conftest import Server

from batchinfer.contracts import KEY_PROPERTY
from batchinfer.errors import StorageError
from batchinfer.lake.creation import ensure_table
from batchinfer.lake.delta import commit
from batchinfer.lake.snapshots import open_table
from batchinfer.lake.staging import StagedWriter
from batchinfer.lookups.near_keys import near_key
from batchinfer.lookups.tables import lookup_rows

pytestmark = pytest.mark.timeout(300)
SCHEMA = pa.schema([("id", pa.int64()), ("slice", pa.string()), ("score", pa.float64())])
ROWS, FILES = 400, 20


def published(table: str, slice_: str, start: int) -> None:
    """A slice of many files, each of which spans nearly all keys; those are even."""
    ensure_table(table, SCHEMA, ["slice"], configuration={KEY_PROPERTY: "id"})
    staged = []
    for part in range(FILES):
        with StagedWriter(table, SCHEMA, ["slice"], ["id"], ["id"], row_group_rows=4) as writer:
            numbers = range(start + part * 2, start + ROWS * 2, FILES * 2)
            columns: dict[str, Any] = {"id": numbers, "score": [start + n / 8 for n in numbers]}
            writer.write(pa.record_batch(columns), {"slice": slice_})
            staged += writer.close()
    commit(table, staged)


def test_rows_of_keys_are_found_in_the_newest_slice_that_has_them(
    lake: str, server: Server
) -> None:
    table = f"{lake}/predictions/many"
    published(table, "1", 0)
    published(table, "2", 100)
    asked = [0, 98, 100, 101, 102, 798, 800, 898, 900]
    found = lookup_rows(table, [{"id": key} for key in asked])
    told = [row and (row["id"], row["slice"], row["score"]) for row in found]
    assert told == [
        (0, "1", 0.0),
        (98, "1", 12.25),
        (100, "2", 112.5),
        None,
        (102, "2", 112.75),
        (798, "2", 199.75),
        (800, "2", 200.0),
        (898, "2", 212.25),
        None,
    ]
    every = lookup_rows(table, [{"id": key} for key in range(900)])
    assert [row["id"] for row in every if row] == list(range(0, 900, 2))
    assert near_key(table, {"id": 101}) in ({"id": "100"}, {"id": "102"})
    for file in open_table(table).file_uris():
        server.delete(file.partition("://")[2])
    with pytest.raises(StorageError, match="missing"):
        lookup_rows(table, [{"id": 0}])
