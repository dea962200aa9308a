"""The rows of a slice as a Spark DataFrame: for checks over whole slices, and for tables that
workers cannot read themselves.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from batchinfer.config.sources import SliceColumn
from batchinfer.config.uris import Uri
from batchinfer.contracts import SLICE
from batchinfer.errors import InputError
from batchinfer.pipeline.slices.landed import SliceData
from batchinfer.spark.hadoop import Store
from batchinfer.stores import is_on_store

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import Column, DataFrame, SparkSession

# Spark takes every path for a pattern.
_GLOB_SIGNS = re.compile(r"([\\*?\[\]{}])")
_UNITS = {"hour": "%Y-%m-%dT%H", "day": "%Y-%m-%d", "month": "%Y-%m"}


def slice_frame(spark: SparkSession, data: SliceData) -> DataFrame:
    """The rows of a slice, at the version that is read, with all columns of the table.

    Runs on: driver.
    """
    from pyspark.sql import functions as F

    rows = version_frame(spark, data.table, data.version)
    if data.fields is None:
        return rows.where(F.col(SLICE) == data.slice)
    if data.rule is not None:
        return rows.where(slice_condition(data.rule, data.slice, data.fields[data.rule.column]))
    if data.only_files:
        return rows.where(
            F.col("_metadata.file_name").isin(
                [file["path"].rpartition("/")[2] for file in data.files]
            )
        )
    return rows


def version_frame(spark: SparkSession, place: str, version: int) -> DataFrame:
    """A Delta table at one version."""
    _check_reach(spark, place)
    return spark.read.format("delta").option("versionAsOf", version).load(place)


def files_frame(spark: SparkSession, table: str, paths: Sequence[str]) -> DataFrame:
    """The rows of some Parquet files below a table's folder, whether a commit refers to them or
    not.
    """
    _check_reach(spark, table)
    return spark.read.parquet(*(_GLOB_SIGNS.sub(r"\\\1", f"{table}/{path}") for path in paths))


def _check_reach(spark: SparkSession, place: str) -> None:
    """Whether Spark itself opens a bucket: workers do without Hadoop, so nothing else says that its
    package is missing.
    """
    if is_on_store(place):
        uri = Uri.parse(place)
        Store(spark, uri, "lake").reach(uri.path)


def quoted(name: str) -> str:
    """A column's name as Spark takes it, whatever characters it has."""
    return "`" + name.replace("`", "``") + "`"


def slice_condition(rule: SliceColumn, slice_: str, type_: str) -> Column:
    """True of the rows of a slice: what `slice_rows.slice_names` says, in a form that lets Spark
    skip partitions and files.

    Args:
        type_: Spark SQL type of the slice column.
    """
    from pyspark.sql import functions as F

    column = F.col(quoted(rule.column))
    if type_ not in ("date", "timestamp", "timestamp_ntz"):
        return column == F.lit(slice_).cast(type_)
    if type_ == "date" and rule.unit in (None, "day"):
        return column == F.lit(slice_).cast("date")
    start, end = _bounds(rule.unit, slice_)
    return (column >= F.lit(start).cast(type_)) & (column < F.lit(end).cast(type_))


def _bounds(unit: str | None, slice_: str) -> tuple[str, str]:
    """First moment of a slice, and of the one after it; without a unit a slice is a second."""
    if unit is None:
        start = dt.datetime.fromisoformat(slice_)
        return start.isoformat(), (start + dt.timedelta(seconds=1)).isoformat()
    start = dt.datetime.strptime(slice_, _UNITS[unit])
    if unit == "month":
        return start.isoformat(), (start + dt.timedelta(days=32)).replace(day=1).isoformat()
    return start.isoformat(), (
        start + (dt.timedelta(hours=1) if unit == "hour" else dt.timedelta(days=1))
    ).isoformat()


def check_slice_type(place: str, rule: SliceColumn, type_: pa.DataType) -> None:
    """Whether a column of this type can cut a table that is read in place.

    Raises:
        InputError: fractions, bytes and nested values have no agreed text, so no slice could be
            found again by its name.
    """
    import pyarrow as pa

    kinds = pa.types
    time = kinds.is_date(type_) or kinds.is_timestamp(type_)
    if rule.unit is not None and not time:
        raise InputError(
            f"{place}: source.slice.unit: column {rule.column} is {type_}; allowed with a unit: a "
            "date or a timestamp"
        )
    plain = (
        kinds.is_string(type_)
        or kinds.is_integer(type_)
        or kinds.is_boolean(type_)
        or kinds.is_decimal(type_)
    )
    if not (time or plain):
        raise InputError(
            f"{place}: source.slice: column {rule.column} is {type_}; "
            "allowed: text, whole numbers, decimals, boolean, date, timestamp"
        )
