"""What tasks have finished, in a bucket: notes, the bytes that they tell of, footers. No JVM."""

from __future__ import annotations

import pyarrow as pa
import pytest

from batchinfer.contracts import StagedFile
from batchinfer.inference.covered_rows import CoveredRows
from batchinfer.inference.split_reading import Part, Split
from batchinfer.lake.creation import ensure_table
from batchinfer.lake.delta import commit
from batchinfer.lake.staging import StagedWriter
from batchinfer.lake.table_places import open_filesystem
from batchinfer.lake.task_notes import read_notes
from batchinfer.pipeline.reuse.finished_tasks import (
    FinishedTask,
    choose_finished,
    leave_finished,
    noted,
    remove_finished,
)
from batchinfer.pipeline.reuse.kept_files import find_kept
from batchinfer.pipeline.reuse.task_origins import TaskOrigin

pytestmark = pytest.mark.timeout(300)
SCHEMA = pa.schema([("n", pa.int64()), ("slice", pa.string())])
DAY = "2026-11-21"


def finish(table: str, source: str) -> StagedFile:
    """A task that has made two rows of a source file, and has noted it."""
    origin = TaskOrigin.of("plan", Split((Part(source),), 2, 100))
    writer = StagedWriter(table, SCHEMA, ["slice"], ["n"], run_id="run-1", facts=origin.as_facts())
    writer.write(pa.record_batch({"n": [1, 2]}), {"slice": DAY})
    [file] = writer.close()
    task = FinishedTask(origin, False, 2, noted(table, [file]), {})
    leave_finished(table, "p", DAY, "run-1", task)
    return file


def test_finished_tasks_are_taken_over_from_a_bucket(lake: str) -> None:
    table = f"{lake}/predictions/p"
    ensure_table(table, SCHEMA, ["slice"])
    files = [finish(table, name) for name in "abcd"]
    filesystem, root = open_filesystem(table)
    with filesystem.open_output_stream(f"{root}/{files[1].path}") as stream:
        stream.write(b"x" * files[1].size)
    filesystem.delete_file(f"{root}/{files[2].path}")
    notes = read_notes(table, "p", DAY)
    assert len(notes) == 4 and notes[0].written_at > 1e9
    covered = CoveredRows()
    chosen = choose_finished(notes, "plan", {"a", "b", "c"}, covered, forced=False, in_part=False)
    assert [task.origin.parts[0].path for task in chosen.tasks] == ["a"]
    assert (chosen.damaged, chosen.rows_of_runs) == (2, {"run-1": 2})
    # Of the four, one is taken over; one had gone before.
    assert remove_finished(chosen.left, table, [], chosen.tasks) == 2
    assert [note.names for note in read_notes(table, "p")] == [{files[0].path.rpartition("/")[2]}]
    commit(table, files[:1])
    [kept] = find_kept(table, DAY, "plan", {"a", "b"}, CoveredRows())
    assert kept.path == files[0].path
    assert find_kept(table, DAY, "plan", {"b"}, CoveredRows()) == []
