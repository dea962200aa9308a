"""Every expectation on every kind of column, with arguments that it holds and fails with, for both
engines of Great Expectations: rows with what engines take differently.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from batchinfer.checks.pandas_verdicts import Kind

# Two columns of each kind, for expectations about several.
COLUMNS: dict[Kind, tuple[str, str]] = {
    "truth": ("truth", "truth2"),
    "whole": ("whole", "whole2"),
    "large": ("large", "large2"),
    "real": ("real", "real2"),
    "infinite": ("endless", "endless2"),
    "text": ("word", "word2"),
    "date": ("day", "day2"),
}
SCHEMA = (
    "truth boolean, truth2 boolean, whole long, whole2 int, large long, large2 long, real double, "
    "real2 float, endless double, endless2 double, word string, word2 string, day date, day2 date"
)
_DAY, _ERA = dt.date(2026, 11, 30), dt.date(1850, 2, 3)
_TWO53, _MOST = 2**53 + 1, 2**63 - 1
_INF = math.inf
_VALUES: list[tuple[Any, ...]] = [
    (True, False, 1, 1, _TWO53, 1, 0.1, 0.1, 1.0, 1.0, "a", "a", _DAY, _DAY),
    (True, True, 2, 1, _TWO53 - 1, _TWO53, -0.0, 0.0, _INF, 2.0, "b", "é", _DAY, _ERA),
    (False, False, 2, 3, _MOST, _MOST, 0.0, 2.5, 2.0, _INF, "b", "😀x", _ERA, _ERA),
    (True, True, -5, -5, -_MOST, 3, 1e-300, 0.0, 3.0, 3.0, "{}", "{}", _DAY, _DAY),
    (True, False, 2**31, 7, 12, 12, 1e17, 1.0, 4.0, 5.0, "2026-11-30", "\u0663", _DAY, _DAY),
    (False, True, 0, 0, 4, 4, 1.0, 1.0, -_INF, 6.0, "", " ", dt.date(9999, 12, 31), _DAY),
]
_NAN = (True, True, 3, 3, 3, 3, math.nan, math.nan, math.nan, 1.0, "NaN", "nan", _DAY, _DAY)
_NULL = (None,) * len(_NAN)
_HALF = (None, True, 3, None, None, 3, 1.5, None, None, 1.0, "c", None, None, _DAY)

ROWS: dict[str, list[tuple[Any, ...]]] = {
    "values": _VALUES,
    "one value": _VALUES[:1],
    "nulls": [*_VALUES, _NULL, _HALF, _NULL],
    "NaN": [*_VALUES, _NAN, _HALF],
    "nulls alone": [_NULL, _NULL],
    "none": [],
}


@dataclass(frozen=True)
class EngineCase:
    """An expectation with arguments, on columns of one kind.

    Attributes:
        kind: of the columns; None: it is about the table.
    """

    name: str
    kind: Kind | None
    arguments: dict[str, Any]


_SAMPLES: dict[Kind, list[Any]] = {
    "truth": [True],
    "whole": [1, 2, -5, 2**31, 0],
    "large": [12, 4, 3, 2**53],
    "real": [0.1, 0, 1e17, 1.0],
    "infinite": [1.0, 2, 3.0],
    "text": ["a", "b", "{}", "2026-11-30"],
    "date": [_DAY, dt.date(1850, 2, 3)],
}
_BOUNDS: dict[Kind, list[tuple[Any, Any]]] = {
    "truth": [(0, 1)],
    "whole": [(1, 2), (-10, 2**40), (2, None)],
    "large": [(4, 2**53), (-(2.0**63), 2.0**63), (None, 2.0**53)],
    "real": [(0, 1), (0.1, None), (-1e300, 1e300)],
    "infinite": [(0, 3), (None, 1e300), (-1e300, None)],
    "text": [],
    "date": [(dt.date(1900, 1, 1), dt.date(2030, 1, 1)), (None, dt.date(9999, 12, 31))],
}


# Kinds with which each way to leave out nulls is tried.
_THOROUGH: tuple[Kind, ...] = ("whole", "real", "text")
# Rows on which not all is tried: of one value, what is measured of several.
ONLY: dict[str, tuple[str, ...]] = {
    "one value": ("mean", "median", "stdev", "z_scores", "outliers", "most_common", "unique"),
}


def engine_cases() -> Iterator[EngineCase]:
    """All of them."""
    for name, arguments in _table_cases():
        yield EngineCase(f"expect_{name}", None, arguments)
    for kind in COLUMNS:
        for name, arguments in _column_cases(kind):
            yield EngineCase(f"expect_{name}", kind, arguments)


def _table_cases() -> Iterator[tuple[str, dict[str, Any]]]:
    names = [part.split()[0] for part in SCHEMA.split(", ")]
    yield "column_to_exist", {"column": "real", "column_index": 6}
    yield "column_to_exist", {"column": "real", "column_index": 2}
    yield "column_to_exist", {"column": "Real"}
    yield "table_column_count_to_be_between", {"min_value": 1, "max_value": 3}
    yield "table_column_count_to_be_between", {"min_value": 14, "max_value": 14}
    yield "table_column_count_to_equal", {"value": 14}
    yield "table_column_count_to_equal", {"value": 3}
    yield "table_columns_to_match_ordered_list", {"column_list": names}
    yield "table_columns_to_match_ordered_list", {"column_list": names[::-1]}
    yield "table_columns_to_match_ordered_list", {"column_list": names[:-1]}
    yield "table_columns_to_match_set", {"column_set": names[::-1]}
    yield "table_columns_to_match_set", {"column_set": ["real", "gone"], "exact_match": False}
    yield "table_columns_to_match_set", {"column_set": ["real"]}
    yield "table_row_count_to_be_between", {"min_value": 2, "max_value": 9, "strict_min": True}
    yield "table_row_count_to_equal", {"value": 6}


def _column_cases(kind: Kind) -> Iterator[tuple[str, dict[str, Any]]]:
    column, other = COLUMNS[kind]
    pair = {"column_A": column, "column_B": other}
    several = {"column_list": [column, other]}
    samples = _SAMPLES[kind]
    for name in (
        *("column_distinct_values_to_be_in_set", "column_distinct_values_to_contain_set"),
        *("column_distinct_values_to_equal_set", "column_most_common_value_to_be_in_set"),
        *("column_values_to_be_in_set", "column_values_to_not_be_in_set"),
    ):
        yield name, {"column": column, "value_set": samples}
    yield (
        "column_most_common_value_to_be_in_set",
        {
            "column": column,
            "value_set": samples,
            "ties_okay": True,
        },
    )
    yield "column_values_to_be_in_set", {"column": column, "value_set": samples, "mostly": 0.3}
    share = 1 / len(samples)
    yield (
        "column_kl_divergence_to_be_less_than",
        {
            "column": column,
            "threshold": 0.5,
            "tail_weight_holdout": 0.1,
            "partition_object": {
                "values": [str(one) if kind == "date" else one for one in samples],
                "weights": [share] * len(samples),
            },
        },
    )
    yield (
        "column_kl_divergence_to_be_less_than",
        {
            "column": column,
            "threshold": 5,
            "tail_weight_holdout": 0.1,
            "internal_weight_holdout": 0.1,
            "partition_object": {"bins": [-10, 0, 2, 100], "weights": [0.25, 0.25, 0.5]},
        },
    )
    for low, high in _BOUNDS[kind]:
        span = {"min_value": low, "max_value": high}
        bounds = {word: bound for word, bound in span.items() if bound is not None}
        strict = {word.replace("value", "").replace("_", "") for word in bounds}
        for name in ("column_max_to_be_between", "column_min_to_be_between"):
            yield name, {"column": column, **bounds}
        yield "column_values_to_be_between", {"column": column, **bounds, "mostly": 0.5}
        yield (
            "column_values_to_be_between",
            {"column": column, **bounds, **{f"strict_{one}": True for one in strict}},
        )
    for name in ("mean", "median", "stdev", "sum"):
        yield f"column_{name}_to_be_between", {"column": column, "min_value": 1, "max_value": 3}
        yield f"column_{name}_to_be_between", {"column": column, "max_value": 1e6}
    pairs_ignored = ("both_values_are_missing", "neither", "either_value_is_missing")
    for ignored in pairs_ignored if kind in _THOROUGH else pairs_ignored[:1]:
        yield "column_pair_values_a_to_be_greater_than_b", {**pair, "ignore_row_if": ignored}
        yield (
            "column_pair_values_a_to_be_greater_than_b",
            {
                **pair,
                "ignore_row_if": ignored,
                "or_equal": True,
                "mostly": 0.5,
            },
        )
        yield "column_pair_values_to_be_equal", {**pair, "ignore_row_if": ignored}
        pairs = [[samples[0], samples[0]], [samples[-1], samples[-1]]]
        yield (
            "column_pair_values_to_be_in_set",
            {
                **pair,
                "ignore_row_if": ignored,
                "value_pairs_set": pairs,
            },
        )
    for name in ("non_null", "unique"):
        share_of = f"column_proportion_of_{name}_values_to_be_between"
        yield share_of, {"column": column, "min_value": 0.8}
        yield share_of, {"column": column, "max_value": 0.5}
    yield (
        "column_quantile_values_to_be_between",
        {
            "column": column,
            "quantile_ranges": {"quantiles": [0.1, 0.5], "value_ranges": [[0, 2], [1, None]]},
        },
    )
    types = {"type_": "LongType"}
    yield "column_type_to_be", {"column": column, **types}
    yield "column_values_to_be_of_type", {"column": column, **types}
    yield "column_values_to_be_in_type_list", {"column": column, "type_list": ["LongType"]}
    yield "column_unique_value_count_to_be_between", {"column": column, "min_value": 5}
    yield "column_unique_value_count_to_be_between", {"column": column, "max_value": 4}
    yield "column_value_lengths_to_be_between", {"column": other, "min_value": 1, "max_value": 1}
    yield "column_value_lengths_to_equal", {"column": column, "value": 1}
    for both in (True, False):
        scores = {"column": column, "threshold": 1.2, "double_sided": both}
        yield "column_value_z_scores_to_be_less_than", scores
    yield "column_values_to_be_json_parseable", {"column": column}
    yield (
        "column_values_to_match_json_schema",
        {
            "column": column,
            "json_schema": {"type": "object"},
        },
    )
    yield "column_values_to_be_null", {"column": column}
    yield "column_values_to_not_be_null", {"column": column, "mostly": 0.7}
    yield "column_values_to_not_be_null", {"column": other}
    yield "column_values_to_be_unique", {"column": column}
    yield "column_values_to_be_unique", {"column": other}
    # What Java and Python read differently.
    for regex in ("^a$", r"\d", r"^\w+$", "a++b") if kind == "text" else ("^a$",):
        yield "column_values_to_match_regex", {"column": other, "regex": regex}
        yield "column_values_to_not_match_regex", {"column": other, "regex": regex}
    for name in ("match", "not_match"):
        yield f"column_values_to_{name}_regex_list", {"column": other, "regex_list": ["a", r"\d"]}
    yield (
        "column_values_to_match_strftime_format",
        {
            "column": column,
            "strftime_format": "%Y-%m-%d",
        },
    )
    yield "column_values_to_not_be_outliers", {"column": column}
    yield (
        "column_values_to_not_be_outliers",
        {
            "column": column,
            "method": "std",
            "multiplier": 1.2,
        },
    )
    rows_ignored = ("all_values_are_missing", "never", "any_value_is_missing")
    for ignored in rows_ignored if kind in _THOROUGH else rows_ignored[:1]:
        ignoring = {**several, "ignore_row_if": ignored}
        yield "compound_columns_to_be_unique", ignoring
        yield "multicolumn_values_to_be_equal", ignoring
        yield "select_column_values_to_be_unique_within_record", ignoring
        yield "multicolumn_sum_to_equal", {**ignoring, "sum_total": 2, "mostly": 0.5}
        yield "multicolumn_sum_to_equal", {**ignoring, "sum_total": 6}


def frame_of_rows(spark: Any, rows: str) -> Any:
    """These rows in one partition, made once and not by each job anew."""
    return spark.createDataFrame(ROWS[rows], SCHEMA).coalesce(1).localCheckpoint()
