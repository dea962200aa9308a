"""Which labelled rows a model is validated on: those with the lowest key hashes, or the latest by a column.

By time, a model is judged as it will be used: on what came after all that it learned from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from batchinfer.pipeline.tasks import run_tasks

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from pyspark.sql import SparkSession


def order_numbers(column: pa.Array) -> np.ndarray:
    """(rows,) float64 in the order of the values; NaN where there is none. Times are exact to the microsecond until 2255.

    Runs on: driver | executor.
    """
    import pyarrow as pa

    kinds = pa.types
    if kinds.is_date(column.type):
        column = column.cast(pa.timestamp("us"))
    if kinds.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us", column.type.tz), safe=False).cast(pa.int64())
    return column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)


def rank_split(task: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Ranks of the column in one split, of the rows that have a target.

    Runs on: executor.
    """
    import numpy as np

    from batchinfer.pipeline.slice_rows import read_rows
    from batchinfer.transforms import Ranks

    partial = Ranks.of(np.zeros(0), task["by"])
    for batch in read_rows(task["split"], list(dict.fromkeys([task["by"], task["target"]]))):
        labelled = batch.column(task["target"]).is_valid()
        partial = Ranks.merge(partial, Ranks.of(order_numbers(batch.column(task["by"]).filter(labelled)), ""), "")
    yield {"partial": partial}


def find_last_learned(spark: SparkSession, splits: Sequence[Mapping[str, Any]], by: str, target: str, share: float) -> float:
    """The value of the column that no more than `share` of the labelled rows lie above: these are validated on.

    Runs on: driver; one pass on executors over the two columns.
    """
    from batchinfer.transforms import Ranks, quantile

    tasks = [{"split": split, "by": by, "target": target} for split in splits]
    results = run_tasks(spark, rank_split, tasks, f"finding the latest rows by {by}")
    first, *others = [result["partial"] for [result] in results]
    for partial in others:
        first = Ranks.merge(first, partial, "")
    found = quantile(first, 1 - share)
    return float("inf") if found is None else found
