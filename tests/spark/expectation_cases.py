"""Every expectation of the installed Great Expectations, with arguments that it holds and fails
with, and the rows that it is run on. The test holds the results to what is expected here; the
table of docs/expectations.md shows them.
"""

from __future__ import annotations

import datetime as dt
import json
import math
from dataclasses import dataclass, field
from typing import Any

SCHEMA = (
    "n long, x double, y float, less double, letter string, code string, other string, day string, "
    "record string, date date, time timestamp"
)
_FIRST = dt.date(2026, 11, 1)


def _row(place: int) -> tuple[Any, ...]:
    date = _FIRST + dt.timedelta(place)
    return (
        place,
        float(place),
        float(place),
        place - 1.0,
        "aab"[place % 3],
        f"A{place}",
        f"B{place}",
        date.isoformat(),
        json.dumps({"k": place}),
        date,
        dt.datetime(2026, 11, place, 10),
    )


_GOOD = [_row(place) for place in range(1, 9)]
_OLD, _LATE = dt.date(2020, 1, 1), dt.datetime(2030, 1, 1)
# Three rows, two of them equal, that break whatever holds of the others.
_HIGH = (8, 1000.0, -5.0, 2000.0, "c", "Z99", "Z99", "never", "{", _OLD, _LATE)
_LOW = (-3, -1000.0, 5.0, 7.0, "c", "Z9x", "Z9x", "never", "[]", _OLD, _LATE)
_NAN = (9, math.nan, math.nan, math.nan, *_row(9)[4:])
_NULL = (None,) * len(_GOOD[0])

ROWS: dict[str, list[tuple[Any, ...]]] = {
    "good": _GOOD,
    "bad": [*_GOOD, _HIGH, _HIGH, _LOW],
    "nulls": [*_GOOD, _NULL, _NULL],
    "NaN": [*_GOOD, _NAN],
    "nulls alone": [_NULL, _NULL],
    "none": [],
}
"""The kinds of rows. `nulls` and `NaN` have the good rows as well."""

HOLDS, FAILS = "holds", "fails"
_USUAL = dict(zip(ROWS, (HOLDS, FAILS, HOLDS, FAILS, HOLDS, HOLDS), strict=True))


@dataclass(frozen=True)
class Case:
    """An expectation with arguments.

    Attributes:
        name: without `expect_`.
        arguments: as in a suite.
        but: what it says of rows where that is not the usual.
        note: what a reader of the table should know.
    """

    name: str
    arguments: dict[str, Any]
    but: dict[str, str] = field(default_factory=dict)
    note: str = ""

    @property
    def expected(self) -> dict[str, str]:
        """What it says of each kind of rows."""
        return _USUAL | self.but


# Of a column without a value there is no number, and a check of a number that is not there fails.
_NUMBER = {"nulls alone": FAILS}
# Columns of text and dates have no NaN.
_NO_NAN = {"NaN": HOLDS}
_TABLE = {"bad": HOLDS, "NaN": HOLDS}
_HALVES = {"values": ["a", "b"], "weights": [0.6, 0.4]}
_BINS = {"bins": [0, 3, 6, 9], "weights": [0.3, 0.3, 0.4]}

