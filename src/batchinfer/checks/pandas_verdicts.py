"""Which expectations Great Expectations' pandas engine may judge, of which kinds of columns: those
of which a test has shown that both engines say the same.

Owns that table, and why Spark has to judge what is not in it. `tests/spark/test_both_engines.py`
holds it to both engines: it fails where they differ, and where an entry could be added.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias, get_args

import pyarrow as pa
from pyarrow import compute

from batchinfer.checks.suites import Expectation, Suite

# pyarrow makes these functions when it is imported; type checkers cannot see them.
pc: Any = compute

Kind: TypeAlias = Literal["truth", "whole", "large", "real", "infinite", "text", "date"]
"""What a column holds: truth values; whole numbers, of up to 32 bits or larger ones too;
floating-point numbers, all finite or not; text; dates. Of all other types Spark judges.
"""

_ALL: tuple[Kind, ...] = get_args(Kind)
_NUMBERS: tuple[Kind, ...] = ("whole", "large", "real", "infinite")

JUDGED_BY_PANDAS: Mapping[str, Collection[Kind]] = {
    # About the table: what its columns hold is of no matter.
    "expect_column_to_exist": (),
    "expect_table_column_count_to_be_between": (),
    "expect_table_column_count_to_equal": (),
    "expect_table_columns_to_match_ordered_list": (),
    "expect_table_columns_to_match_set": (),
    "expect_table_row_count_to_be_between": (),
    "expect_table_row_count_to_equal": (),
    "expect_column_distinct_values_to_be_in_set": _ALL,
    "expect_column_distinct_values_to_contain_set": _ALL,
    "expect_column_distinct_values_to_equal_set": _ALL,
    "expect_column_max_to_be_between": ("whole", "real", "infinite"),
    "expect_column_mean_to_be_between": _NUMBERS,
    "expect_column_min_to_be_between": ("whole", "real", "infinite"),
    "expect_column_most_common_value_to_be_in_set": _ALL,
    "expect_column_pair_values_a_to_be_greater_than_b": _ALL,
    "expect_column_pair_values_to_be_equal": _ALL,
    "expect_column_pair_values_to_be_in_set": _ALL,
    "expect_column_proportion_of_non_null_values_to_be_between": _ALL,
    "expect_column_proportion_of_unique_values_to_be_between": _ALL,
    "expect_column_stdev_to_be_between": _NUMBERS,
    "expect_column_unique_value_count_to_be_between": _ALL,
    # Of what is no text, both fail for its type.
    "expect_column_value_lengths_to_be_between": _ALL,
    "expect_column_value_lengths_to_equal": _ALL,
    "expect_column_value_z_scores_to_be_less_than": _NUMBERS,
    "expect_column_values_to_be_between": ("whole", "real", "infinite", "date"),
    "expect_column_values_to_be_in_set": _ALL,
    "expect_column_values_to_be_json_parseable": _ALL,
    "expect_column_values_to_be_null": _ALL,
    "expect_column_values_to_be_unique": _ALL,
    "expect_column_values_to_match_json_schema": ("text",),
    "expect_column_values_to_match_strftime_format": ("text",),
    "expect_column_values_to_not_be_in_set": _ALL,
    "expect_column_values_to_not_be_null": _ALL,
    "expect_column_values_to_not_be_outliers": _NUMBERS,
    "expect_compound_columns_to_be_unique": _ALL,
    "expect_multicolumn_values_to_be_equal": _ALL,
    "expect_select_column_values_to_be_unique_within_record": _ALL,
}
"""Kinds of columns by expectation."""

# With these arguments pandas takes two nulls for values that differ.
_NOT_WITH: Mapping[str, tuple[str, Any]] = {
    "expect_column_pair_values_a_to_be_greater_than_b": ("ignore_row_if", "neither"),
    "expect_column_pair_values_to_be_equal": ("ignore_row_if", "neither"),
}
KIND_WORDS: Mapping[Kind, str] = {
    "truth": "truth values",
    "whole": "whole numbers",
    "large": "whole numbers of more than 32 bits",
    "real": "floating-point numbers",
    "infinite": "numbers that are infinite",
    "text": "text",
    "date": "dates",
}
# Arguments whose values are compared with those of the columns.
_COMPARED = ("min_value", "max_value", "value_set", "value_pairs_set")
# Here bounds are of a number that is measured, whatever the column holds.
_MEASURES = ("_count_to_be_between", "_proportion_", "_lengths_")
_MOST_WHOLE = 2**31


def kinds_of_types(types: Mapping[str, pa.DataType]) -> dict[str, Kind | None]:
    """What columns of these Arrow types hold, as far as types tell; None: what Spark has to judge.

    What only values tell, that they are large or infinite, is not looked at.
    """
    return {name: _kind_of_type(type_) for name, type_ in types.items()}


def kinds_of_values(rows: pa.Table) -> dict[str, Kind | None]:
    """What the columns of a table hold; None: what Spark has to judge."""
    return {name: _kind_of_column(rows[name]) for name in rows.column_names}


def why_spark(suite: Suite, kinds: Mapping[str, Kind | None]) -> str:
    """Why a suite has to be judged by Spark: the first of its expectations that pandas may not
    judge; empty where it may judge all.

    Args:
        kinds: what each column of the rows holds.
    """
    return next((why for item in suite.expectations for why in _reasons(item, kinds)), "")


def columns_judged(suite: Suite, names: Sequence[str]) -> list[str]:
    """The columns that a suite needs of these, in their order; all where it is about the table."""
    read = {name for item in suite.expectations for name in item.columns()}
    if not read or any(not item.columns() for item in suite.expectations):
        return list(names)
    return [name for name in names if name in read]


def _reasons(item: Expectation, kinds: Mapping[str, Kind | None]) -> Iterator[str]:
    told = f"{item.name} at {item.place}"
    allowed = JUDGED_BY_PANDAS.get(item.name)
    if allowed is None:
        yield f"{told} is judged by Spark"
    elif item.arguments.get("row_condition") is not None:
        yield f"{told} has a row_condition, which is Spark's SQL"
    elif item.name in _NOT_WITH and _has(item, *_NOT_WITH[item.name]):
        yield f"{told} is judged by Spark with {_NOT_WITH[item.name][0]}"
    else:
        for name in item.columns():
            kind = kinds.get(name)
            if kind is None:
                yield f"{told} is judged by Spark for the type of column {name}"
            elif kind not in allowed:
                yield f"{told} is judged by Spark where column {name} holds {KIND_WORDS[kind]}"
            elif not all(_is_of_kind(value, kind) for value in _compared(item)):
                yield f"{told} compares column {name} with values of another type"


def _has(item: Expectation, word: str, value: Any) -> bool:
    return item.arguments.get(word) == value


def _compared(item: Expectation) -> Iterator[Any]:
    """Values of the arguments that are compared with those of the columns."""
    if any(word in item.name for word in _MEASURES):
        return
    for word in _COMPARED:
        given = item.arguments.get(word)
        for value in given if isinstance(given, list) else [given]:
            yield from value if isinstance(value, list) else [value]


def _is_of_kind(value: Any, kind: Kind) -> bool:
    if value is None:
        return True
    if kind == "truth":
        return isinstance(value, bool)
    if kind == "text":
        return isinstance(value, str)
    if kind == "date":
        return isinstance(value, dt.date) and not isinstance(value, dt.datetime)
    return isinstance(value, int | float) and not isinstance(value, bool)


def _kind_of_type(type_: pa.DataType) -> Kind | None:
    kinds = pa.types
    if kinds.is_boolean(type_):
        return "truth"
    if kinds.is_signed_integer(type_):
        return "whole"
    if kinds.is_float32(type_) or kinds.is_float64(type_):
        return "real"
    if kinds.is_string(type_) or kinds.is_large_string(type_):
        return "text"
    return "date" if kinds.is_date32(type_) else None


def _kind_of_column(column: pa.ChunkedArray) -> Kind | None:
    kind = _kind_of_type(column.type)
    if kind == "whole" and column.null_count < len(column):
        least, most = pc.min_max(column).as_py().values()
        return "whole" if least >= -_MOST_WHOLE and most <= _MOST_WHOLE else "large"
    if kind == "real":
        return "infinite" if pc.any(pc.is_inf(column)).as_py() else "real"
    return kind
