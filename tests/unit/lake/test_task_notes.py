"""Notes of what tasks have finished: whole or not there, told apart by slice and run, and what they
name is left alone by sweeps.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from batchinfer.contracts import StagedFile
from batchinfer.errors import StorageError
from batchinfer.lake import orphans
from batchinfer.lake.creation import ensure_table
from batchinfer.lake.delta import commit
from batchinfer.lake.orphans import remove_unnamed, remove_unnoted
from batchinfer.lake.snapshots import snapshot_files
from batchinfer.lake.staging import StagedWriter
from batchinfer.lake.task_notes import drop_notes, leave_note, read_notes

SCHEMA = pa.schema([("id", pa.int64()), ("slice", pa.string())])


@pytest.fixture
def table(tmp_path: Path) -> str:
    ensure_table(str(tmp_path / "predictions"), SCHEMA, ["slice"])
    return str(tmp_path / "predictions")


def stage(table: str, run_id: str) -> StagedFile:
    with StagedWriter(table, SCHEMA, ["slice"], [], run_id=run_id) as writer:
        rows = pa.RecordBatch.from_arrays([pa.array([1, 2])], names=["id"])
        writer.write(rows, {"slice": "a"})
        [file] = writer.close()
    return file


def note(table: str, file: StagedFile, run_id: str, slice_: str = "a b/c") -> None:
    files = [{"table": table, "path": file.path}]
    leave_note(table, "orders", slice_, run_id, {"files": files, "n": 1})


def is_there(table: str, file: StagedFile) -> bool:
    return Path(table, file.path).exists()


def test_notes_are_told_by_slice_and_by_run(table: str) -> None:
    one, other = stage(table, "run-1"), stage(table, "run-2")
    note(table, one, "run-1")
    note(table, other, "run-2", "d")
    [first] = read_notes(table, "orders", "a b/c")
    assert (first.run_id, first.content["n"], first.written_at > 1e9) == ("run-1", 1, True)
    assert first.names == {Path(one.path).name}
    assert [each.run_id for each in read_notes(table, "orders")] == ["run-1", "run-2"]
    assert [each.run_id for each in read_notes(table, "orders", run_id="run-2")] == ["run-2"]
    assert read_notes(table, "others") == read_notes(table, "orders", "e") == []
    drop_notes(table, [first])
    assert len(read_notes(table, "orders")) == 1
    drop_notes(table, read_notes(table, "orders"))
    assert list(Path(table, "_finished/orders").iterdir()) == []


@pytest.mark.parametrize("at", [0, 20, -1])
def test_a_note_whose_bytes_changed_says_nothing(table: str, at: int) -> None:
    note(table, stage(table, "run-1"), "run-1")
    [path] = Path(table).glob("_finished/**/*.json")
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    [read] = read_notes(table, "orders")
    assert (read.content, read.run_id, read.names) == ({}, "run-1", set())


def test_a_sweep_leaves_alone_what_a_note_names(table: str) -> None:
    noted, other = stage(table, "run-1"), stage(table, "run-1")
    note(table, noted, "run-1")
    assert remove_unnoted("run-1", "orders", [table]) == 1
    assert is_there(table, noted) and not is_there(table, other)
    assert len(read_notes(table, "orders")) == 1
    drop_notes(table, read_notes(table, "orders"))
    assert remove_unnoted("run-1", "orders", [table]) == 1
    assert not is_there(table, noted)


def test_an_interrupted_run_leaves_what_a_note_names(
    table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted, other = stage(table, "run-1"), stage(table, "run-1")
    note(table, noted, "run-1")
    monkeypatch.setattr(orphans, "_staging", [("run-1", "orders", (table,))])
    orphans.remove_interrupted()
    assert is_there(table, noted) and not is_there(table, other)


def test_what_a_commit_names_is_not_removed(table: str) -> None:
    held, former, other = (stage(table, "run-1") for _ in range(3))
    commit(table, [held, former])
    commit(table, [], remove=[former.path])
    assert remove_unnamed(table, [held.path, former.path, other.path]) == 1
    assert is_there(table, held) and is_there(table, former) and not is_there(table, other)


def test_a_commit_keeps_files_of_the_partition_that_it_replaces(table: str) -> None:
    kept, former, new = (stage(table, "run-1") for _ in range(3))
    commit(table, [kept, former])
    commit(table, [new], replace={"slice": "a"}, keep=[kept.path])
    assert {file.path for file in snapshot_files(table)} == {kept.path, new.path}
    with pytest.raises(StorageError, match="1 files to remove or to keep are not in version 2"):
        commit(table, [], replace={"slice": "a"}, keep=[former.path])
