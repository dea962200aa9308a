"""Duplicate keys: found with Spark over files, whether committed or only staged."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from batchinfer.contracts import SLICE, SOURCE_FILE
from batchinfer.errors import InputError
from batchinfer.masking.sensitive_columns import NONE_SENSITIVE, SensitiveColumns
from batchinfer.spark.frames import files_frame, quoted_name

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

SliceFile = tuple[str | None, str]
_FILE, _COMING = "__file", "__coming"


def raise_duplicates(
    spark: SparkSession,
    table: str,
    before: Sequence[SliceFile],
    coming: Sequence[SliceFile],
    key: Sequence[str],
    replaced: Sequence[str] = (),
    hint: str | None = None,
    sensitive: SensitiveColumns = NONE_SENSITIVE,
) -> None:
    """Ends with three examples if a key stands twice in one slice.

    Args:
        before: (slice, path below the table) of files that a commit refers to.
        coming: the same of files that are only staged.
        replaced: source files whose rows in `before` are about to go.
        hint: in place of that for any duplicate.
        sensitive: columns whose values no example shows.

    Runs on: driver, one Spark aggregation for all slices.

    Raises:
        InputError: with the examples.
    """
    from pyspark.sql import functions as F

    files = [
        *((slice_, path, False) for slice_, path in before),
        *((slice_, path, True) for slice_, path in coming),
    ]
    if not files:
        return
    # Names of staged files are unique. Files that the join does not find are of no slice: their
    # keys would repeat, not pass.
    named = [(path.rsplit("/", 1)[-1], slice_, is_coming) for slice_, path, is_coming in files]
    of_files = spark.createDataFrame(named, f"{_FILE} string, {SLICE} string, {_COMING} boolean")
    # One read for all files: a frame a file makes a plan that takes longer than the check.
    rows = files_frame(spark, table, [path for _, path, _ in files])
    columns = [F.col(quoted_name(name)) for name in dict.fromkeys([*key, SOURCE_FILE])]
    rows = rows.select(*columns, F.col("_metadata.file_name").alias(_FILE)).join(
        F.broadcast(of_files), _FILE, "left"
    )
    if replaced:
        gone = spark.createDataFrame(
            [(name, False) for name in replaced], f"{SOURCE_FILE} string, {_COMING} boolean"
        )
        rows = rows.join(F.broadcast(gone), [SOURCE_FILE, _COMING], "left_anti")
    raise_duplicate_keys(rows, table, key, hint, sensitive)


def raise_duplicate_keys(
    rows: DataFrame,
    table: str,
    key: Sequence[str],
    hint: str | None = None,
    sensitive: SensitiveColumns = NONE_SENSITIVE,
) -> None:
    """Ends with three examples if a key stands twice in one slice of the rows; those with a null in
    their key are let pass.

    Args:
        rows: the key columns, and the slice.
        hint: in place of that for any duplicate.
        sensitive: columns whose values no example shows.

    Runs on: driver, one Spark aggregation for all slices.

    Raises:
        InputError: with the examples.
    """
    from functools import reduce

    from pyspark.sql import functions as F

    from batchinfer.checks.repeated_keys import find_duplicate_keys

    whole = reduce(
        lambda one, other: one & other, [F.col(quoted_name(name)).isNotNull() for name in key]
    )
    found = find_duplicate_keys(rows.where(whole), key, [SLICE])
    if found:
        examples = "; ".join(
            f"slice {one['within'][SLICE]}: {json.dumps(sensitive.row(one['key']))} "
            f"{one['count']} times"
            for one in found
        )
        raise InputError(
            f"keys ({', '.join(key)}) that repeat in {table}: {examples}; allowed: one row a key "
            "in a slice",
            hint
            or "choose another source.key, remove the duplicates, or say source.unique: assumed to "
            "skip this check",
        )
