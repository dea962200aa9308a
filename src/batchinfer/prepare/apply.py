"""The steps, put one after the other on a Spark frame.

Owns the hidden columns of the frame and the types of made columns. Knows neither tables nor slices'
names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from batchinfer.config.types import spark_name
from batchinfer.prepare.table_step import (
    PLACED,
    REMOVED,
    SLICE_NAME,
    Surroundings,
    TableStep,
    TableStepProblem,
    named,
)

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame


def apply_steps(
    rows: DataFrame,
    steps: Sequence[TableStep],
    fields: Mapping[str, pa.DataType],
    surroundings: Surroundings,
) -> DataFrame:
    """The rows after the steps: as many, with the columns that `output_fields` says and a hidden
    reason on those removed.

    Args:
        rows: the columns of `fields` and the hidden `SLICE_NAME`.
        fields: columns and types before the steps.

    Returns:
        The columns of `fields`, those made, and the hidden ones: `REMOVED` (string, null where the
            row remains) and what
        `rows` had.

    Runs on: driver; lazily, no row is read.

    Raises:
        StepProblem: Spark refuses a step; the path is that of the pipeline file.
    """
    from pyspark.sql import functions as F

    if SLICE_NAME not in rows.columns:
        raise ValueError(f"the rows have no column {SLICE_NAME}")
    now = dict(fields)
    rows = rows.withColumn(REMOVED, F.lit(None).cast("string"))
    for step in steps:
        after = step.output_fields(now)
        if step.removes:
            rows = _without_places(rows)
        try:
            rows = step.apply(rows, surroundings)
        except TableStepProblem as found:
            path = ("prepare", step.position, step.step)
            raise TableStepProblem(
                [((*path, *at), message) for at, message in found.problems]
            ) from found
        made = {
            name: named(name).cast(spark_name(type_))
            for name, type_ in after.items()
            if name not in now
        }
        rows = rows.withColumns(made) if made else rows
        if step.changes():
            rows = _without_places(rows)
        now = after
    return _without_places(rows)


def _without_places(rows: DataFrame) -> DataFrame:
    """Without what look-back steps noted of the order: it no longer holds once rows are removed or
    values are filled in.
    """
    return rows.drop(*(name for name in rows.columns if name.startswith(PLACED)))
