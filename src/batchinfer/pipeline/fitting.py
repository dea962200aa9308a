"""Fits the shared transforms with Spark: one pass over the landed files for each dependent stage.

Each task folds its row groups into partial statistics with the same Arrow code that fits locally; the driver merges them
in the order of the tasks, so that the same table version gives the same state.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from batchinfer.pipeline.tasks import run_tasks

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession

    from batchinfer.transforms import Step, TransformPipeline


def accumulate_split(task: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Partial statistics of one split for the steps of one pass.

    Runs on: executor.
    """
    from batchinfer.config.types import parse_ddl
    from batchinfer.pipeline.slice_rows import read_rows
    from batchinfer.transforms import accumulate_pass, parse_steps

    fields = {name: parse_ddl(type_) for name, type_ in task["fields"].items()}
    steps, _ = parse_steps(task["steps"])
    batches = read_rows(task["split"], list(fields))
    yield {"partial": accumulate_pass(steps, task["states"], task["pass"], batches, fields)}


def fit_transforms(
    spark: SparkSession,
    raw_steps: Sequence[Mapping[str, Any]],
    steps: Sequence[Step],
    fields: Mapping[str, pa.DataType],
    splits: Sequence[dict[str, Any]],
) -> TransformPipeline:
    """The fitted transforms of a pipeline.

    Args:
        raw_steps: the steps as the pipeline file has them; they travel to the executors.
        fields: Arrow types of the columns that the steps read, and no others: the rest is not read.
        splits: row groups of the training table.

    Runs on: driver.
    """
    from batchinfer.config.types import spark_name
    from batchinfer.transforms import TransformPipeline, finish_pass, fit_passes, merge_pass

    states: dict[str, Any] = {}
    named = {name: spark_name(type_) for name, type_ in fields.items()}
    passes = fit_passes(steps)
    for number, of_pass in enumerate(passes, 1):
        shared = {"steps": list(raw_steps), "fields": named, "states": states, "pass": of_pass}
        tasks = [{**shared, "split": split} for split in splits]
        results = run_tasks(spark, accumulate_split, tasks, f"fitting transforms, pass {number} of {len(passes)}")
        merged = merge_pass([result["partial"] for [result] in results])
        states = finish_pass(steps, of_pass, merged, dict(fields), states)
    return TransformPipeline(list(steps), dict(fields), states)
