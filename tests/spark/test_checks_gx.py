"""Suites run by the real Great Expectations on real frames."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from batchinfer.checks.expectations import build_suite, run_suite
from batchinfer.checks.known_expectations import (
    expectation_arguments,
    expectation_names,
    refused_because,
)
from batchinfer.checks.repeated_keys import find_duplicate_keys
from batchinfer.checks.suites import Suite, load_suite
from batchinfer.errors import ConfigError

CONF = Path(__file__).parents[2] / "conf" / "expectations"


@pytest.fixture
def suite_of(tmp_path: Path) -> Any:
    def make(*lines: str) -> Suite:
        path = tmp_path / "suite.yaml"
        path.write_text("\n".join(lines))
        return load_suite(path)

    return make


@pytest.fixture(scope="module")
def scored(spark: Any) -> Any:
    """10,000 rows: one null score, twelve outside 0..1."""
    score = "case when id = 0 then null when id <= 12 then 1.0 + id else id / 10000 end"
    return spark.range(10_000).selectExpr(
        "id", f"cast({score} as double) as score", "if(id % 3 = 0, '>50K', 'other') as label"
    )


def test_broken_expectations_tell_counts_and_examples_in_the_suites_order(
    scored, suite_of, capfd
) -> None:
    suite = suite_of(
        "- expect_column_values_to_be_in_set: {column: label, value_set: ['>50K', other]}",
        "- expect_column_values_to_be_between: {column: score, min_value: 0, max_value: 1}",
        "- expect_column_values_to_not_be_null: {column: score}",
        "- expect_column_mean_to_be_between: {column: score, min_value: 0.4, max_value: 0.6}",
    )
    report = run_suite(scored, suite, "predictions")
    assert [result["success"] for result in report.results] == [True, False, False, True]
    assert not report.success
    outside = report.results[1]
    assert outside["unexpected_count"] == 12
    assert outside["unexpected_percent"] == pytest.approx(100 * 12 / 9999)
    assert len(outside["examples"]) == 3 and all(value > 1 for value in outside["examples"])
    assert outside["message"].startswith(
        "expect_column_values_to_be_between(score, 0..1): 12 of 9,999 rows (0.12%) outside; "
        "examples "
    )
    assert (
        report.results[2]["message"]
        == "expect_column_values_to_not_be_null(score): 1 of 10,000 rows (0.01%) null"
    )
    assert report.results[3]["observed"] == pytest.approx(0.5, abs=0.05)
    assert report.failures() == [outside["message"], report.results[2]["message"]]
    json.dumps(report.results, allow_nan=False)
    assert capfd.readouterr().out == ""


def test_mostly_holds_and_still_tells_what_was_unexpected(scored, suite_of) -> None:
    suite = suite_of(
        "- expect_column_values_to_be_between: {column: score, min_value: 0, max_value: 1, mostly: "
        "0.99}"
    )
    result = run_suite(scored, suite, "mostly").results[0]
    assert result["success"]
    assert result["unexpected_count"] == 12
    assert "(0.12%, allowed 1%)" in result["message"]


def test_an_expectation_that_cannot_be_computed_has_failed(scored, suite_of) -> None:
    suite = suite_of(
        "- expect_column_values_to_not_be_null: {column: scroe}",
        "- expect_column_values_to_not_be_null: {column: label}",
        "- expect_column_mean_to_be_between: {column: label, min_value: 0}",
    )
    report = run_suite(scored, suite, "missing")
    assert [result["success"] for result in report.results] == [False, True, False]
    assert (
        "could not be computed" in report.results[0]["message"]
        and "scroe" in report.results[0]["message"]
    )
    assert "\n" not in report.results[2]["message"]


def test_a_frame_without_rows_breaks_no_expectation_about_values(scored, suite_of) -> None:
    suite = suite_of(
        "- expect_column_values_to_be_between: {column: score, min_value: 0, max_value: 1}",
        "- expect_column_mean_to_be_between: {column: score, min_value: 0, max_value: 1}",
        "- expect_column_values_to_not_be_null: {column: nowhere}",
        "- expect_table_row_count_to_be_between: {min_value: 1}",
    )
    report = run_suite(scored.where("false"), suite, "empty")
    assert [result["success"] for result in report.results] == [True, True, False, False]
    assert report.results[1]["message"].endswith("no rows")
    assert report.results[3]["observed"] == 0


def test_a_suite_of_none_holds(scored, suite_of) -> None:
    assert run_suite(scored, suite_of("[]"), "none").success


def test_values_that_the_library_refuses_are_told_with_their_place(suite_of) -> None:
    suite = suite_of(
        "- expect_column_values_to_be_in_set: {column: label, value_set: [a]}",
        "- expect_column_values_to_match_strftime_format: {column: label, strftime_format: '%Q'}",
        "- expect_column_values_to_not_be_outliers: {column: score, method: mad}",
    )
    with pytest.raises(ConfigError) as caught:
        build_suite(suite, "refused")
    assert [
        ":2:3: expect_column_values_to_match_strftime_format" in caught.value.problems[0],
        len(caught.value.problems),
    ] == [True, 2]


def test_the_catalogue_names_what_the_library_takes() -> None:
    from great_expectations.expectations.registry import get_expectation_impl

    internal = {
        "batch_id",
        "catch_exceptions",
        "id",
        "library_metadata",
        "rendered_content",
        "result_format",
        "windows",
    }
    for name in sorted(name for name in expectation_names() if refused_because(name) is None):
        fields = get_expectation_impl(name).__fields__
        allowed = set(fields) - internal
        assert expectation_arguments(name).allowed == allowed, name
        assert expectation_arguments(name).required == {
            field for field in allowed if fields[field].required
        }, name


@pytest.mark.parametrize("path", sorted(CONF.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_library_accepts_every_shipped_suite(path: Path) -> None:
    suite = load_suite(path)
    assert len(build_suite(suite, path.stem).expectations) == len(suite.expectations)


def test_shipped_prediction_suite_holds_for_good_rows_and_for_one_row_alone(spark, scored) -> None:
    good = scored.where("id > 12").selectExpr(
        "'a.csv' as source_file",
        "id as source_line",
        "score",
        "label",
        "'3' as model_version",
        "cast('x' as binary) as input_fingerprint",
    )
    suite = load_suite(CONF / "income_predictions.yaml")
    assert run_suite(good, suite, "good").failures() == []
    assert run_suite(good.limit(1), suite, "one").failures() == []
    assert (
        len(run_suite(good.withColumn("label", good.model_version), suite, "label").failures()) == 1
    )


def test_duplicate_keys_come_with_their_counts_the_most_frequent_first(spark) -> None:
    rows = [
        ("a", 1, "d1"),
        ("a", 1, "d1"),
        ("a", 1, "d2"),
        ("b", 2, "d1"),
        ("b", 2, "d1"),
        ("b", 2, "d1"),
        ("c", None, "d1"),
        ("c", None, "d1"),
    ]
    frame = spark.createDataFrame(rows, "`source.file` string, line int, slice string")
    found = find_duplicate_keys(frame, ["source.file", "line"], ["slice"])
    assert [(item["key"]["source.file"], item["count"]) for item in found] == [
        ("b", 3),
        ("a", 2),
        ("c", 2),
    ]
    assert found[0] == {
        "key": {"source.file": "b", "line": 2},
        "within": {"slice": "d1"},
        "count": 3,
    }
    assert len(find_duplicate_keys(frame, ["source.file"], [], limit=2)) == 2
    assert find_duplicate_keys(frame.dropDuplicates(), ["source.file", "line"], ["slice"]) == []
