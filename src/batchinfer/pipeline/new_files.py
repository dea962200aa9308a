"""Files that are new or changed since they were landed, and how executors stage them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchinfer.config.sources import Files, ParquetSource
from batchinfer.errors import ConfigError, InputError
from batchinfer.pipeline.appended import last_lines
from batchinfer.pipeline.columns import check_columns
from batchinfer.pipeline.context import join, table_fields
from batchinfer.pipeline.increments import Increment, Landing
from batchinfer.pipeline.landing import LandingPlan, count_lines, land_task
from batchinfer.pipeline.roads import workers
from batchinfer.pipeline.tasks import run_tasks

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession

    from batchinfer.sources.listing import SourceFile

    OpenSession = Callable[[], SparkSession]


def find_new_files(landing: Landing) -> Increment | None:
    """The files of a source that were never landed, or that changed since; None: there are none.

    Runs on: driver.

    Raises:
        InputError: files that are missing, or that changed and may not (`on_changed: fail`).
    """
    from batchinfer.sinks.delta import exists
    from batchinfer.sinks.ledger import landed_files
    from batchinfer.sources.readers import read_fields

    source, context = landing.source, landing.context
    assert isinstance(source, Files)
    files = _list(landing, source)
    there = exists(landing.table)
    known = landed_files(landing.table, landing.scope, [file.name for file in files]) if there else {}
    new = [file for file in files if known.get(file.name) is None]
    changed = [file for file in files if known.get(file.name) not in (None, file.fingerprint())]
    if changed and source.on_changed == "fail":
        raise InputError(
            [
                f"{file.path}: it changed after it was landed; allowed with source.on_changed: replace or append"
                for file in changed
            ],
            hint="set source.on_changed: replace to land its new content in place of the old (--set source.on_changed=replace)",
        )
    if not new and not changed:
        return None
    names = [file.name for file in changed]
    grown = names and source.on_changed == "append"
    read = [*new, *changed]
    fields = read_fields(source, read, table_fields(landing.table) if there else None, _optional(landing))
    check_columns(context, fields)
    return Increment(
        fields=fields,
        fingerprints={file.name: file.fingerprint() for file in read},
        stage=lambda plan, open_session: stage_files(plan, source, read, fields, _optional(landing), open_session),
        replaced=[] if grown else names,
        landed_until=last_lines(landing.table, context.quarantine, names, landing.ingest_slice) if grown else {},
    )


def _list(landing: Landing, source: Files) -> list[SourceFile]:
    """The files that the source names: by patterns, or by a folder of Parquet files below the lake.

    Raises:
        ConfigError: a Delta table read as plain Parquet files: its folder also holds files that are no longer in the table.
    """
    from batchinfer.sources.listing import list_files

    context = landing.context
    if not isinstance(source, ParquetSource):
        return list_files(source.path, context.root, source.roots)
    paths = [join(context.environment.lake, source.table)] if source.table is not None else source.path
    files = list_files(paths, context.root, source.roots)
    folders = {os.path.dirname(file.path) for file in files}
    for folder in {above for name in folders for above in (Path(name), *Path(name).parents)}:
        if (folder / "_delta_log").is_dir():
            raise ConfigError(f"source: {folder} is a Delta table; got kind: parquet; allowed: kind: delta")
    return files


def _optional(landing: Landing) -> str | None:
    """The target may be absent from what is scored."""
    train = landing.context.pipeline.train
    return train.target.column if train else None


def stage_files(
    plan: LandingPlan,
    source: Files,
    files: Sequence[SourceFile],
    fields: Mapping[str, pa.DataType],
    optional: str | None,
    open_session: OpenSession,
) -> Iterable[dict[str, Any]]:
    """Cuts files into splits, shares these out over tasks, and stages their records; results of `land_task`.

    Runs on: driver; parsing and writing on executors.

    Raises:
        InputError: a file that is damaged, changed while it was read, or breaks the contract of its columns.
    """
    from batchinfer.sources.readers import plan_splits
    from batchinfer.sources.splits import align, group_splits, needs_count

    splits = plan_splits(files, source, fields, optional=optional)
    if not splits:
        return
    spark = open_session()
    to_count = [split for split in splits if needs_count(split)]
    if to_count:
        counted = [result for [result] in run_tasks(spark, count_lines, to_count, "counting lines")]
        splits = align([*(split for split in splits if not needs_count(split)), *counted])
    tasks = [{"plan": asdict(plan), "splits": group} for group in group_splits(splits, workers(spark))]
    for results in run_tasks(spark, land_task, tasks, f"extracting {len(files)} files"):
        yield from results
