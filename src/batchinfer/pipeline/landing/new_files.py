"""Files that are new or changed since they were landed, and how executors stage them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from batchinfer.config.sources import CsvSource, Files, JsonSource, ParquetSource
from batchinfer.config.uris import join
from batchinfer.errors import ConfigError, InputError, listed_some
from batchinfer.lake.ledger import files_of, landed_files
from batchinfer.pipeline.definition.column_names import check_source_columns
from batchinfer.pipeline.landing.appended import check_grown, check_whole_lines, last_lines
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
from batchinfer.pipeline.landing.slice_anew import cut_splits, files_of_slice
from batchinfer.pipeline.slices.table_columns import table_fields
from batchinfer.sources.listing import list_files
from batchinfer.sources.source_splits import SourceSplit, TextSplit, WholeFiles
from batchinfer.spark.capacity import workers
from batchinfer.spark.tasks import OpenWorkplace, Work, run_tasks

if TYPE_CHECKING:
    from batchinfer.sources.listing import SourceFile
    from batchinfer.spark.session import OpenSession


def find_new_files(landing: Landing, open_session: OpenSession) -> Increment | None:
    """The files of a source that were never landed, or that changed since; None: there are none.

    Runs on: driver.

    Raises:
        InputError: files that are missing, or that changed and may not (`on_changed: fail`).
    """
    assert isinstance(landing.source, Files)
    changes = find_changes(landing, _list(landing, landing.source))
    if not changes.read:
        return None
    return file_increment(landing, landing.source, changes, changes.read, open_session)


def find_changes(landing: Landing, files: Sequence[AnyFile]) -> ChangedFiles[AnyFile]:
    """Which of the listed files are new or changed, by the ledgers of the landed table and of the
    quarantine.

    Runs on: driver.

    Raises:
        InputError: files that changed and may not (`on_changed: fail`), or that did more than grow
            (`append`).
    """
    names = [file.name for file in files]
    known = files_of(landing.known, landing.scope, names)
    quarantined = known_files(landing.context.quarantine, landing.quarantine_scope, names)
    found = {file.name: file.fingerprint() for file in files}
    changed = [file for file in files if known.get(file.name) not in (None, found[file.name])]
    if changed and landing.source.on_changed == "fail":
        raise InputError(
            listed_some([f"{file.path}: it changed after it was landed" for file in changed]),
            hint="allowed with source.on_changed: replace (the file's rows give way to its new "
            "content) or append (a file that only grew: its new lines land), such as --set "
            "source.on_changed=replace",
        )
    if changed and landing.source.on_changed == "append":
        check_grown(landing, changed, known)
    if landing.anew is not None:
        return files_of_slice(landing, files, found, known)
    anew = {file.name for file in changed}
    if landing.source.on_changed == "append":
        # An append that ended between its two commits has quarantined records behind the last line
        # landed, and lines between them would be taken for landed: such a file lands anew.
        anew = {name for name in anew if quarantined.get(name) not in (None, known[name])}
    read = [file for file in files if known.get(file.name) != found[file.name]]
    return ChangedFiles(
        read,
        replaced=sorted(anew),
        # What an interrupted run quarantined of a file that is another by now.
        retried=[
            file.name
            for file in read
            if known.get(file.name) is None and quarantined.get(file.name) is not None
        ],
        grown=[file.name for file in changed if file.name not in anew],
        fingerprints={file.name: found[file.name] for file in read},
    )


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


def _list(landing: Landing, source: Files) -> list[SourceFile]:
    """The files that the source names: by patterns, or by a folder of Parquet files below the lake.

    Raises:
        ConfigError: a Delta table read as plain Parquet files: its folder also holds files that are
            no longer in the table.
    """
    context = landing.context
    if not isinstance(source, ParquetSource):
        return list_files(source.path, context.root, source.roots)
    paths = (
        [join(context.environment.lake, source.table)] if source.table is not None else source.path
    )
    files = list_files(paths, context.root, source.roots)
    folders = {os.path.dirname(file.path) for file in files}
    for folder in {above for name in folders for above in (Path(name), *Path(name).parents)}:
        if (folder / "_delta_log").is_dir():
            raise ConfigError(
                f"source: {folder} is a Delta table; got kind: parquet; allowed: kind: delta"
            )
    return files


def known_files(uri: str, scope: str, names: Sequence[str]) -> Mapping[str, int | None]:
    """The fingerprints that a table's ledger has of source files; empty where there is no table
    yet.
    """
    from batchinfer.lake.delta import exists

    return landed_files(uri, scope, names) if exists(uri) else {}


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
