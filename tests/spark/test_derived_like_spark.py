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

_ASKED = int(os.environ.get("BATCHINFER_EXPRESSIONS", "120"))
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
    table = nasty_rows(_SEED, 16)
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


def test_the_optimizer_changes_no_value(spark: SparkSession, tmp_path: Path) -> None:
    table = nasty_rows(_SEED + 1, 16)
    batch = table.to_batches()[0]
    evaluated = {text: parse_expression(text).evaluate(batch) for text in _drawn(100, _SEED + 1)}
    right = {text: found for text, found in evaluated.items() if not found.errors}
    assert len(right) > 50
    with ansi(spark, as_written=False):
        values = SparkRows(spark, table, tmp_path).values(
            dict(enumerate(right)), {place: {} for place in range(len(right))}
        )
    answers = [SparkAnswer(None, values[place], {}) for place in range(len(right))]
    pairs = zip(right.items(), answers, strict=True)
    assert [found for (text, ours), a in pairs for found in _differences(text, ours, a)] == []


def test_the_last_bit_of_logarithms_and_powers(spark: SparkSession, tmp_path: Path) -> None:
    chance = np.random.default_rng(_SEED)
    count = 4_000
    anything = chance.integers(0, 2**63 - 1, count, dtype=np.int64).view(np.float64)
    near = 1 + chance.normal(size=count) * 10.0 ** chance.integers(-17, 1, count)
    wide = chance.normal(size=2 * count) * 10.0 ** chance.integers(-9, 4, 2 * count)
    bases, exponents = [anything, near, wide[:count]], [wide, near]
    table = pa.table({"x": np.concatenate(bases), "y": np.concatenate(exponents)})
    texts = ["ln(x)", "log10(x)", "log2(x)", "log1p(x)", "exp(x)", "pow(x, y)", "log(x, y)"]
    texts += ["pow(-x, round(y))", "sqrt(x)"]
    with ansi(spark):
        values = SparkRows(spark, table, tmp_path).values(
            dict(enumerate(texts)), {place: {} for place in range(len(texts))}
        )
    for place, text in enumerate(texts):
        ours = parse_expression(text).evaluate(table.to_batches()[0])
        assert _differences(text, ours, SparkAnswer(None, values[place], {})) == []


def test_upper_and_lower_case_of_every_letter(spark: SparkSession, tmp_path: Path) -> None:
    letters = [chr(code) for code in (*range(1, 0xD800), *range(0xE000, 0x1F000))]
    table = pa.table({"text": [f"{letter}Σ a{letter}" for letter in letters]})
    texts = {0: "upper(text)", 1: "lower(text)"}
    with ansi(spark):
        values = SparkRows(spark, table, tmp_path).values(texts, {0: {}, 1: {}})
    for place, text in texts.items():
        ours = parse_expression(text).evaluate(table.to_batches()[0])
        assert len(ours.errors) == 60
        assert all("newer than this Python's Unicode" in told for told in ours.errors.values())
        here, there = ours.values.to_pylist(), values[place].to_pylist()
        differ = [letters[row] for row in range(len(here)) if here[row] != there[row]]
        assert {letters[row] for row in ours.errors} >= set(differ)
