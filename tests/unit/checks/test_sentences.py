"""The wording of results."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.checks.sentences import jsonable, result_sentence, shown_value
from batchinfer.checks.suites import Expectation


def between(**more: Any) -> Expectation:
    return Expectation(
        "expect_column_values_to_be_between",
        {"column": "score", "min_value": 0, "max_value": 1, **more},
        "a.yaml:1:3",
    )


def test_counts_are_of_the_rows_that_have_a_value() -> None:
    values = {
        "element_count": 10_000,
        "missing_count": 1,
        "unexpected_count": 12,
        "partial_unexpected_list": [1.7, -3, 1.7],
    }
    assert result_sentence(between(), values, False, None) == (
        "expect_column_values_to_be_between(score, 0..1): 12 of 9,999 rows (0.12%) outside; "
        "examples 1.7, -3"
    )


@pytest.mark.parametrize(
    ("unexpected", "rows", "share"),
    [
        (1, 3_000_000, "<0.01%"),
        (2_999_999, 3_000_000, ">99.99%"),
        (3, 3, "100%"),
        (1, 2, "50%"),
        (1, 3, "33.33%"),
    ],
)
def test_a_share_never_reads_as_none_or_all_when_it_is_not(
    unexpected: int, rows: int, share: str
) -> None:
    assert f"({share})" in result_sentence(
        between(), {"element_count": rows, "unexpected_count": unexpected}, False, None
    )


def test_other_outcomes() -> None:
    assert result_sentence(
        between(), {"element_count": 5, "unexpected_count": 0}, True, None
    ).endswith(": holds for 5 rows")
    assert result_sentence(between(), {"element_count": 0}, True, None).endswith(": holds: no rows")
    assert result_sentence(between(), {}, False, "no such column").endswith(
        ": could not be computed: no such column"
    )
    mean = Expectation(
        "expect_column_mean_to_be_between", {"column": "score", "min_value": 0.5}, "a.yaml:1:3"
    )
    assert (
        result_sentence(mean, {"observed_value": 0.25}, False, None)
        == "expect_column_mean_to_be_between(score, 0.5..): does not hold: observed 0.25"
    )
    assert "(0.12%, allowed 1%)" in result_sentence(
        between(mostly=0.99), {"element_count": 10_000, "unexpected_count": 12}, True, None
    )


def test_long_arguments_and_line_breaks_stay_one_short_sentence() -> None:
    item = Expectation(
        "expect_column_values_to_be_in_set",
        {"column": "label", "value_set": ["x" * 500]},
        "a.yaml:1:3",
    )
    text = result_sentence(
        item,
        {"element_count": 1, "unexpected_count": 1, "partial_unexpected_list": ["a\nb" * 100]},
        False,
        None,
    )
    assert "\n" not in text and len(text) < 250


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.dates()
    | st.decimals()
    | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES)
def test_any_value_becomes_json(value: Any) -> None:
    json.dumps(jsonable(value), allow_nan=False)
    assert "\n" not in shown_value(jsonable(value))


def test_numbers_stay_numbers() -> None:
    import numpy as np

    assert jsonable(np.float64(0.5)) == 0.5 and jsonable(np.int64(3)) == 3
    assert jsonable([math.inf, decimal.Decimal("1.5"), dt.date(2026, 11, 21)]) == [
        "inf",
        "1.5",
        "2026-11-21",
    ]


def test_numpy_times_do_not_become_numbers_and_arrays_become_lists() -> None:
    import numpy as np

    assert jsonable(np.True_) is True
    assert jsonable([np.bool_(False)]) == [False]
    assert jsonable(np.array([1.5, math.nan])) == [1.5, "nan"]
    assert jsonable(np.datetime64("2026-11-21", "ns")).startswith("2026-11-21")


def test_rows_with_nan_are_told_apart() -> None:
    values = {"element_count": 10, "unexpected_count": 3, "partial_unexpected_list": [7]}
    assert result_sentence(between(), values, False, None, (1, "NaN")).endswith(
        "3 of 10 rows (30%) outside, 1 of them NaN; examples 7"
    )
    assert result_sentence(between(), values, False, None, (3, "NaN")).endswith(
        "outside, all of them NaN; examples 7"
    )
    mean = Expectation("expect_column_mean_to_be_between", {"column": "a"}, "a.yaml:1:3")
    assert result_sentence(mean, {}, False, None, (2, "NaN")).endswith("does not hold: 2 rows NaN")


def test_what_a_set_lacks_is_told() -> None:
    item = Expectation("expect_column_distinct_values_to_equal_set", {"column": "a"}, "a.yaml:1:3")
    values = {"observed_value": None, "partial_missing_list": ["q"]}
    assert result_sentence(item, values, False, None).endswith("does not hold: missing [q]")
