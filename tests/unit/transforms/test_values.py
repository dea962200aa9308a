"""What each step does to chosen values: nulls, NaN, infinities, empty text, unseen categories, no
spread, no value at all.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
from transform_cases import applied, batch_of, column_batch, fitted

INF, NAN = math.inf, math.nan


@pytest.mark.parametrize(
    ("step", "column", "values", "expected"),
    [
        (
            {"trim": {"columns": "text"}},
            "text",
            [" a\t", "", None, "\u00a0b"],
            ["a", "", None, "b"],
        ),
        ({"lower": {"columns": "text"}}, "text", ["ÀB", "", None], ["àb", "", None]),
        (
            {"replace": {"columns": "text", "pattern": "^/([^/]*).*$", "with": "$1"}},
            "text",
            ["/a/b", "", None],
            ["a", "", None],
        ),
        (
            {"replace": {"columns": "text", "pattern": "(a)(b)", "with": r"\2\1"}},
            "text",
            ["ab", "b"],
            ["ba", "b"],
        ),
        (
            {"replace": {"columns": "text", "pattern": "EUR", "with": r"\$5"}},
            "text",
            ["EUR"],
            ["$5"],
        ),
        (
            {"map": {"columns": "text", "values": {"a": "x"}}},
            "text",
            ["a", "b", "", None],
            ["x", "b", "", None],
        ),
        (
            {"map": {"columns": "text", "values": {"a": "x"}, "default": "?"}},
            "text",
            ["a", "b", None],
            ["x", "?", None],
        ),
        (
            {"map": {"columns": "text", "values": {"a": 1}}},
            "text",
            ["a", "b", None],
            [1.0, None, None],
        ),
        (
            {"map": {"columns": "whole", "values": {1: "one"}}},
            "whole",
            [1, 2, None],
            ["one", None, None],
        ),
        ({"map": {"columns": "whole", "values": {"1": "one"}}}, "whole", [1], ["one"]),
        (
            {"map": {"columns": "flag", "values": {True: 2.5, False: -1}}},
            "flag",
            [True, False, None],
            [2.5, -1.0, None],
        ),
        (
            {"cast": {"columns": "text", "type": "int"}},
            "text",
            [" 7", "+8", "1.5", "9999999999", "x", ""],
            [7, 8, None, None, None, None],
        ),
        (
            {"cast": {"columns": "text", "type": "bigint"}},
            "text",
            ["9999999999", "1" * 19],
            [9_999_999_999, None],
        ),
        (
            {"cast": {"columns": "text", "type": "double"}},
            "text",
            ["-.5", "1e3", "+2.", "nan", None],
            [-0.5, 1000.0, 2.0, None, None],
        ),
        (
            {"cast": {"columns": "text", "type": "boolean"}},
            "text",
            ["TRUE", "0", "yes"],
            [True, False, None],
        ),
        (
            {"cast": {"columns": "number", "type": "int"}},
            "number",
            [1.9, -1.9, NAN, INF, 3e9],
            [1, -1, None, None, None],
        ),
        (
            {"cast": {"columns": "number", "type": "boolean"}},
            "number",
            [0.5, 0.0, NAN],
            [True, False, None],
        ),
        (
            {"cast": {"columns": "whole", "type": "string"}},
            "whole",
            [2**60 + 1, None],
            [str(2**60 + 1), None],
        ),
        ({"cast": {"columns": "flag", "type": "string"}}, "flag", [True, None], ["true", None]),
        (
            {"log1p": {"columns": "number"}},
            "number",
            [0.0, -1.0, -5.0, INF, NAN, None],
            [0.0, None, None, INF, None, None],
        ),
        (
            {"clip": {"columns": "number", "lower": 0, "upper": 2}},
            "number",
            [-INF, 1.0, INF, None],
            [0.0, 1.0, 2.0, None],
        ),
        (
            {"bucketize": {"columns": "number", "edges": [0, 1]}},
            "number",
            [-1.0, 0.0, 0.5, 1.0, INF, NAN],
            [0, 1, 1, 2, 2, None],
        ),
    ],
)
def test_values_of_steps_that_are_not_fitted(
    step: Any, column: Any, values: Any, expected: Any
) -> None:
    assert applied(step, column, values) == expected


def step(name: str, **parameters: Any) -> dict[str, Any]:
    return {name: {"columns": "number", **parameters}}


@pytest.mark.parametrize(
    ("raw", "fit_on", "values", "expected"),
    [
        # Missing and infinite values are left out of the statistics; missing stays missing,
        # infinite stays infinite.
        (
            step("standardize"),
            [1.0, 3.0, None, NAN, INF],
            [3.0, None, NAN, INF, -INF],
            [1.0, None, None, INF, -INF],
        ),
        (step("standardize"), [5.0, 5.0], [5.0, 7.0], [0.0, 2.0]),
        (step("standardize"), [None, NAN], [4.0, None], [4.0, None]),
        (step("standardize"), [], [4.0], [4.0]),
        (step("standardize"), [2.0], [4.0], [2.0]),
        (step("min_max"), [0.0, 4.0, INF], [2.0, 8.0, -INF], [0.5, 2.0, -INF]),
        (step("min_max"), [3.0], [4.0, None], [1.0, None]),
        (
            step("robust"),
            [0.0, 0.0, 1e-310],
            [1.0, -1.0],
            [INF, -INF],
        ),  # so narrow a spread that the quotient overflows
        (step("robust"), [1.0, 2.0, 3.0, 4.0, 5.0], [3.0, 5.0], [0.0, 1.0]),
        (step("robust"), [7.0, 7.0, None], [8.0], [1.0]),
        (step("robust"), [], [8.0], [8.0]),
        (
            step("clip", lower_quantile=0.25, upper_quantile=1.0),
            [0.0, 4.0, 8.0, NAN],
            [-9.0, 9.0, INF, None],
            [2.0, 8.0, 8.0, None],
        ),
        (step("clip", upper_quantile=0.5), [None], [9.0, INF], [9.0, INF]),
        (
            step("clip", lower=5, upper_quantile=0.5),
            [1.0, 2.0],
            [0.0, 9.0],
            [5.0, 5.0],
        ),  # the quantile counts as 5
        (step("impute", strategy="mean"), [1.0, 3.0, INF], [None, NAN, INF], [2.0, 2.0, INF]),
        (step("impute", strategy="mean"), [None], [None, 1.0], [0.0, 1.0]),
        (step("impute", strategy="median"), [1.0, 2.0, 9.0, 10.0], [None], [5.5]),
        (step("impute", strategy="median"), [], [None], [0.0]),
        (step("impute", strategy="most_frequent"), [2.0, 1.0, INF, INF], [None], [1.0]),
        (step("yeo_johnson"), [5.0, 5.0, None], [-3.0, None, INF], [-3.0, None, INF]),
        (step("bucketize", quantiles=[0.5]), [1.0, 2.0, 3.0], [1.9, 2.0, None], [0, 1, None]),
        (step("bucketize", quantiles=4), [], [1.9, None], [0, None]),
    ],
)
def test_values_of_fitted_numeric_steps(raw: Any, fit_on: Any, values: Any, expected: Any) -> None:
    assert applied(raw, "number", values, fit_on) == expected


def text(name: str, **parameters: Any) -> dict[str, Any]:
    return {name: {"columns": "text", **parameters}}


@pytest.mark.parametrize(
    ("raw", "fit_on", "values", "expected"),
    [
        (
            text("impute", strategy="most_frequent"),
            ["b", "a", None],
            [None, "", "zz"],
            ["a", "", "zz"],
        ),
        (text("impute", strategy="most_frequent"), [None], [None, "a"], ["missing", "a"]),
        (text("impute", strategy="constant", value=""), [], [None, "a"], ["", "a"]),
        (text("ordinal"), ["b", "", "a"], ["", "a", "b", "unseen", None], [0, 1, 2, -1, -1]),
        (text("embedding_index"), ["b", "a", None], ["a", "b", "unseen", None], [1, 2, 0, 0]),
        (
            text("frequency"),
            ["b", "a", "a", None],
            ["a", "b", "unseen", None],
            [0.5, 0.25, 0.0, 0.25],
        ),
        (text("frequency"), [], ["a", None], [0.0, 0.0]),
        # Null has a place only if it was seen at fit.
        (text("one_hot"), ["b", "a"], ["a", "b", "unseen", None], [[1, 0], [0, 1], [0, 0], [0, 0]]),
        (text("one_hot"), ["b", "a", None], ["a", None], [[1, 0, 0], [0, 0, 1]]),
        (text("one_hot"), [None], [None, "a"], [[1], [0]]),
        (text("one_hot"), [], [None, "a"], [[], []]),
        (
            text("tokenize", max_tokens=2),
            ["a b", "b", "b c"],
            ["C b x", "b", "", None, "zz a!"],
            [[4, 2], [2, 0], [0, 0], [0, 0], [1, 3]],
        ),
        (
            text("tokenize", max_tokens=1, vocabulary_size=3),
            ["b b b", "a", "a"],
            ["a", "b"],
            [[2], [1]],
        ),
        (
            text("tfidf", max_features=1),
            ["cat dog", "dog"],
            ["Dog dog", "cat", None, ""],
            [[1.0], [0.0], [0.0], [0.0]],
        ),
        (text("tfidf"), [None], ["cat"], [[]]),
        (
            text("one_hot", max_categories=1),
            ["c", "c", "b", "b", "a"],
            ["a", "b", "c"],
            [[0], [1], [0]],
        ),
        (text("one_hot", min_count=2), ["c", "c", "b", None], ["b", "c", None], [[0], [1], [0]]),
    ],
)
def test_values_of_fitted_category_steps(raw: Any, fit_on: Any, values: Any, expected: Any) -> None:
    assert applied(raw, "text", values, fit_on) == expected


def test_indicator_says_what_was_missing() -> None:
    batch = column_batch("number", [1.0, None, NAN])
    transforms = fitted([step("impute", strategy="mean", indicator=True)], batch)
    assert transforms.apply(batch)["number_missing"].to_pylist() == [0.0, 1.0, 1.0]
    assert transforms.feature_names() == ["number", "number_missing"]


def test_imputed_integers_stay_exact() -> None:
    assert (
        applied(
            {"impute": {"columns": "whole", "strategy": "most_frequent"}},
            "whole",
            [2**60 + 1, None],
        )
        == [2**60 + 1] * 2
    )


def test_missing_numbers_are_zero_in_the_matrix() -> None:
    batch = column_batch("number", [1.0, 3.0, None, NAN])
    assert fitted([step("standardize")], batch).matrix(batch)[:, 0].tolist() == [
        -1.0,
        1.0,
        0.0,
        0.0,
    ]


def test_ratio_by_zero_is_missing() -> None:
    batch = batch_of(
        [{"number": 1.0, "whole": 0}, {"number": 1.0, "whole": 4}, {"number": None, "whole": 4}]
    )
    transforms = fitted([{"ratio": {"columns": ["number", "whole"]}}], batch)
    assert transforms.apply(batch)["number_per_whole"].to_pylist() == [None, 0.25, None]
