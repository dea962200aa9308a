"""Rows of a Delta source that belong to no slice: the slice column is null, or cannot name one.
They go to the quarantine.

All of them are put there together, in place of those that were there before: a row that was
corrected leaves it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from batchinfer.config.sources import SliceColumn
from batchinfer.contracts import StagedFile
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.slices.delta_changes import file_slices
from batchinfer.pipeline.slices.delta_opened import Opened
from batchinfer.pipeline.slices.reading import put_aside, write_aside

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    OpenSession = Callable[[], SparkSession]


def stage_unsliced(
    context: Context, opened: Opened, rule: SliceColumn, open_session: OpenSession
) -> tuple[list[StagedFile], Counter[str]]:
    """Stages the rows that belong to no slice; the files, and how many rows for each reason.

    Runs on: driver; reading and writing on executors.
    """
    from batchinfer.config.types import spark_name
    from batchinfer.lake.snapshots import reading_facts
    from batchinfer.pipeline.scoring.roads import split_files
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
    facts = reading_facts(opened.place, opened.version)
    spark = open_session()
    if facts["reachable"] and not facts["deletion_vectors"] and not facts["column_mapping"]:
        types = {name: spark_name(type_) for name, type_ in opened.fields.items()}
        splits = split_files(opened.place, _candidates(opened, rule), workers(spark))
        tasks = [{**common, "split": split | {"types": types}} for split in splits]
        found = run_tasks(
            spark, put_aside, tasks, f"putting rows without a slice aside from {opened.place}"
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

    from batchinfer.pipeline.slices.slice_frames import version_frame
    from batchinfer.spark.tasks import raise_errors

    frame = version_frame(spark, opened.place, opened.version)
    results = [
        json.loads(row["result"])
        for row in frame.mapInArrow(_PutAside(common), "result string").collect()
    ]
    raise_errors(results)
    return results


class _PutAside:
    """The function of `mapInArrow` that puts rows without a slice aside; one row of JSON a task."""

    def __init__(self, common: dict[str, Any]) -> None:
        self.common = common

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import json

        yield pa.RecordBatch.from_pydict(
            {"result": [json.dumps(write_aside(self.common, batches))]}
        )


def commit_unsliced(
    context: Context, opened: Opened, staged: Sequence[StagedFile], published: bool
) -> None:
    """Puts the rows in place of those that were put aside before.

    Runs on: driver.
    """
    from batchinfer.lake.quarantine import commit_extract_quarantine

    commit_extract_quarantine(
        context.quarantine,
        staged,
        scope=f"{context.name}|{opened.id}|{context.pipeline.source.slice}",
        slice=None,
        published=published,
        # The same version put aside twice is put aside once.
        files={opened.place: opened.version},
        replaced=[opened.place],
    )
