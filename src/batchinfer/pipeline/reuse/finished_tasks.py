"""Tasks of a scoring run that have done their part: what they leave, and what of it a later run of
the slice takes over.

Owns what a note says of a task, and which notes count. Must not know what a task's result is.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from batchinfer.checked_parquet import checksum_of
from batchinfer.contracts import StagedFile
from batchinfer.errors import StorageError
from batchinfer.inference.covered_rows import CoveredRows
from batchinfer.json_values import as_value, to_json
from batchinfer.lake.orphans import remove_unnamed
from batchinfer.lake.table_places import open_filesystem, storage_faults
from batchinfer.lake.task_notes import Note, drop_notes, leave_note
from batchinfer.pipeline.reuse.task_origins import TaskOrigin

# Files whose bytes are read at once.
_AT_ONCE = 8


@dataclass(frozen=True)
class NotedFile:
    """A file that a task has finished.

    Attributes:
        table: that it is staged in.
        path: relative to the table.
        checksum: CRC-32 of its bytes.
    """

    table: str
    path: str
    size: int
    checksum: int | None


@dataclass(frozen=True)
class FinishedTask:
    """What a note says.

    Attributes:
        forced: its run was asked to score all rows, whatever was known of them.
        rows: that it read.
        files: all that it staged, rows in quarantine too.
        result: as it went to the driver, as JSON.
    """

    origin: TaskOrigin
    forced: bool
    rows: int
    files: tuple[NotedFile, ...]
    result: Mapping[str, Any]


def noted(table: str, staged: Sequence[StagedFile]) -> tuple[NotedFile, ...]:
    """Staged files of a table as notes tell them."""
    return tuple(NotedFile(table, file.path, file.size, file.checksum) for file in staged)


@dataclass(frozen=True)
class Chosen:
    """What a run takes over, and what becomes of the other notes.

    Attributes:
        tasks: whose rows are not scored again.
        rows_of_runs: rows of these tasks, by the run that read them.
        damaged: tasks of which files are no longer what was written.
        left: notes that nobody needs.
    """

    tasks: list[FinishedTask]
    rows_of_runs: Mapping[str, int]
    damaged: int
    left: list[Note]


def choose_finished(
    notes: Sequence[Note],
    plan: str,
    paths: Collection[str],
    covered: CoveredRows,
    forced: bool,
    in_part: bool,
) -> Chosen:
    """The finished tasks whose rows a run would make just so: of its plan, of rows that it has to
    score, and with all their bytes. What they cover is added to `covered`.

    Args:
        plan: digest; empty: none counts.
        paths: of the files that the slice has now, whole.
        forced: only tasks of runs that were asked to score all rows, too.
        in_part: the files hold rows of other slices, so that nothing told how many a task has.

    Runs on: driver

    Raises:
        StorageError: storage does not answer.
    """
    fit: list[tuple[Note, FinishedTask]] = []
    for note in notes if plan else ():
        task = _read(note)
        if (
            task is not None
            and task.origin.is_of(plan, paths)
            and (task.forced or not forced)
            and (in_part or task.rows == task.origin.rows)
        ):
            fit.append((note, task))
    whole = _whole([task for _, task in fit])
    tasks: list[FinishedTask] = []
    taken: set[str] = set()
    rows: Counter[str] = Counter()
    for (note, task), is_whole in zip(fit, whole, strict=True):
        # A task that was tried again may have finished twice.
        if is_whole and not covered.overlaps(task.origin.parts):
            covered.add(task.origin.parts)
            tasks.append(task)
            taken.add(note.path)
            rows[note.run_id] += task.rows
    left = [note for note in notes if note.path not in taken]
    return Chosen(tasks, rows, whole.count(False), left)


def leave_finished(table: str, pipeline: str, slice_: str, run_id: str, task: FinishedTask) -> None:
    """Notes that a task has done its part; its files are on the disk by now.

    Args:
        table: that the predictions are staged in.

    Runs on: executor

    Raises:
        StorageError: storage is full or cannot be written.
    """
    leave_note(table, pipeline, slice_, run_id, {"slice": slice_, **json.loads(to_json(task))})


def remove_finished(
    notes: Sequence[Note], table: str, others: Sequence[str], spared: Sequence[FinishedTask] = ()
) -> int:
    """Deletes what notes are about, as far as no commit names it, and the notes themselves; how
    many files are gone.

    Args:
        table: that has the notes.
        others: tables that tasks stage files in besides; a note may not name files elsewhere.
        spared: tasks whose files stay, whoever names them.

    Runs on: driver

    Raises:
        StorageError: a table's log cannot be read.
    """
    by_table: dict[str, list[str]] = {}
    stay = {(file.table, file.path) for task in spared for file in task.files}
    for note in notes:
        for file in note.content.get("files", ()):
            if (file["table"], file["path"]) not in stay:
                by_table.setdefault(file["table"], []).append(file["path"])
    gone = sum(
        remove_unnamed(place, by_table[place]) for place in (table, *others) if place in by_table
    )
    drop_notes(table, notes)
    return gone


def _read(note: Note) -> FinishedTask | None:
    """What a note says; None if it is damaged, or of another build."""
    try:
        return as_value(FinishedTask, note.content)
    except ValidationError:
        return None


def _whole(tasks: Sequence[FinishedTask]) -> list[bool]:
    """Of each task whether the bytes of all its files are those that were written."""
    if not tasks:
        return []
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="finished") as pool:
        return list(pool.map(lambda task: all(map(_is_whole, task.files)), tasks))


def _is_whole(file: NotedFile) -> bool:
    filesystem, root = open_filesystem(file.table)
    path = f"{root}/{file.path}"
    try:
        with storage_faults(path, "read"), filesystem.open_input_stream(path) as stream:
            found = checksum_of(stream)
    except StorageError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return False
        raise
    return found == (file.checksum, file.size)
