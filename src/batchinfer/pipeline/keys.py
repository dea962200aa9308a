"""Duplicate keys: found with Spark over files, whether committed or only staged."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from batchinfer.contracts import SLICE, SOURCE_FILE
from batchinfer.errors import InputError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

SliceFile = tuple[str | None, str]


def raise_duplicates(
    spark: SparkSession,
    table: str,
    before: Sequence[SliceFile],
    coming: Sequence[SliceFile],
    key: Sequence[str],
    replaced: Sequence[str] = (),
    hint: str | None = None,
) -> None:
    """Ends with three examples if a key stands twice in one slice.

    Args:
        before: (slice, path below the table) of files that a commit refers to.
        coming: the same of files that are only staged.
        replaced: source files whose rows in `before` are about to go.
        hint: in place of that for any duplicate.

    Runs on: driver, one Spark aggregation for all slices.

    Raises:
        InputError: with the examples.
    """
    from functools import reduce

    from pyspark.sql import functions as F

    def read(slice_: str | None, path: str) -> DataFrame:
        columns = list(dict.fromkeys([*key, SOURCE_FILE]))
        return spark.read.parquet(f"{table}/{path}").select(*columns).withColumn(SLICE, F.lit(slice_))

    frames = [read(*file).where(~F.col(SOURCE_FILE).isin(list(replaced))) for file in before]
    frames += [read(*file) for file in coming]
    if not frames:
        return
    raise_duplicate_keys(reduce(lambda one, other: one.unionByName(other), frames), table, key, hint)


def raise_duplicate_keys(rows: DataFrame, table: str, key: Sequence[str], hint: str | None = None) -> None:
    """Ends with three examples if a key stands twice in one slice of the rows; those with a null in their key are let pass.

    Args:
        rows: the key columns, and the slice.
        hint: in place of that for any duplicate.

    Runs on: driver, one Spark aggregation for all slices.

    Raises:
        InputError: with the examples.
    """
    from batchinfer.checks.keys import find_duplicate_keys

    found = find_duplicate_keys(rows.dropna(subset=list(key)), key, [SLICE])
    if found:
        examples = "; ".join(f"slice {one['within'][SLICE]}: {json.dumps(one['key'])} {one['count']} times" for one in found)
        raise InputError(
            f"keys ({', '.join(key)}) that repeat in {table}: {examples}; allowed: one row a key in a slice",
            hint or "choose another source.key, remove the duplicates, or say source.unique: assumed to skip this check",
        )
