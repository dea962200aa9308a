"""Rows of a Delta source that belong to no slice: the slice column is null, or cannot name one.
They go to the quarantine.

All of them are put there together, in place of those that were there before: a row that was
corrected leaves it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyarrow import compute

from batchinfer.config.shapes.source_columns import SliceColumn
from batchinfer.config.types import spark_name
from batchinfer.contracts import BadRecord, DataFile, StagedFile
from batchinfer.json_values import from_json, to_json
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.slices.delta_changes import file_slices
from batchinfer.pipeline.slices.delta_opened import Opened
from batchinfer.pipeline.slices.reading import SliceSplit, count_batches, read_rows, slice_names
from batchinfer.pipeline.slices.table_facts import table_facts

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from batchinfer.spark.session import OpenSession

# pyarrow makes these functions when it is imported; type checkers cannot see them.
pc: Any = compute

NULL_SLICE = "null_slice"
SLICE_NAME = "slice_name"
_MESSAGES = {
    NULL_SLICE: "the slice column is null; allowed: a value that names the row's slice",
    SLICE_NAME: "the slice column's value cannot name a slice; allowed: text without path syntax "
    "or control characters",
}


def stage_unsliced(
    context: Context, opened: Opened, rule: SliceColumn, open_session: OpenSession
) -> tuple[list[StagedFile], Counter[str]]:
    """Stages the rows that belong to no slice; the files, and how many rows for each reason.

    Runs on: driver; reading and writing on executors.
    """
    from batchinfer.inference.road_choice import obstacles
    from batchinfer.inference.splits import split_files
    from batchinfer.spark.capacity import workers
    from batchinfer.spark.tasks import Work, run_tasks

    told = Unsliced(
        rule,
        tuple(opened.fields),
        tuple(context.pipeline.source.key),
        opened.place,
        context.name,
        context.run_id,
        context.quarantine,
    )
    facts = table_facts(opened.place, opened.version, opened.files)
    spark = open_session()
    if not obstacles(facts):
        types = {name: spark_name(type_) for name, type_ in opened.fields.items()}
        splits = split_files(opened.place, _candidates(opened, rule), workers(spark))
        tasks = [
            UnslicedOf(SliceSplit(split, types=types, char=opened.rules.char), told)
            for split in splits
        ]
        found = run_tasks(
            spark,
            Work(quarantine_unsliced, UnslicedOf, UnslicedRows),
            tasks,
            f"quarantining rows without a slice of {opened.place}",
        )
        results = [result for each in found for result in each]
    else:
        results = _through_spark(spark, opened, told)
    reasons: Counter[str] = Counter()
    for result in results:
        reasons.update(result.reasons)
    return [file for result in results for file in result.quarantine], reasons


@dataclass(frozen=True)
class Unsliced:
    """What all tasks that look for rows without a slice share; travels as JSON.

    Attributes:
        columns: of the table, which the records show.
        place: of the table.
        quarantine: URI of the quarantine table.
    """

    rule: SliceColumn
    columns: tuple[str, ...]
    key: tuple[str, ...]
    place: str
    pipeline: str
    run_id: str
    quarantine: str


@dataclass(frozen=True)
class UnslicedOf:
    """A split whose rows without a slice are quarantined."""

    split: SliceSplit
    told: Unsliced


@dataclass(frozen=True)
class UnslicedRows:
    """Files of records that one task staged, and how many rows for each reason."""

    quarantine: tuple[StagedFile, ...]
    reasons: Mapping[str, int]


def _candidates(opened: Opened, rule: SliceColumn) -> Sequence[DataFile]:
    if rule.column not in opened.partition_columns:
        return opened.files
    names = file_slices(opened, rule, opened.files)
    return [file for file, name in zip(opened.files, names, strict=True) if name is None]


def _through_spark(spark: SparkSession, opened: Opened, told: Unsliced) -> list[UnslicedRows]:
    from batchinfer.pipeline.slices.slice_frames import table_frame
    from batchinfer.spark.tasks import run_batches

    frame = table_frame(spark, opened.place, opened.version, opened.rules)
    description = f"quarantining rows without a slice of {opened.place}"
    tasks = frame.rdd.getNumPartitions()
    return run_batches(frame, _QuarantineUnsliced(told), UnslicedRows, description, tasks)


class _QuarantineUnsliced:
    """The function of `mapInArrow` that quarantines rows without a slice; one row of JSON a
    task.
    """

    def __init__(self, told: Unsliced) -> None:
        self.told = to_json(told)

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from batchinfer.spark.tasks import guarded

        told = from_json(Unsliced, self.told)
        yield pa.RecordBatch.from_pydict(
            {"result": [guarded(lambda: write_unsliced(told, batches))]}
        )


def commit_unsliced(
    context: Context, opened: Opened, staged: Sequence[StagedFile], published: bool
) -> None:
    """Puts the rows in place of those that were quarantined before.

    Runs on: driver.
    """
    from batchinfer.lake.quarantine import commit_extract_quarantine

    commit_extract_quarantine(
        context.quarantine,
        staged,
        scope=f"{context.name}|{opened.id}|{context.pipeline.source.slice}",
        slice=None,
        published=published,
        # The same version quarantined twice is quarantined once.
        files={opened.place: opened.version},
        replaced=[opened.place],
    )


def quarantine_unsliced(task: UnslicedOf) -> Iterator[UnslicedRows]:
    """Stages the rows of a split that belong to no slice, as quarantined records.

    Runs on: executor.
    """
    rule = task.told.rule
    # Few splits have such rows: all columns are read only of those.
    if count_batches(read_rows(task.split, [rule.column]), rule)[None]:
        yield write_unsliced(task.told, read_rows(task.split, task.told.columns))


def write_unsliced(told: Unsliced, batches: Iterable[pa.RecordBatch]) -> UnslicedRows:
    """Stages those rows of the batches that belong to no slice.

    Runs on: executor.
    """
    from batchinfer.lake.quarantine import write_quarantine

    reasons: Counter[str] = Counter()

    def records() -> Iterator[BadRecord]:
        for record in _unsliced(batches, told.rule, told.place, told.key):
            reasons[record.reason] += 1
            yield record

    staged = write_quarantine(
        told.quarantine, records(), pipeline=told.pipeline, stage="extract",
        run_id=told.run_id, published=True, slice=None,
    )  # fmt: skip
    return UnslicedRows(tuple(staged), reasons)


def _unsliced(
    batches: Iterable[pa.RecordBatch], rule: SliceColumn, place: str, key: Sequence[str]
) -> Iterator[BadRecord]:
    from batchinfer.inference.failed_rows import row_json

    for batch in batches:
        for row in batch.filter(pc.is_null(slice_names(batch, rule))).to_pylist():
            reason = NULL_SLICE if row[rule.column] is None else SLICE_NAME
            yield BadRecord(
                source_file=place,
                source_line=None,
                raw=row_json(row).encode(),
                reason=reason,
                message=f"{rule.column}: {_MESSAGES[reason]}",
                key=row_json({name: row[name] for name in key if name in row}),
            )
