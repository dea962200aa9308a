"""Duplicate keys: found with Spark over files, whether committed or only staged."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from batchinfer.contracts import SLICE, StagedFile
from batchinfer.errors import InputError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def raise_duplicates(spark: SparkSession, table: str, files: Sequence[StagedFile], key: Sequence[str]) -> None:
    """Ends with three examples if a key stands twice in one slice.

    Runs on: driver, one Spark aggregation for each slice.

    Raises:
        InputError: with the examples.
    """
    from batchinfer.checks.keys import find_duplicate_keys

    by_slice: dict[str | None, list[str]] = {}
    for file in files:
        by_slice.setdefault(file.partition.get(SLICE), []).append(f"{table}/{file.path}")
    for slice_, paths in sorted(by_slice.items(), key=lambda item: str(item[0])):
        frame = spark.read.parquet(*paths)
        found = find_duplicate_keys(frame, key, ())
        if found:
            examples = "; ".join(json.dumps(example, default=str) for example in found)
            raise InputError(
                f"slice {slice_}: keys ({', '.join(key)}) that repeat: {examples}; allowed: one row a key in a slice",
                hint="choose another source.key, remove the duplicates, or say source.unique: assumed to skip this check",
            )
