"""What of a slice is done before a run of it begins: by runs that ended before their commit, and by
those that published files whose sources have not changed.

Owns when that is looked for, and what becomes of notes when the run ends. The lease on the slice is
held meanwhile: so whoever has left a note of it has come to an end.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field

from batchinfer.config.uris import join
from batchinfer.contracts import DataFile, StagedFile
from batchinfer.errors import BatchInferError, BudgetReached, SliceHeld, StorageError
from batchinfer.inference.covered_rows import CoveredRows
from batchinfer.lake.fences import check_fences
from batchinfer.lake.leases import running
from batchinfer.lake.orphans import remove_unnoted
from batchinfer.lake.staged_files import remove_staged
from batchinfer.lake.task_notes import read_notes
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.reuse.finished_tasks import (
    Chosen,
    FinishedTask,
    choose_finished,
    remove_finished,
)
from batchinfer.pipeline.reuse.kept_files import find_kept, keeps_files
from batchinfer.pipeline.slices.slice_data import SliceData

# What tasks have finished waits so long for the next run of its slice.
_WAITS_S = 7 * 24 * 3600.0
# Where errors of a cluster come from.
_SPARK = ("py4j.", "pyspark.")


@dataclass(frozen=True)
class DoneBefore:
    """Rows of a slice that a run does not score.

    Attributes:
        plan: digest of all that decides what becomes of a row; empty: tasks of the run leave
            nothing that others could take over.
        forced: the run was asked to score all rows.
        finished: tasks of earlier runs that it takes over.
        kept: published files that stay.
        covered: the rows that both are made from.
        notes: what the report says of it.
    """

    plan: str = ""
    forced: bool = False
    finished: Sequence[FinishedTask] = ()
    kept: Sequence[DataFile] = ()
    covered: CoveredRows = field(default_factory=CoveredRows)
    notes: Sequence[str] = ()

    @property
    def rows(self) -> int:
        """How many rows of the slice they are."""
        finished = sum(task.rows for task in self.finished)
        return finished + sum(file.known_rows for file in self.kept)


@contextlib.contextmanager
def taking_over(
    context: Context, data: SliceData, plan: str, forced: bool
) -> Generator[DoneBefore]:
    """Finds what is done of a slice; removes what nobody needs, and at the end of the block what
    its tasks have noted, unless another run may go on with it.

    Args:
        plan: digest; empty: the rows do not come in tasks that could be told from each other.
        forced: published files do not stay, and only what forced runs have done is taken over.

    Runs on: driver, which holds the lease on the slice.

    Raises:
        StorageError: storage does not answer.
    """
    table, slice_ = context.predictions, data.slice
    paths = {join(data.table, file.path) for file in data.files}
    covered = CoveredRows()
    kept: list[DataFile] = []
    if plan and keeps_files(context.pipeline.model.reuse, forced):
        kept = find_kept(table, slice_, plan, paths, covered)
    found = read_notes(table, context.name, slice_)
    chosen = choose_finished(found, plan, paths, covered, forced, data.rows_of_others)
    removed = remove_finished(chosen.left, table, [context.quarantine], chosen.tasks)
    for run in {note.run_id for note in chosen.left if not note.content}:
        # A damaged note does not tell which files it was about.
        removed += remove_unnoted(run, context.name, [table, context.quarantine])
    _remove_old(context)
    try:
        yield DoneBefore(plan, forced, chosen.tasks, kept, covered, list(_told(chosen, removed)))
    except BaseException as error:
        if not may_go_on(error) and _holds_lease():
            forget_finished(context, slice_)
        raise
    forget_finished(context, slice_)


def may_go_on(error: BaseException) -> bool:
    """Whether a run that ended so has not been judged: it was interrupted, or storage or a cluster
    failed. A later one may then go on with what its tasks have finished.
    """
    if isinstance(error, BatchInferError):
        return isinstance(error, StorageError | SliceHeld | BudgetReached)
    # An error of our own making would meet the same files again. Where the JVM has died, nobody
    # answers.
    gone = isinstance(error, KeyboardInterrupt | ConnectionError | EOFError)
    return gone or type(error).__module__.startswith(_SPARK)


def forget_finished(context: Context, slice_: str) -> None:
    """Removes all notes of a slice, and files of theirs that no commit names.

    Runs on: driver, which holds the lease on the slice.
    """
    table = context.predictions
    remove_finished(read_notes(table, context.name, slice_), table, [context.quarantine])


def remove_attempt(
    context: Context, slice_: str, files: Sequence[StagedFile], error: BaseException
) -> None:
    """Deletes the predictions that a run has staged and that will not be published; where another
    run may go on, only those that no task has noted.

    Args:
        error: that ended the run.

    Runs on: driver
    """
    table = context.predictions
    if may_go_on(error) or not _holds_lease():
        noted = {name for note in read_notes(table, context.name, slice_) for name in note.names}
        files = [file for file in files if file.path.rpartition("/")[2] not in noted]
    remove_staged(table, files)


def _holds_lease() -> bool:
    """Whether the lease is this run's still: one that was frozen for a while may have lost it to a
    run that goes on with what it has finished.
    """
    try:
        check_fences()
    except (SliceHeld, StorageError):
        return False
    return True


def _remove_old(context: Context) -> None:
    """Removes what has waited for a run of its slice for days, if nobody works on that slice."""
    table = context.predictions
    old = [
        note for note in read_notes(table, context.name) if time.time() - note.written_at > _WAITS_S
    ]
    if not old:
        return
    at_work = {lease.get("slice") for lease in running(context.environment.lake, context.name)}
    idle = [note for note in old if note.content.get("slice") not in at_work]
    remove_finished(idle, table, [context.quarantine])


def _told(chosen: Chosen, removed: int) -> Generator[str]:
    for run, rows in chosen.rows_of_runs.items():
        yield (
            f"run {run} ended before it published the slice: {rows:,} rows that its tasks had "
            "finished are taken over"
        )
    if chosen.damaged:
        yield (
            f"what {chosen.damaged:,} more tasks had finished is not taken over: files of theirs "
            "are not what was written"
        )
    if removed:
        yield (
            f"{removed:,} files that earlier runs of the slice had finished are of no use now, and "
            "are removed"
        )
