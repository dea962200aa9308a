"""The rows of a slice as a Spark DataFrame: for checks over whole slices, and for tables that
workers cannot read themselves.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING

from batchinfer.config.shapes.source_columns import SliceColumn
from batchinfer.contracts import SLICE, DataFile
from batchinfer.pipeline.definition.slice_names import next_moment
from batchinfer.pipeline.slices.slice_data import ReadingRules, SliceData
from batchinfer.schedule import UNIT_FORMATS
from batchinfer.spark.frames import quoted_name, version_frame

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession


def slice_frame(spark: SparkSession, data: SliceData) -> DataFrame:
    """The rows of a slice, at the version that is read, with all columns of the table.

    Runs on: driver.
    """
    from pyspark.sql import functions as F

    if data.fields is None:
        rows = version_frame(spark, data.table, data.version, [data.slice])
        return rows.where(F.col(SLICE) == data.slice)
    rows = table_frame(spark, data.table, data.version, data.rules, data.files)
    if data.rule is not None:
        return rows.where(slice_condition(data.rule, data.slice, data.fields[data.rule.column]))
    if data.only_files:
        return rows.where(
            F.col("_metadata.file_name").isin([file.path.rpartition("/")[2] for file in data.files])
        )
    return rows


def table_frame(
    spark: SparkSession,
    place: str,
    version: int,
    rules: ReadingRules,
    files: Sequence[DataFile] | None = None,
) -> DataFrame:
    """A table at one version, with all its columns as workers read them that do without Spark.

    Args:
        files: that the rows wanted are in; None: all.

    Runs on: driver.

    Source: Delta transaction log protocol, section "Partition Value Serialization": an empty text
    is null.
    """
    from pyspark.sql import functions as F

    rows = version_frame(spark, place, version, files=files)
    text = {name: F.col(quoted_name(name)) for name in rules.text_partitions}
    return rows.withColumns({name: F.when(column != "", column) for name, column in text.items()})


def slice_condition(rule: SliceColumn, slice_: str, type_: str) -> Column:
    """True of the rows of a slice: what `reading.slice_names` says, in a form that lets Spark
    skip partitions and files.

    Args:
        type_: Spark SQL type of the slice column.
    """
    from pyspark.sql import functions as F

    column = F.col(quoted_name(rule.column))
    if type_ not in ("date", "timestamp", "timestamp_ntz"):
        return column == F.lit(slice_).cast(type_)
    if type_ == "date" and rule.unit in (None, "day"):
        return column == F.lit(slice_).cast("date")
    start, end = _bounds(rule.unit, slice_)
    return (column >= F.lit(start).cast(type_)) & (column < F.lit(end).cast(type_))


# As Spark reads the moment after the year 9999, which Python does not know.
_AFTER_ALL = "+10000-01-01T00:00:00"


def _bounds(unit: str | None, slice_: str) -> tuple[str, str]:
    """First moment of a slice, and of the one after it; without a unit a slice is a second."""
    if unit is None:
        start = dt.datetime.fromisoformat(slice_)
        is_last = start == dt.datetime.max.replace(microsecond=0)
        end = None if is_last else start + dt.timedelta(seconds=1)
    else:
        start = dt.datetime.strptime(slice_, UNIT_FORMATS[unit])
        end = next_moment(start, unit)
    return start.isoformat(), _AFTER_ALL if end is None else end.isoformat()
