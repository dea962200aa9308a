"""Which suites pandas may judge, by the types of columns and by what they hold; and why Spark
judges the others.
"""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import pyarrow as pa
import pytest

from batchinfer.checks.pandas_verdicts import (
    Kind,
    columns_judged,
    kinds_of_types,
    kinds_of_values,
    why_spark,
)
from batchinfer.checks.suites import Expectation, Suite, load_suite

KINDS: dict[str, Kind | None] = {
    "n": "whole",
    "x": "real",
    "word": "text",
    "day": "date",
    "yes": "truth",
    "time": None,
}


@pytest.fixture
def suite_of(tmp_path: Any) -> Any:
    def make(*lines: str) -> Suite:
        path = tmp_path / "suite.yaml"
        path.write_text("\n".join(f"- expect_{line}" for line in lines))
        return load_suite(path)

    return make


def test_what_both_engines_say_alike_needs_no_spark(suite_of: Any) -> None:
    suite = suite_of(
        "column_values_to_be_between: {column: x, min_value: 0, max_value: 1.5}",
        "column_values_to_not_be_null: {column: day}",
        "column_values_to_be_in_set: {column: word, value_set: [a, b]}",
        "column_values_to_be_in_set: {column: day, value_set: [2026-11-30]}",
        "column_unique_value_count_to_be_between: {column: word, min_value: 2}",
        "table_row_count_to_be_between: {min_value: 1}",
    )
    assert why_spark(suite, KINDS) == ""


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("column_values_to_match_regex: {column: word, regex: ^a}", "is judged by Spark"),
        (
            "column_values_to_not_be_null: {column: x, row_condition: n > 1, condition_parser: "
            "spark}",
            "has a row_condition, which is Spark's SQL",
        ),
        (
            "column_values_to_not_be_null: {column: time}",
            "is judged by Spark for the type of column time",
        ),
        (
            "column_values_to_not_be_null: {column: a.b}",
            "is judged by Spark for the type of column a.b",
        ),
        (
            "column_mean_to_be_between: {column: word, min_value: 1}",
            "is judged by Spark where column word holds text",
        ),
        (
            "column_values_to_be_in_set: {column: n, value_set: ['1']}",
            "compares column n with values of another type",
        ),
        (
            "column_values_to_be_in_set: {column: n, value_set: [true]}",
            "compares column n with values of another type",
        ),
        (
            "column_pair_values_to_be_in_set: {column_A: n, column_B: word, value_pairs_set: "
            "[[1, a]]}",
            "compares column n with values of another type",
        ),
        (
            "column_pair_values_to_be_equal: {column_A: n, column_B: x, ignore_row_if: neither}",
            "is judged by Spark with ignore_row_if",
        ),
    ],
)
def test_the_first_that_spark_has_to_judge_is_named_with_its_reason(
    suite_of: Any, line: str, why: str
) -> None:
    suite = suite_of("column_values_to_not_be_null: {column: n}", line)
    name = "expect_" + line.partition(":")[0]
    assert why_spark(suite, KINDS) == f"{name} at {suite.path}:2:3 {why}"


def test_kinds_follow_from_types_and_from_values() -> None:
    rows = pa.table(
        {
            "whole": pa.array([1, None, -(2**31)]),
            "large": pa.array([1, None, 2**31 + 1]),
            "real": pa.array([1.5, None, math.nan], pa.float32()),
            "infinite": pa.array([1.5, None, -math.inf]),
            "text": pa.array(["a", None, ""], pa.large_string()),
            "date": pa.array([dt.date(2026, 11, 30), None, None]),
            "truth": pa.array([True, None, False]),
            "nulls": pa.array([None, None, None], pa.int16()),
            "time": pa.array([0, 1, 2], pa.timestamp("us")),
            "list": pa.array([[1], [], None]),
            "unsigned": pa.array([1, 2, 3], pa.uint64()),
        }
    )
    by_type = kinds_of_types(dict(zip(rows.schema.names, rows.schema.types, strict=True)))
    assert by_type == dict.fromkeys(["whole", "large", "nulls"], "whole") | dict.fromkeys(
        ["real", "infinite"], "real"
    ) | {name: name for name in ("text", "date", "truth")} | dict.fromkeys(
        ["time", "list", "unsigned"]
    )
    assert kinds_of_values(rows) == {
        name: None if name in ("time", "list", "unsigned") else name for name in rows.column_names
    } | {"nulls": "whole"}
    assert kinds_of_values(rows.slice(0, 0))["large"] == "whole", "where no row is, none is large"


def test_a_suite_needs_the_columns_that_it_reads_or_all(suite_of: Any) -> None:
    names = ["n", "word", "x"]
    values = suite_of(
        "column_values_to_not_be_null: {column: x}",
        "column_pair_values_to_be_equal: {column_A: x, column_B: n}",
    )
    assert columns_judged(values, names) == ["n", "x"]
    table = Expectation("expect_table_row_count_to_equal", {"value": 1}, "s.yaml:1:3")
    both = Suite(values.path, (*values.expectations, table))
    assert columns_judged(both, names) == names
