"""Rows of a Delta source that belong to no slice: the slice column is null, or cannot name one.
They go to the quarantine.

All of them are put there together, in place of those that were there before: a row that was
corrected leaves it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyarrow import compute

from batchinfer.config.sources import SliceColumn
from batchinfer.contracts import BadRecord, StagedFile
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.slices.delta_changes import file_slices
from batchinfer.pipeline.slices.delta_opened import Opened
from batchinfer.pipeline.slices.reading import count_batches, read_rows, slice_names

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    OpenSession = Callable[[], SparkSession]

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
    from batchinfer.config.types import spark_name
    from batchinfer.inference.road_choice import TableFacts, obstacles
    from batchinfer.inference.splits import split_files
    from batchinfer.lake.snapshots import reading_facts
    from batchinfer.spark.capacity import workers
    from batchinfer.spark.tasks import run_tasks

    common = {
        "rule": rule.model_dump(),
        "columns": list(opened.fields),
        "key": list(context.pipeline.source.key),
        "place": opened.place,
        "pipeline": context.name,
        "run_id": context.run_id,
        "quarantine": context.quarantine,
    }
    facts = reading_facts(opened.place, opened.version, opened.files)
    spark = open_session()
    if not obstacles(TableFacts.of_delta(facts)):
        types = {name: spark_name(type_) for name, type_ in opened.fields.items()}
        splits = split_files(opened.place, _candidates(opened, rule), workers(spark))
        told = {"types": types, "char": dict(opened.rules.char)}
        tasks = [{**common, "split": split | told} for split in splits]
        found = run_tasks(
            spark,
            quarantine_unsliced,
            tasks,
            f"quarantining rows without a slice of {opened.place}",
        )
        results = [result for each in found for result in each]
    else:
        results = _through_spark(spark, opened, common)
    reasons: Counter[str] = Counter()
    for result in results:
        reasons.update(result["reasons"])
    return [
        StagedFile.from_json(file) for result in results for file in result["quarantine"]
    ], reasons


def _candidates(opened: Opened, rule: SliceColumn) -> Sequence[dict[str, Any]]:
    if rule.column not in opened.partition_columns:
        return opened.files
    names = file_slices(opened, rule, opened.files)
    return [file for file, name in zip(opened.files, names, strict=True) if name is None]


def _through_spark(
    spark: SparkSession, opened: Opened, common: dict[str, Any]
) -> list[dict[str, Any]]:
    import json

    from batchinfer.pipeline.slices.slice_frames import table_frame
    from batchinfer.spark.tasks import raise_errors

    frame = table_frame(spark, opened.place, opened.version, opened.rules)
    results = [
        json.loads(row["result"])
        for row in frame.mapInArrow(_QuarantineUnsliced(common), "result string").collect()
    ]
    raise_errors(results)
    return results


class _QuarantineUnsliced:
    """The function of `mapInArrow` that quarantines rows without a slice; one row of JSON a
    task.
    """

    def __init__(self, common: dict[str, Any]) -> None:
        self.common = common

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import json

        yield pa.RecordBatch.from_pydict(
            {"result": [json.dumps(write_unsliced(self.common, batches))]}
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


def quarantine_unsliced(task: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Stages the rows of a split that belong to no slice, as quarantined records.

    Runs on: executor.
    """
    rule = SliceColumn(**task["rule"])
    # Few splits have such rows: all columns are read only of those.
    if count_batches(read_rows(task["split"], [rule.column]), rule)[None]:
        yield write_unsliced(task, read_rows(task["split"], task["columns"]))


def write_unsliced(task: Mapping[str, Any], batches: Iterable[pa.RecordBatch]) -> dict[str, Any]:
    """Stages those rows of the batches that belong to no slice; `{quarantine, reasons}`.

    Runs on: executor.
    """
    from batchinfer.lake.quarantine import write_quarantine

    reasons: Counter[str] = Counter()

    def records() -> Iterator[BadRecord]:
        for record in _unsliced(batches, SliceColumn(**task["rule"]), task["place"], task["key"]):
            reasons[record.reason] += 1
            yield record

    staged = write_quarantine(
        task["quarantine"], records(), pipeline=task["pipeline"], stage="extract",
        run_id=task["run_id"], published=True, slice=None,
    )  # fmt: skip
    return {"quarantine": [file.to_json() for file in staged], "reasons": dict(reasons)}


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
