"""NaN, halves of pairs and other rows that no expectation can hold for; results as plain JSON."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from batchinfer.checks.expectations import run_suite
from batchinfer.checks.suites import Suite, load_suite

# A condition as text is what a YAML file can say.
pytestmark = pytest.mark.filterwarnings("ignore:.*deprecated as of GX Core:DeprecationWarning")


@pytest.fixture
def suite_of(tmp_path: Path) -> Any:
    def make(*lines: str) -> Suite:
        path = tmp_path / "suite.yaml"
        path.write_text("\n".join(f"- expect_{line}" for line in lines))
        return load_suite(path)

    return make


@pytest.fixture(scope="module")
def numbers(spark: Any) -> Any:
    """Twenty rows: one NaN, one null, one outside 0..1; half of them in region EU."""
    rows = [(n, n / 20, "EU" if n % 2 else "US", "{}") for n in range(17)]
    rows += [(17, math.nan, "US", "{"), (18, None, "EU", None), (19, 7.0, "EU", "[]")]
    schema = "n long, score double, region string, record string"
    return spark.createDataFrame(rows, schema).coalesce(1).localCheckpoint()


def test_nan_is_counted_with_what_is_outside_and_mostly_allows_for_it(numbers, suite_of) -> None:
    suite = suite_of(
        "column_values_to_be_between: {column: score, min_value: 0, max_value: 1}",
        "column_values_to_be_between: {column: score, min_value: 0}",
        "column_values_to_be_between: {column: score, min_value: 0, mostly: 0.9}",
        "column_values_to_not_be_null: {column: score}",
        "column_max_to_be_between: {column: score, min_value: 1}",
        'column_values_to_be_between: {column: score, min_value: 0, row_condition: "region = '
        "'EU'\", condition_parser: spark}",
        "column_min_to_be_between: {column: score, min_value: 0, row_condition: not isnan(score), "
        "condition_parser: spark}",
    )
    report = run_suite(numbers, suite, "nan")
    messages = [result["message"].partition("): ")[2] for result in report.results]
    assert messages == [
        "2 of 19 rows (10.53%) outside, 1 of them NaN; examples 7",
        "1 of 19 rows (5.26%) outside, all of them NaN",
        "1 of 19 rows (5.26%, allowed 10%) outside, all of them NaN",
        "2 of 20 rows (10%) null, 1 of them NaN",
        "does not hold: 1 row NaN",
        "holds for 10 rows",
        "holds: observed 0",
    ]
    assert [result["success"] for result in report.results] == [
        *(False, False, True, False, False, True, True)
    ]
    assert report.results[0]["unexpected_percent"] == pytest.approx(200 / 19)


def test_quantiles_are_plain_json(numbers, suite_of) -> None:
    """An observed value near an end of its range comes as a NumPy truth value."""
    suite = suite_of(
        "column_quantile_values_to_be_between: {column: n, quantile_ranges: {quantiles: [0.5], "
        "value_ranges: [[9.0003, 20]]}}",
        "column_quantile_values_to_be_between: {column: n, quantile_ranges: {quantiles: [0.5], "
        "value_ranges: [[10, null]]}}",
    )
    report = run_suite(numbers, suite, "quantiles")
    assert [result["success"] for result in report.results] == [True, False]
    assert report.results[1]["observed"] == {"quantiles": [0.5], "values": [9.0]}
    json.dumps(report.results, allow_nan=False)


def test_half_of_a_pair_and_a_text_that_is_no_json_fail(numbers, suite_of) -> None:
    suite = suite_of(
        "column_pair_values_a_to_be_greater_than_b: {column_A: n, column_B: score, or_equal: true}",
        "column_pair_values_a_to_be_greater_than_b: {column_A: n, column_B: score, or_equal: true, "
        "ignore_row_if: either_value_is_missing}",
        "column_values_to_match_json_schema: {column: record, json_schema: {type: object}, "
        "mostly: 0.8}",
    )
    report = run_suite(numbers, suite, "pairs")
    assert [result["message"].partition("): ")[2] for result in report.results] == [
        "2 of 20 rows (10%) not as expected, all of them NaN or without one of the values",
        "1 of 19 rows (5.26%) not as expected, all of them NaN or without one of the values",
        "2 of 19 rows (10.53%, allowed 20%) not as expected, 1 of them no JSON; examples []",
    ]


def test_a_condition_that_leaves_no_rows_or_cannot_be_computed(numbers, suite_of) -> None:
    suite = suite_of(
        "column_mean_to_be_between: {column: score, min_value: 5, row_condition: n > 100, "
        "condition_parser: spark}",
        "column_mean_to_be_between: {column: score, min_value: 0, row_condition: gone > 100, "
        "condition_parser: spark}",
        "column_mean_to_be_between: {column: n, min_value: 100}",
        "column_max_to_be_between: {column: score, min_value: 5, row_condition: n > 100, "
        "condition_parser: spark}",
    )
    report = run_suite(numbers, suite, "conditions")
    assert report.results[0]["message"].endswith("holds: no rows")
    assert report.results[2]["message"].endswith("observed 9.5")
    assert "could not be computed" in report.results[1]["message"]
    assert [result["success"] for result in report.results] == [True, False, False, True]


def test_what_ends_the_library_s_run_is_one_expectation_s_fault(numbers, suite_of) -> None:
    """A divergence of text from numeric bins raises while the suite's metrics are asked for."""
    suite = suite_of(
        "column_kl_divergence_to_be_less_than: {column: region, threshold: 1, partition_object: "
        "{bins: [0, 1, 2], weights: [0.5, 0.5]}}",
        "column_values_to_be_in_set: {column: region, value_set: [EU, US]}",
    )
    report = run_suite(numbers, suite, "raises")
    assert [result["success"] for result in report.results] == [False, True]
    assert "could not be computed" in report.results[0]["message"]