CASES = [
    Case(
        "column_distinct_values_to_be_in_set",
        {"column": "letter", "value_set": ["a", "b"]},
        _NO_NAN,
    ),
    Case(
        "column_distinct_values_to_be_in_set",
        {"column": "x", "value_set": [1, 2, 3, 4, 5, 6, 7, 8]},
    ),
    Case(
        "column_distinct_values_to_contain_set",
        {"column": "x", "value_set": [1, 2]},
        {"bad": HOLDS, **_NUMBER},
    ),
    Case(
        "column_distinct_values_to_contain_set",
        {"column": "letter", "value_set": ["c"]},
        {"good": FAILS, "bad": HOLDS, "nulls": FAILS, "NaN": FAILS, **_NUMBER},
    ),
    Case(
        "column_distinct_values_to_equal_set",
        {"column": "letter", "value_set": ["a", "b"]},
        _NO_NAN | _NUMBER,
    ),
    Case(
        "column_kl_divergence_to_be_less_than",
        {"column": "letter", "partition_object": _HALVES, "threshold": 0.1},
        _NO_NAN | _NUMBER,
        "a value outside of the distribution makes the divergence infinite, unless "
        "`tail_weight_holdout` is given",
    ),
    Case(
        "column_kl_divergence_to_be_less_than",
        {"column": "x", "partition_object": _BINS, "threshold": 0.1},
        _NUMBER,
    ),
    Case("column_max_to_be_between", {"column": "x", "min_value": 1, "max_value": 9}, _NUMBER),
    Case(
        "column_max_to_be_between",
        {"column": "date", "max_value": dt.date(2026, 12, 1)},
        {"bad": HOLDS, **_NO_NAN, **_NUMBER},
    ),
    Case("column_mean_to_be_between", {"column": "x", "min_value": 4, "max_value": 5}, _NUMBER),
    Case("column_median_to_be_between", {"column": "x", "max_value": 4.9}, _NUMBER),
    Case("column_min_to_be_between", {"column": "x", "min_value": 0}, _NUMBER),
    Case(
        "column_min_to_be_between",
        {"column": "date", "min_value": dt.date(2026, 1, 1)},
        _NO_NAN | _NUMBER,
    ),
    Case(
        "column_most_common_value_to_be_in_set",
        {"column": "letter", "value_set": ["a"]},
        {"bad": HOLDS, **_NO_NAN, **_NUMBER},
    ),
    Case(
        "column_most_common_value_to_be_in_set",
        {"column": "x", "value_set": [1, 2], "ties_okay": True},
        _NUMBER,
        "of values that are equally frequent all must be in the set, unless `ties_okay`",
    ),
    Case(
        "column_pair_values_a_to_be_greater_than_b",
        {"column_A": "x", "column_B": "less"},
        note="a row with one value of two fails, unless `ignore_row_if: either_value_is_missing`",
    ),
    Case(
        "column_pair_values_a_to_be_greater_than_b",
        {"column_A": "x", "column_B": "y", "or_equal": True},
    ),
    Case("column_pair_values_to_be_equal", {"column_A": "x", "column_B": "y"}),
    Case(
        "column_pair_values_to_be_in_set",
        {
            "column_A": "letter",
            "column_B": "n",
            "value_pairs_set": [["aab"[n % 3], n] for n in range(1, 10)],
        },
        _NO_NAN,
    ),
    Case(
        "column_proportion_of_non_null_values_to_be_between",
        {"column": "x", "min_value": 0.9},
        {"bad": HOLDS, "nulls": FAILS, **_NUMBER},
    ),
    Case(
        "column_proportion_of_unique_values_to_be_between",
        {"column": "x", "min_value": 0.95},
        _NUMBER,
        "distinct values among those that are not null",
    ),
    Case(
        "column_quantile_values_to_be_between",
        {
            "column": "x",
            "quantile_ranges": {"quantiles": [0.05, 0.5], "value_ranges": [[0, 2], [3.5, None]]},
        },
        _NUMBER,
        "numbers only; the quantile is one of the values, the lower one; an end of a range holds "
        "for what is within 0.01% of it",
    ),
    Case("column_stdev_to_be_between", {"column": "x", "max_value": 4}, _NUMBER),
    Case("column_sum_to_be_between", {"column": "x", "min_value": 30, "max_value": 40}, _NUMBER),
    Case("column_to_exist", {"column": "x", "column_index": 1}, _TABLE, "names are case-sensitive"),
    Case(
        "column_to_exist",
        {"column": "gone"},
        dict.fromkeys(ROWS, FAILS),
    ),
    Case("column_type_to_be", {"column": "x", "type_": "DoubleType"}, _TABLE),
    Case("column_type_to_be", {"column": "x", "type_": "LongType"}, dict.fromkeys(ROWS, FAILS)),
    Case(
        "column_unique_value_count_to_be_between",
        {"column": "x", "min_value": 1, "max_value": 8},
        _NUMBER,
    ),
    Case(
        "column_value_lengths_to_be_between",
        {"column": "code", "max_value": 2},
        _NO_NAN,
        "text only",
    ),
    Case(
        "column_value_lengths_to_be_between",
        {"column": "n", "max_value": 2},
        dict.fromkeys(ROWS, FAILS),
    ),
    Case("column_value_lengths_to_equal", {"column": "code", "value": 2}, _NO_NAN, "text only"),
    Case(
        "column_value_z_scores_to_be_less_than",
        {"column": "x", "threshold": 1.9, "double_sided": True},
        note="the deviation is that of a sample; of one value, or of equal ones, there is none, "
        "and the check holds",
    ),
    Case("column_values_to_be_between", {"column": "x", "min_value": 0}),
    Case("column_values_to_be_between", {"column": "y", "min_value": 0, "max_value": 8}),
    Case("column_values_to_be_between", {"column": "n", "min_value": 0}, _NO_NAN),
    Case(
        "column_values_to_be_between",
        {"column": "time", "max_value": dt.datetime(2027, 1, 1)},
        _NO_NAN,
        "numbers, dates and times; not text",
    ),
    Case("column_values_to_be_in_set", {"column": "letter", "value_set": ["a", "b"]}, _NO_NAN),
    Case("column_values_to_be_in_set", {"column": "x", "value_set": [1, 2, 3, 4, 5, 6, 7, 8]}),
    Case(
        "column_values_to_be_in_type_list",
        {"column": "x", "type_list": ["DoubleType", "FloatType"]},
        _TABLE,
    ),
    Case(
        "column_values_to_be_in_type_list",
        {"column": "x", "type_list": ["LongType"]},
        dict.fromkeys(ROWS, FAILS),
    ),
    Case(
        "column_values_to_be_json_parseable",
        {"column": "record"},
        _NO_NAN,
        "as Python's json reads it, so a bare NaN is JSON",
    ),
    Case(
        "column_values_to_be_null",
        {"column": "x"},
        {"good": FAILS, "nulls": FAILS},
        "NaN is no null",
    ),
    Case("column_values_to_be_of_type", {"column": "x", "type_": "DoubleType"}, _TABLE),
    Case(
        "column_values_to_be_of_type",
        {"column": "x", "type_": "FloatType"},
        dict.fromkeys(ROWS, FAILS),
    ),
    Case("column_values_to_be_unique", {"column": "x"}),
    Case("column_values_to_be_unique", {"column": "code"}, _NO_NAN, "nulls repeat nothing"),
    Case(
        "column_values_to_match_json_schema",
        {"column": "record", "json_schema": {"type": "object", "required": ["k"]}},
        _NO_NAN,
        "a text that is no JSON fails",
    ),
    Case(
        "column_values_to_match_regex",
        {"column": "code", "regex": "^A[0-9]$"},
        _NO_NAN,
        "Java's syntax; found anywhere unless anchored; a number is matched as Spark writes it",
    ),
    Case(
        "column_values_to_match_regex_list", {"column": "code", "regex_list": ["^A", "^Q"]}, _NO_NAN
    ),
    Case(
        "column_values_to_match_regex_list",
        {"column": "code", "regex_list": ["^A", "[0-9]$"], "match_on": "all"},
        _NO_NAN,
    ),
    Case(
        "column_values_to_match_strftime_format",
        {"column": "day", "strftime_format": "%Y-%m-%d"},
        _NO_NAN,
        "text only",
    ),
    Case("column_values_to_not_be_in_set", {"column": "letter", "value_set": ["c"]}, _NO_NAN),
    Case("column_values_to_not_be_in_set", {"column": "x", "value_set": [1000]}),
    Case(
        "column_values_to_not_be_null",
        {"column": "x"},
        {"bad": HOLDS, "nulls": FAILS, "nulls alone": FAILS},
    ),
    Case(
        "column_values_to_not_be_outliers",
        {"column": "x"},
        note="where all values are null there is nothing to measure, and the check holds",
    ),
    Case(
        "column_values_to_not_be_outliers",
        {"column": "x", "method": "std", "multiplier": 1.9},
    ),
    Case("column_values_to_not_match_regex", {"column": "code", "regex": "^Z"}, _NO_NAN),
    Case(
        "column_values_to_not_match_regex_list",
        {"column": "code", "regex_list": ["^Z", "^Q"]},
        _NO_NAN,
    ),
    Case("compound_columns_to_be_unique", {"column_list": ["x", "y"]}),
    Case(
        "compound_columns_to_be_unique",
        {"column_list": ["code", "letter"]},
        _NO_NAN,
        "in part null is a value like others",
    ),
    Case(
        "multicolumn_sum_to_equal",
        {"column_list": ["x", "y"], "sum_total": 4, "mostly": 0.1},
        {"NaN": HOLDS},
        "a null counts as 0 unless all are; here `mostly` allows one row with NaN",
    ),
    Case("multicolumn_values_to_be_equal", {"column_list": ["x", "y"]}),
    Case(
        "select_column_values_to_be_unique_within_record",
        {"column_list": ["code", "other"]},
        _NO_NAN,
        "two nulls in a row are equal values",
    ),
    Case(
        "select_column_values_to_be_unique_within_record",
        {"column_list": ["x", "less"]},
        {"bad": HOLDS},
    ),
    Case("table_column_count_to_be_between", {"min_value": 11, "max_value": 12}, _TABLE),
    Case("table_column_count_to_be_between", {"max_value": 10}, dict.fromkeys(ROWS, FAILS)),
    Case("table_column_count_to_equal", {"value": 11}, _TABLE),
    Case("table_column_count_to_equal", {"value": 10}, dict.fromkeys(ROWS, FAILS)),
    Case(
        "table_columns_to_match_ordered_list",
        {"column_list": [part.split()[0] for part in SCHEMA.split(", ")]},
        _TABLE,
    ),
    Case("table_columns_to_match_ordered_list", {"column_list": ["x"]}, dict.fromkeys(ROWS, FAILS)),
    Case("table_columns_to_match_set", {"column_set": ["x", "n"], "exact_match": False}, _TABLE),
    Case("table_columns_to_match_set", {"column_set": ["x", "n"]}, dict.fromkeys(ROWS, FAILS)),
    Case(
        "table_row_count_to_be_between",
        {"min_value": 8, "max_value": 10},
        {"NaN": HOLDS, "nulls alone": FAILS, "none": FAILS},
    ),
    Case(
        "table_row_count_to_equal",
        {"value": 8},
        {"nulls": FAILS, "nulls alone": FAILS, "none": FAILS},
    ),
]


def frame_of(spark: Any, kind: str) -> Any:
    """These rows in one partition, made once and not by each job anew."""
    return spark.createDataFrame(ROWS[kind], SCHEMA).coalesce(1).localCheckpoint()
