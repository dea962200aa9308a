"""Arguments with which a check could not fail, or that mean nothing, are refused at load."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from batchinfer.checks.known_expectations import expectation_names, refused_because
from batchinfer.checks.suites import load_suite
from batchinfer.errors import ConfigError

REFERENCE = {"values": ["a", "b"], "weights": [0.4, 0.6]}


def problems_of(folder: Path, name: str, arguments: dict[str, Any]) -> tuple[str, ...]:
    path = folder / "suite.yaml"
    path.write_text(f"- expect_{name}: {json.dumps(arguments)}\n".replace("NaN", ".nan"))
    try:
        load_suite(path)
    except ConfigError as error:
        return error.problems
    return ()


NEVER_FAIL = [
    ("column_values_to_not_be_null", {"mostly": 0}, "mostly: got 0"),
    ("column_values_to_not_be_in_set", {"value_set": []}, "value_set: got []"),
    ("column_values_to_be_in_set", {"value_set": [1, None]}, "a null in the list would let every"),
    ("column_values_to_be_in_set", {"value_set": [float("nan")]}, "null and NaN equal nothing"),
    ("column_distinct_values_to_contain_set", {"value_set": []}, "value_set: got []"),
    ("column_values_to_not_match_regex_list", {"regex_list": []}, "regex_list: got []"),
    (
        "column_values_to_match_regex_list",
        {"regex_list": ["^a$", ".*"]},
        "some text does not match",
    ),
    ("column_values_to_match_regex", {}, "regex must be given"),
    *(
        ("column_values_to_match_regex", {"regex": regex}, words)
        for regex, words in {
            r"^(?P<a>x)": "the syntax of Java, in which a group's name is written (?<name>",
            r"^(a)?(?(1)b|c)": "the syntax of Java, which has no (?(1)",
            "[": "a regular expression (unterminated character set at position 0)",
            "(a": "missing ), unterminated subpattern",
            "a)": "unbalanced parenthesis",
            "*a": "nothing to repeat",
            "a\\": "bad escape (end of pattern)",
        }.items()
    ),
    ("column_values_to_match_regex_list", {"regex_list": ["^a", "["]}, "unterminated"),
    ("column_values_to_match_regex", {"regex": "a*"}, "some text does not match"),
    ("column_values_to_match_regex", {"regex": "^"}, "some text does not match"),
    ("column_values_to_match_regex", {"regex": "(?s)^.*$"}, "some text does not match"),
    ("column_values_to_be_in_type_list", {"type_list": None}, "type_list must be given"),
    ("column_values_to_be_between", {"min_value": "nan"}, "a number without quotes"),
    ("column_values_to_be_between", {"min_value": 2**53 + 1}, "that a double holds exactly"),
    ("column_values_to_be_between", {"min_value": {"$PARAMETER": "low"}}, "no parameters"),
    ("column_values_to_be_between", {"min_value": True}, "a finite number or a date"),
    (
        "column_values_to_be_between",
        {"max_value": 1, "strict_min": True},
        "strict_min stands without min_value",
    ),
    (
        "column_values_to_be_between",
        {"max_value": 1, "condition_parser": "spark"},
        "condition_parser stands without row_condition",
    ),
    (
        "column_values_to_be_between",
        {"max_value": 1, "row_condition": "a > 1", "condition_parser": "pandas"},
        "condition_parser: got 'pandas'",
    ),
    ("column_stdev_to_be_between", {"min_value": 0}, "always from 0 on"),
    ("column_value_lengths_to_be_between", {"min_value": 0}, "always from 0 on"),
    ("column_value_lengths_to_be_between", {"max_value": 1.5}, "a whole number from 0 on"),
    ("column_unique_value_count_to_be_between", {"min_value": 0}, "always from 0 on"),
    (
        "column_proportion_of_unique_values_to_be_between",
        {"min_value": 0, "max_value": 1},
        "always from 0 to 1",
    ),
    ("column_proportion_of_non_null_values_to_be_between", {"max_value": 2}, "a share from 0 to 1"),
    (
        "column_value_z_scores_to_be_less_than",
        {"threshold": float("nan"), "double_sided": True},
        "a finite number",
    ),
    ("column_type_to_be", {"type_": "double"}, "names of Spark's types: ArrayType"),
    ("column_values_to_be_in_type_list", {"type_list": ["LongType", "INT"]}, "names of Spark's"),
    ("column_values_to_match_json_schema", {"json_schema": {}}, "expect_column_values_to_be_json"),
    ("column_values_to_match_json_schema", {"json_schema": {"type": "x"}}, "a JSON schema ("),
    ("column_kl_divergence_to_be_less_than", {"partition_object": REFERENCE}, "threshold must be"),
    ("column_kl_divergence_to_be_less_than", {"threshold": 0.1}, "partition_object must be given"),
    (
        "column_kl_divergence_to_be_less_than",
        {"partition_object": REFERENCE, "threshold": 0.1, "max_value": 0.1},
        "unknown argument 'max_value'",
    ),
    (
        "column_kl_divergence_to_be_less_than",
        {"partition_object": {"values": ["a"], "weights": [0.5]}, "threshold": 0.1},
        "weights add up to 0.5; allowed: 1",
    ),
    (
        "column_kl_divergence_to_be_less_than",
        {"partition_object": {"bins": [2, 1], "weights": [1]}, "threshold": 0.1},
        "one edge more than weights, rising",
    ),
    (
        "column_kl_divergence_to_be_less_than",
        {"partition_object": {"values": ["a", "b"], "weights": [1]}, "threshold": 0.1},
        "as many values as weights",
    ),
]
QUANTILES = [
    ({"quantiles": [], "value_ranges": []}, "as many ranges as quantiles"),
    ({"quantiles": [0.5], "value_ranges": []}, "as many ranges as quantiles"),
    ({"quantiles": [0.5], "value_ranges": [[None, None]]}, "could not fail"),
    ({"quantiles": [0.5], "value_ranges": [[2, 1]]}, "the lower number first"),
    ({"quantiles": [5], "value_ranges": [[1, 2]]}, "shares from 0 to 1, rising"),
    ({"quantiles": [0.5, 0.1], "value_ranges": [[1, 2], [1, 2]]}, "shares from 0 to 1, rising"),
    ({"quantiles": [0.5], "value_ranges": [[1]]}, "two numbers, or one and null"),
]


@pytest.mark.parametrize(("name", "arguments", "part"), NEVER_FAIL)
def test_what_could_not_fail_is_refused(
    tmp_path: Path, name: str, arguments: dict[str, Any], part: str
) -> None:
    problems = problems_of(tmp_path, name, {"column": "a", **arguments})
    assert len(problems) == 1
    assert part in problems[0]


@pytest.mark.parametrize(("ranges", "part"), QUANTILES)
def test_quantiles_need_a_range_each(tmp_path: Path, ranges: dict[str, Any], part: str) -> None:
    name = "column_quantile_values_to_be_between"
    (problem,) = problems_of(tmp_path, name, {"column": "a", "quantile_ranges": ranges})
    assert part in problem


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("column_pair_values_to_be_equal", {"column_A": "a", "column_B": "a"}),
        ("multicolumn_values_to_be_equal", {"column_list": ["a", "b", "a"]}),
        ("table_columns_to_match_set", {"column_set": [], "exact_match": False}),
        ("table_columns_to_match_ordered_list", {}),
        ("table_row_count_to_be_between", {"min_value": 0}),
        ("table_row_count_to_equal", {"value": 1.5}),
        (
            "column_pair_values_to_be_in_set",
            {"column_A": "a", "column_B": "b", "value_pairs_set": []},
        ),
    ],
)
def test_the_same_of_several_columns_and_of_tables(
    tmp_path: Path, name: str, arguments: dict[str, Any]
) -> None:
    assert len(problems_of(tmp_path, name, arguments)) == 1


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("column_stdev_to_be_between", {"min_value": 0, "strict_min": True}),
        ("column_values_to_match_regex", {"regex": "^[^#]*$"}),
        ("column_values_to_match_regex", {"regex": "^.*$"}),
        ("column_values_to_match_regex", {"regex": "(?!a)b?"}),
        ("column_values_to_match_regex", {"regex": "a++"}),
        *(
            ("column_values_to_match_regex", {"regex": regex})
            for regex in (
                *(r"^(?<a>x)\k<a>", r"^\(?P<", r"\p{Lu}", r"\x{1F600}", r"\Q([\E", "[a-z&&[^b]]"),
                *("(?>ab)", "(?<!a)b", r"^x\\$", r"\h+x\R", "(?U)a", "[]a]", "^*a"),
            )
        ),
        ("column_values_to_be_between", {"min_value": "2026-11-21"}),
        ("column_values_to_be_between", {"min_value": 2**60}),
        (
            "column_kl_divergence_to_be_less_than",
            {"partition_object": REFERENCE, "threshold": 0.1, "tail_weight_holdout": 0.01},
        ),
        (
            "column_kl_divergence_to_be_less_than",
            {
                "partition_object": {
                    "bins": [0, 1, 2],
                    "weights": [0.5, 0.3],
                    "tail_weights": [0.1, 0.1],
                },
                "threshold": 1,
            },
        ),
        (
            "column_quantile_values_to_be_between",
            {"quantile_ranges": {"quantiles": [0, 1], "value_ranges": [[0, None], [None, 9]]}},
        ),
    ],
)
def test_what_can_fail_is_taken(tmp_path: Path, name: str, arguments: dict[str, Any]) -> None:
    assert problems_of(tmp_path, name, {"column": "a", **arguments}) == ()


def test_what_spark_cannot_compute_is_refused_with_what_to_use(tmp_path: Path) -> None:
    (problem,) = problems_of(
        tmp_path, "column_values_to_match_like_pattern", {"column": "a", "like_pattern": "A%"}
    )
    assert problem.endswith(
        ":1:3: expect_column_values_to_match_like_pattern cannot be used: Great Expectations "
        "cannot compute it on Spark; allowed: expect_column_values_to_match_regex"
    )
    (problem,) = problems_of(tmp_path, "column_values_to_be_increasing", {"column": "a"})
    assert "the rows of a slice have no order on Spark" in problem


def test_what_is_refused_and_what_is_used_instead_is_of_the_library() -> None:
    names = expectation_names()
    refused = {name: reason for name in names if (reason := refused_because(name))}
    assert len(refused) == 11
    for reason in refused.values():
        _, _, instead = reason.partition("allowed: expect_")
        offered = {f"expect_{instead.split(',')[0]}"} if instead else set()
        assert offered <= names - refused.keys()
