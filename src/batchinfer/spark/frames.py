"""Spark frames of a Delta table at one version, and of single files; names as Spark takes them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from batchinfer.config.uris import Uri
from batchinfer.object_stores import is_on_store
from batchinfer.spark.hadoop import Store

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


# Spark takes every path for a pattern.
_GLOB_SIGNS = re.compile(r"([\\*?\[\]{}])")


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


def quoted_name(name: str) -> str:
    """A column's name as Spark takes it, whatever characters it has."""
    return "`" + name.replace("`", "``") + "`"
