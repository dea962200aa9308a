"""Files that are to be read, as an increment: the contract of their columns, their splits, and how
executors stage these.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from batchinfer.config.sources import CsvSource, Files, JsonSource, ParquetSource
from batchinfer.pipeline.definition.column_names import check_source_columns
from batchinfer.pipeline.landing.appended import check_whole_lines, last_lines
from batchinfer.pipeline.landing.increment import (
    AnyFile,
    ChangedFiles,
    Increment,
    Landing,
    NewRecords,
)
from batchinfer.pipeline.landing.landing_task import (
    LandingPlan,
    LandingResult,
    LandingTask,
    count_lines,
    land_task,
    remove_results,
)
from batchinfer.pipeline.landing.new_keys import find_json_columns
from batchinfer.pipeline.landing.slice_anew import cut_splits
from batchinfer.pipeline.slices.table_columns import table_fields
from batchinfer.sources.source_splits import SourceSplit, TextSplit, WholeFiles
from batchinfer.spark.capacity import workers
from batchinfer.spark.tasks import OpenWorkplace, Work, run_tasks

if TYPE_CHECKING:
    from batchinfer.sources.listing import SourceFile
    from batchinfer.spark.session import OpenSession


def file_increment(
    landing: Landing,
    source: Files,
    changes: ChangedFiles[AnyFile],
    files: Sequence[SourceFile],
    open_session: OpenSession,
) -> Increment:
    """The increment that changed files are.

    Args:
        files: those of `changes`, as they are on this machine.

    Runs on: driver; executors only where keys of JSON are to be added.

    Raises:
        InputError: files that break the contract of their columns, or whose last line was landed
            before it was whole.
    """
    from batchinfer.lake.delta import exists
    from batchinfer.sources.file_columns import added_columns, missing_notes, new_columns
    from batchinfer.sources.readers import plan_source_splits, read_fields
    from batchinfer.sources.rescued import with_rescued

    open_workplace = landing.workplace_opener(files, open_session)
    partly = {*changes.grown, *changes.cut}
    check_whole_lines(landing, [file for file in files if file.name in partly])
    landed, optional = (
        table_fields(landing.table) if exists(landing.table) else None,
        landing.optional,
    )
    fields = read_fields(source, files, landed, optional)
    check_source_columns(landing.context.loaded, fields)
    splits = cut_splits(plan_source_splits(files, source, fields, optional), changes.cut)
    notes = [*changes.notes]
    if isinstance(source, CsvSource | ParquetSource):
        of_columns = [split for split in splits if not isinstance(split, WholeFiles)]
        if source.columns.missing != "null":
            notes += missing_notes(of_columns)
        if source.columns.new == "add":
            fields = {**fields, **added_columns(new_columns(of_columns), fields, landed)}
    elif isinstance(source, JsonSource) and source.columns.new == "add":
        splits = aligned_splits(splits, open_workplace)
        found = find_json_columns(source, splits, fields, landed or {}, open_workplace)
        fields = found.fields
        notes += found.notes
    quarantine, grown = landing.context.quarantine, changes.grown
    records = NewRecords(
        fields=with_rescued(source, fields),
        fingerprints=changes.fingerprints,
        notes=notes,
        replaced=changes.replaced,
        retried=changes.retried,
        landed_until=last_lines(landing.table, quarantine, grown, landing.ingest_slice)
        if grown
        else {},
        sizes={} if landing.is_part else {file.name: file.size for file in changes.read},
    )

    def stage(plan: LandingPlan, open_session: OpenSession) -> Iterable[LandingResult]:
        return stage_splits(plan, landing.workplace_opener(files, open_session), splits)

    return Increment.of(records, stage)


def stage_splits(
    plan: LandingPlan, open_workplace: OpenWorkplace, splits: Sequence[SourceSplit]
) -> Iterable[LandingResult]:
    """Shares splits of files out over tasks, and stages their records; results of `land_task`.

    Runs on: driver; parsing and writing on executors, or here.

    Raises:
        InputError: a file that is damaged, or changed while it was read.
    """
    from batchinfer.sources.text.byte_ranges import group_splits

    if not splits:
        return
    workplace = open_workplace()
    splits = aligned_splits(splits, open_workplace)
    tasks = [LandingTask(plan, tuple(group)) for group in group_splits(splits, workers(workplace))]
    undo = partial(remove_results, plan)
    files = len({file.name for split in splits for file in split.files})
    work = Work(land_task, LandingTask, LandingResult)
    for results in run_tasks(workplace, work, tasks, f"extracting {files} files", undo):
        yield from results


def aligned_splits(
    splits: Sequence[SourceSplit], open_workplace: OpenWorkplace
) -> Sequence[SourceSplit]:
    """Splits of which each starts with a record whose line is known.

    Runs on: driver; lines are counted on executors, or here.
    """
    from batchinfer.sources.text.byte_ranges import align, needs_count

    text = [split for split in splits if isinstance(split, TextSplit)]
    to_count = [split for split in text if needs_count(split)]
    if not to_count:
        return splits
    counting = run_tasks(
        open_workplace(), Work(count_lines, TextSplit, TextSplit), to_count, "counting lines"
    )
    counted = [result for [result] in counting]
    return align([*(split for split in text if not needs_count(split)), *counted])
