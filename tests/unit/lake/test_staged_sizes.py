"""A store is asked for the sizes of staged files side by side: one after another they would take
hours.
"""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from pyarrow.fs import LocalFileSystem

from batchinfer.errors import StorageError
from batchinfer.lake import delta
from batchinfer.lake.staging import StagedWriter

SCHEMA = pa.schema([pa.field("k", pa.int64()), pa.field("slice", pa.string())])


class Meeting:
    """A store whose first two answers wait for each other: asked one after another, it fails."""

    def __init__(self) -> None:
        self.together, self.asked = threading.Barrier(2, timeout=10), 0
        self.local = LocalFileSystem()

    def get_file_info(self, paths: list[str]) -> list[Any]:
        assert len(paths) == 1
        self.asked += 1
        if self.asked <= 2:
            self.together.wait()
        return self.local.get_file_info(paths)


def test_a_store_is_asked_for_staged_files_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = str(tmp_path / "table")
    delta.ensure_table(uri, SCHEMA, ["slice"], stats_columns=["k", "slice"])
    files = []
    for number in range(5):
        with StagedWriter(uri, SCHEMA, ["slice"], ["k"]) as writer:
            writer.write(
                pa.RecordBatch.from_pydict({"k": pa.array([number])}), {"slice": f"s{number}"}
            )
            files += writer.close()
    monkeypatch.setattr(delta, "open_filesystem", lambda uri: (Meeting(), uri))
    delta.commit(uri, files)
    assert sorted(DeltaTable(uri).to_pyarrow_table()["k"].to_pylist()) == [0, 1, 2, 3, 4]
    (Path(uri) / files[3].path).write_bytes(b"cut")
    with pytest.raises(
        StorageError,
        match=rf"{re.escape(files[3].path)}: a staged file of {files[3].size} bytes; found 3",
    ):
        delta.commit(uri, files)
