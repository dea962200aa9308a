"""The rows that records of the quarantine are of, found again by their keys.

Owns how the key of a record, which is JSON, becomes values that Spark can join by.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from batchinfer.lookups.key_values import convert_value
from batchinfer.prepare.table_step import HIDDEN, named

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

_TEXT = f"{HIDDEN}key"


def is_key(text: str | None) -> bool:
    """Whether a record's key has a value in each of its columns: without one, no row can be found
    by it.
    """
    return text is not None and None not in json.loads(text).values()


def typed_keys(texts: Sequence[str], types: Mapping[str, pa.DataType]) -> pa.Table:
    """Keys as columns of these types, by their places in the key, and their texts.

    Args:
        texts: as `inference.failed_rows` writes them.
        types: Arrow type of each key column.

    Runs on: driver.

    Raises:
        InputError: a key that is not of these columns and types.
    """
    rows = [json.loads(text) for text in texts]
    columns: dict[str, pa.Array] = {}
    for place, (name, type_) in enumerate(types.items()):
        columns[f"{_TEXT}{place}"] = pa.array([_value(row, name, type_) for row in rows], type_)
    return pa.table({**columns, _TEXT: pa.array(texts, pa.string())})


def rows_with_keys(
    rows: DataFrame, texts: Sequence[str], types: Mapping[str, pa.DataType]
) -> DataFrame:
    """The rows that have one of these keys.

    Runs on: driver; lazily, no row is read.
    """
    return rows.join(_frame(rows, texts, types), _same(types), "left_semi")


def keys_in(rows: DataFrame, texts: Sequence[str], types: Mapping[str, pa.DataType]) -> list[str]:
    """Those of the keys that a row has.

    Runs on: driver, with a Spark job.
    """
    found = _frame(rows, texts, types).join(rows, _same(types), "left_semi")
    return [row[0] for row in found.select(named(_TEXT)).collect()]


def repeated_keys(
    rows: DataFrame, texts: Sequence[str], types: Mapping[str, pa.DataType]
) -> set[str]:
    """Those of the keys that several rows have.

    Runs on: driver, with a Spark job.
    """
    found = rows.join(_frame(rows, list(dict.fromkeys(texts)), types), _same(types))
    return {row[0] for row in found.groupBy(named(_TEXT)).count().where("count > 1").collect()}


def _frame(rows: DataFrame, texts: Sequence[str], types: Mapping[str, pa.DataType]) -> DataFrame:
    spark: Any = rows.sparkSession
    return spark.createDataFrame(typed_keys(texts, types)).hint("broadcast")


def _same(types: Mapping[str, pa.DataType]) -> list[Column]:
    """True where a row and a key of `_frame` are of each other."""
    return [named(name) == named(f"{_TEXT}{place}") for place, name in enumerate(types)]


def _value(row: Mapping[str, Any], name: str, type_: pa.DataType) -> Any:
    value = row.get(name)
    if isinstance(value, str) and pa.types.is_binary(type_):
        value = base64.b64decode(value)
    if isinstance(value, str) and pa.types.is_floating(type_):
        # JSON has no word for NaN and the infinities: they are text.
        return float(value)
    return convert_value(name, value, type_)
