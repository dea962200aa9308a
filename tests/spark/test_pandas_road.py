"""What goes through pandas comes out as it went in, or the run says that it cannot."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from batchinfer.inference.child import from_ipc, to_ipc
from batchinfer.pipeline.scoring.pandas_road import packed, unpacked

MICROS = pa.timestamp("us", tz="UTC")
HARD: dict[str, tuple[pa.DataType, list[Any]]] = {
    "whole": (pa.int64(), [2**53 + 1, None, -(2**63), 0]),
    "double": (pa.float64(), [math.nan, None, -0.0, math.inf]),
    "single": (pa.float32(), [math.nan, None, 0.1, -math.inf]),
    "moment": (
        MICROS,
        [
            dt.datetime(1, 1, 1, tzinfo=dt.UTC),
            None,
            dt.datetime(9999, 12, 31, 23, 59, 59, 999999, dt.UTC),
            None,
        ],
    ),
    "local": (
        pa.timestamp("us"),
        [dt.datetime(1, 1, 1), None, dt.datetime(2024, 10, 27, 2, 30, 0, 1), None],
    ),
    "day": (pa.date32(), [dt.date(1, 1, 1), None, dt.date(9999, 12, 31), None]),
    "text": (pa.string(), ["", None, "nan", "ü"]),
    "flag": (pa.bool_(), [True, None, False, None]),
    "small": (pa.int16(), [1, None, -3, None]),
    "a.b `c`": (pa.int64(), [1, None, 2**62, None]),
    "list": (pa.list_(pa.float64()), [[1.5, 2.0], None, [], [-0.0]]),
}


def _through(spark: SparkSession, table: pa.Table) -> pa.RecordBatch:
    types = {field.name: field.type for field in table.schema}

    def work(frames: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for frame in frames:
            yield pd.DataFrame({"rows": [bytes(to_ipc(unpacked(frame, types)))]})

    frame = packed(spark.createDataFrame(table).coalesce(1), types)
    [row] = frame.mapInPandas(work, "rows binary").collect()
    return from_ipc(bytes(row["rows"]))


def _said(rows: pa.RecordBatch | pa.Table, name: str) -> list[str]:
    return [
        repr(value) for value in rows.column(name).to_pylist()
    ]  # NaN is not equal to itself, and -0.0 to 0.0


def test_every_value_comes_out_as_it_went_in(spark: SparkSession) -> None:
    many = {f"n{place}": pa.array([None, float(place), math.nan, None]) for place in range(130)}
    table = pa.table(
        {name: pa.array(values, type_) for name, (type_, values) in HARD.items()} | many
    )
    found = _through(spark, table)
    for name in table.column_names:
        assert _said(found, name) == _said(table, name), name


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        (pa.list_(pa.float64()), [1.0, math.nan]),
        (pa.list_(pa.int64()), [None, 2**60 + 1]),
        (pa.struct({"x": pa.float64()}), {"x": None}),
        (pa.map_(pa.string(), pa.float64()), [("a", math.nan)]),
    ],
)
def test_a_nested_value_that_may_have_changed_ends_the_run(
    spark: SparkSession, type_: pa.DataType, value: Any
) -> None:
    with pytest.raises(Exception, match=r"InputError.*column deep.*model\.road: auto or arrow"):
        _through(spark, pa.table({"deep": pa.array([value], type_)}))
