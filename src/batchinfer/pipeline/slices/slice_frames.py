"""The rows of a slice as a Spark DataFrame: for checks over whole slices, and for tables that
workers cannot read themselves.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from batchinfer.config.shapes.source_columns import SliceColumn
from batchinfer.contracts import SLICE, DataFile
from batchinfer.errors import InputError
from batchinfer.lake.changes import last_versions
from batchinfer.lake.snapshots import open_table, table_files
from batchinfer.pipeline.definition.slice_names import next_moment
from batchinfer.pipeline.slices.slice_data import ReadingRules, SliceData
from batchinfer.schedule import UNIT_FORMATS
from batchinfer.spark.frames import quoted_name, version_frame

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

_FILE_NAME = "_metadata.file_name"


def slice_frame(spark: SparkSession, data: SliceData) -> DataFrame:
    """The rows of a slice, at the version that is read, with all columns of the table.

    Runs on: driver.

    Raises:
        InputError: files that came, which no version that the log tells of has.
    """
    from pyspark.sql import functions as F

    if data.fields is None:
        rows = version_frame(spark, data.table, data.version, [data.slice])
        return rows.where(F.col(SLICE) == data.slice)
    if data.only_files:
        return came_frame(spark, data)
    rows = table_frame(spark, data.table, data.version, data.rules, data.files)
    if data.rule is not None:
        return rows.where(slice_condition(data.rule, data.slice, data.fields[data.rule.column]))
    return rows


def came_frame(spark: SparkSession, data: SliceData, file_name: str | None = None) -> DataFrame:
    """The rows of the files that came, each at a version that has it: OPTIMIZE, or a later change,
    took it out of those after.

    Args:
        file_name: of a column to add, with the name of each row's file.

    Runs on: driver.

    Raises:
        InputError: no version that the log tells of has a file.
    """
    from pyspark.sql import functions as F

    live = {file.path for file in table_files(open_table(data.table, data.version))}
    gone = [file.path for file in data.files if file.path not in live]
    had = last_versions(data.table, gone, data.version)
    if lost := [path for path in gone if path not in had]:
        raise InputError(
            f"{data.table}: {lost[0]}, which slice {data.slice} holds, is in no version that its "
            "log still tells of; allowed: a log that is kept for longer than slices are read "
            "(delta.logRetentionDuration)"
        )
    read_at: dict[int, list[DataFile]] = {}
    for file in data.files:
        read_at.setdefault(had.get(file.path, data.version), []).append(file)
    frames = []
    for version, files in (read_at or {data.version: []}).items():
        rows = table_frame(spark, data.table, version, data.rules, files)
        names = [file.path.rpartition("/")[2] for file in files]
        rows = rows.where(F.col(_FILE_NAME).isin(names))
        # A union has no such column of its own.
        frames.append(rows.withColumn(file_name, F.col(_FILE_NAME)) if file_name else rows)
    return functools.reduce(
        lambda rows, more: rows.unionByName(more, allowMissingColumns=True), frames
    )


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
