"""Expressions of `derive` are what Spark says in ANSI mode: types, values, and the rows that err.

Random expressions over nasty values, a seeded draw of them here; the same test with
`BATCHINFER_EXPRESSIONS=5000` asks about so many.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from spark.derived_values import TYPES, Expressions, nasty_rows
from spark.spark_rows import SparkAnswer, SparkRows, ansi

from batchinfer.transforms.expressions import Evaluated, ExpressionError, parse_expression

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_ASKED = int(os.environ.get("BATCHINFER_EXPRESSIONS", "240"))
_SEED = int(os.environ.get("BATCHINFER_EXPRESSIONS_SEED", "1"))
_AT_ONCE = 40
_ONLY_HERE = re.compile(r"cast of (-?[\d.e+-]+) to decimal")


def _comparable(values: pa.Array) -> list[object]:
    """Floating numbers by their bits (every NaN is one), dates and times by their number."""
    if pa.types.is_temporal(values.type):
        width = pa.int32() if pa.types.is_date32(values.type) else pa.int64()
        return values.view(width).to_pylist()
    if not pa.types.is_floating(values.type):
        return values.to_pylist()
    return [
        None if v is None else "NaN" if np.isnan(v) else (v, bool(np.signbit(v)))
        for v in values.to_pylist()
    ]


def _refused_here(told: str) -> bool:
    """Doubles whose digits depend on Spark's Java are errors here only."""
    found = _ONLY_HERE.search(told)
    return found is not None and abs(float(found[1])) >= 1e18


def _differences(text: str, ours: Evaluated, spark: SparkAnswer) -> list[str]:
    if spark.refused is not None:
        return [f"{text}: Spark refuses it: {spark.refused}"]
    assert spark.values is not None
    if ours.values.type != spark.values.type:
        return [f"{text}: {ours.values.type}, in Spark {spark.values.type}"]
    here, there = _comparable(ours.values), _comparable(spark.values)
    found: list[str] = []
    for row in range(len(here)):
        mine, theirs = ours.errors.get(row), spark.errors.get(row)
        if mine is not None and theirs is None and _refused_here(mine):
            continue
        if (mine is None) != (theirs is None) or here[row] != there[row]:
            found.append(
                f"{text}: row {row}: {here[row]!r} {mine}, in Spark {there[row]!r} {theirs}"
            )
    return found


def _drawn(count: int, seed: int) -> list[str]:
    """So many expressions that the language takes."""
    drawn: dict[str, None] = {}
    expressions = Expressions(seed)
    while len(drawn) < count:
        text = expressions.one()
        try:
            parse_expression(text).type_of(TYPES)
        except ExpressionError:
            continue
        drawn[text] = None
    return list(drawn)


def test_random_expressions_are_what_spark_says(spark: SparkSession, tmp_path: Path) -> None:
    table = nasty_rows(_SEED, 24)
    texts = _drawn(_ASKED, _SEED)
    batch = table.to_batches()[0]
    found: list[str] = []
    with ansi(spark):
        rows = SparkRows(spark, table, tmp_path)
        for start in range(0, len(texts), _AT_ONCE):
            asked = texts[start : start + _AT_ONCE]
            for text, answer in zip(asked, rows.ask(asked), strict=True):
                found += _differences(text, parse_expression(text).evaluate(batch), answer)[:2]
    assert found == []
