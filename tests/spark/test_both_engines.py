"""Both engines of Great Expectations say the same of all that pandas may judge, and differ wherever
Spark has to.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast, get_args

import pytest
from spark.engine_cases import ONLY, ROWS, EngineCase, engine_cases, frame_of_rows

from batchinfer.checks.expectations import judge_rows, run_suite
from batchinfer.checks.known_expectations import expectation_names, refused_because
from batchinfer.checks.pandas_verdicts import (
    JUDGED_BY_PANDAS,
    Kind,
    kinds_of_values,
    why_spark,
)
from batchinfer.checks.rows_on_pandas import ArrowRows
from batchinfer.checks.suites import Expectation, Suite

CASES = list(engine_cases())
_SHOWN = 3
# Which examples Spark shows of these, and in which order, follows from how it shares rows out.
UNORDERED = (
    "expect_column_distinct_values_to_be_in_set",
    "expect_column_distinct_values_to_contain_set",
    "expect_column_distinct_values_to_equal_set",
    "expect_column_values_to_be_unique",
    "expect_compound_columns_to_be_unique",
)


@pytest.fixture(scope="module")
def frames(spark: Any) -> dict[str, Any]:
    return {kind: frame_of_rows(spark, kind) for kind in ROWS}


def suite_of(cases: Iterable[EngineCase]) -> Suite:
    items = [Expectation(case.name, case.arguments, "suite.yaml:1:1") for case in cases]
    return Suite(Path("suite.yaml"), tuple(items))


def alike(one: Any, other: Any) -> bool:
    """Equal, but for the last digits of sums, which the order of rows decides."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(alike(one[word], other[word]) for word in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-12)
    return type(one) is type(other) and one == other


def told(result: dict[str, Any]) -> dict[str, Any]:
    if result["expectation"] not in UNORDERED:
        return result
    message = result["message"].partition("; examples")[0].partition(": unexpected")[0]
    return result | {"message": message, "examples": len(result["examples"])}


def differing(frame: Any, table: Any, cases: list[EngineCase]) -> list[tuple[Any, Any]]:
    """Results of the two engines that are not the same."""
    suite = suite_of(cases)
    by_spark = run_suite(frame, suite, "spark").results
    by_pandas = judge_rows(ArrowRows(table), suite, "pandas").results
    pairs = zip(map(told, by_spark), map(told, by_pandas), strict=True)
    return [(one, other) for one, other in pairs if not alike(one, other)][:_SHOWN]


def may_judge(case: EngineCase, kinds: dict[str, Kind | None]) -> bool:
    return not why_spark(suite_of([case]), kinds)


@pytest.mark.parametrize("rows", ROWS)
def test_what_pandas_may_judge_spark_judges_alike(frames: dict[str, Any], rows: str) -> None:
    table = frames[rows].toArrow()
    kinds = kinds_of_values(table)
    some = [case for case in CASES if any(word in case.name for word in ONLY.get(rows, ("",)))]
    cases = [case for case in some if may_judge(case, kinds)]
    assert len(cases) > 30
    assert differing(frames[rows], table, cases) == []


def test_what_spark_has_to_judge_pandas_judges_otherwise(
    frames: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = {rows: frame.toArrow() for rows, frame in frames.items()}
    kinds = kinds_of_values(tables["nulls"])
    barred = [case for case in CASES if not may_judge(case, kinds)]
    allowed = dict(JUDGED_BY_PANDAS)
    # An entry for all kinds would let pandas judge these; the others are barred by their arguments.
    for case in barred:
        monkeypatch.setitem(cast("dict[str, Any]", JUDGED_BY_PANDAS), case.name, get_args(Kind))
    # Of an expectation that has no entry, one kind of columns is enough to keep it out.
    left: dict[tuple[str, Kind | None], list[EngineCase]] = {}
    for case in barred:
        if may_judge(case, kinds):
            kind = case.kind if case.name in allowed else None
            left.setdefault((case.name, kind), []).append(case)
    could_be_added = [
        group
        for group, cases in left.items()
        if not any(differing(frames[rows], tables[rows], cases) for rows in ROWS)
    ]
    assert could_be_added == []


def test_each_expectation_is_tried_on_each_kind() -> None:
    usable = {name for name in expectation_names() if not refused_because(name)}
    assert {case.name for case in CASES} == usable
    assert JUDGED_BY_PANDAS.keys() <= usable
