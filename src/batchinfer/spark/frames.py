"""Spark frames of a Delta table at one version, and of single files; names as Spark takes them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from batchinfer.config.types import spark_name
from batchinfer.config.uris import Uri
from batchinfer.contracts import SLICE, DataFile
from batchinfer.lake.snapshots import open_table, table_files
from batchinfer.lake.table_places import is_reachable
from batchinfer.lake.table_rows import check_table_footers
from batchinfer.object_stores import is_on_store
from batchinfer.spark.foreign_files import check_foreign
from batchinfer.spark.hadoop import Store
from batchinfer.table_format import FORMAT_PROPERTY

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable
    from pyspark.sql import DataFrame, SparkSession


# Spark takes every path for a pattern.
_GLOB_SIGNS = re.compile(r"([\\*?\[\]{}])")


def version_frame(
    spark: SparkSession,
    place: str,
    version: int,
    slices: Collection[str] | None = None,
    files: Sequence[DataFile] | None = None,
) -> DataFrame:
    """A Delta table at one version.

    Args:
        slices: of a table that is partitioned by them, those whose rows are read; None: all.
        files: of somebody else's table, those that are read; None: all.

    Raises:
        DamagedFile: footers of its files are not what was written; Spark checks those of pages.
        InputError: files of other writers that Spark reads otherwise than they were written.
    """
    _check_reach(spark, place)
    if not is_reachable(place):
        return _load(spark, place, version)
    table = open_table(place, version)
    is_ours = FORMAT_PROPERTY in table.metadata().configuration
    if is_ours or not is_on_store(place):
        # Somebody else's files have no checksum there, and each costs a request.
        _check_footers(place, table, slices)
    frame = _load(spark, place, version)
    return frame if is_ours else check_foreign(frame, place, files or table_files(table))


def bare_frame(spark: SparkSession, place: str, version: int) -> DataFrame:
    """A Delta table at one version of which the columns are wanted and no row: its files are not
    looked at.
    """
    _check_reach(spark, place)
    return _load(spark, place, version)


def _load(spark: SparkSession, place: str, version: int) -> DataFrame:
    return spark.read.format("delta").option("versionAsOf", version).load(place)


def files_frame(
    spark: SparkSession,
    table: str,
    paths: Sequence[str],
    types: Mapping[str, pa.DataType] | None = None,
) -> DataFrame:
    """The rows of some Parquet files below a table's folder, whether a commit refers to them or
    not.

    Args:
        types: of the columns that all files have; None: Spark looks into the files for them, which
            is a job.
    """
    _check_reach(spark, table)
    check_table_footers(table, paths)
    reader = spark.read
    if types is not None:
        columns = (f"{quoted_name(name)} {spark_name(type_)}" for name, type_ in types.items())
        reader = reader.schema(", ".join(columns))
    return reader.parquet(*(_GLOB_SIGNS.sub(r"\\\1", f"{table}/{path}") for path in paths))


def _check_reach(spark: SparkSession, place: str) -> None:
    """Whether Spark itself opens a bucket: workers do without Hadoop, so nothing else says that its
    package is missing.
    """
    if is_on_store(place):
        uri = Uri.parse(place)
        Store(spark, uri, "lake").reach(uri.path)


def _check_footers(place: str, table: DeltaTable, slices: Collection[str] | None) -> None:
    files = table_files(table)
    if slices is not None and SLICE in table.metadata().partition_columns:
        files = [file for file in files if file.partition[SLICE] in slices]
    check_table_footers(place, [file.path for file in files])


def quoted_name(name: str) -> str:
    """A column's name as Spark takes it, whatever characters it has."""
    return "`" + name.replace("`", "``") + "`"
