"""Rows for which no expectation can hold, whatever it says: a value is NaN, or is not what the
expectation compares.

Owns which rows these are, as conditions on a Spark frame. Great Expectations leaves them to Spark,
where NaN is greater than every number, equals itself and is no null, where a comparison with null
counts as true, and where a text that is no JSON ends the computation.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

from batchinfer.checks.suites import Expectation

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame
    from pyspark.sql.types import DataType

_GREATER = "expect_column_pair_values_a_to_be_greater_than_b"
_SCHEMA = "expect_column_values_to_match_json_schema"
_LENGTHS = ("expect_column_value_lengths_to_be_between", "expect_column_value_lengths_to_equal")
# These are about types, and read no value.
_TYPES = (
    "expect_column_type_to_be",
    "expect_column_values_to_be_in_type_list",
    "expect_column_values_to_be_of_type",
)
_ANY_MISSING = ("either_value_is_missing", "any_value_is_missing")


def reads_values(item: Expectation) -> bool:
    """True if an expectation is about values, and not about the table or the columns' types."""
    return bool(item.columns()) and item.name not in _TYPES


@dataclass(frozen=True)
class Misfits:
    """Rows for which an expectation cannot hold.

    Attributes:
        condition: true for these rows, false for all others.
        word: what they are, in a sentence.
        key: the same for conditions that are the same.
    """

    condition: Column
    word: str
    key: tuple[object, ...]


def unfit_rows(frame: DataFrame, item: Expectation) -> Misfits | None:
    """Which rows of a frame are unfit for an expectation; None where none can be.

    Runs on: driver; reads nothing.
    """
    from pyspark.sql import functions as F

    if not reads_values(item):
        return None
    names = tuple(name for name in item.columns() if _has_nan(_type_of(frame, name)))
    conditions = [F.isnan(_column(frame, name)) for name in names]
    words = ["NaN"] if names else []
    columns = [_column(frame, name) for name in item.columns()]
    there = all(_type_of(frame, name) is not None for name in item.columns())
    if item.name == _GREATER and there:
        first, second = columns
        equals = bool(item.arguments.get("or_equal"))
        both = F.lit(not equals and item.arguments.get("ignore_row_if") == "neither")
        conditions += [first.isNull() != second.isNull(), both & first.isNull() & second.isNull()]
        words.append("without one of the values")
    elif item.name == _SCHEMA and _is_text(_type_of(frame, item.columns()[0])):
        # Spark would ask the library's own function in the same pass, of the rows left out, too.
        is_json = F.udf(_is_json, "boolean", useArrow=False).asNondeterministic()
        conditions.append(~is_json(columns[0]))
        words.append("no JSON")
    if not conditions:
        return None
    never_null = [F.coalesce(condition, F.lit(False)) for condition in conditions]
    found = reduce(lambda one, other: one | other, never_null)
    left_out = item.arguments.get("ignore_row_if")
    if left_out in _ANY_MISSING:
        found = reduce(lambda one, other: one & other, [found, *(x.isNotNull() for x in columns)])
    others = tuple(item.columns()) if words != ["NaN"] or left_out else ()
    key = (names, others, left_out, item.arguments.get("or_equal"), *words)
    return Misfits(found, " or ".join(words), key)


def count_unfit(frame: DataFrame, conditions: list[Misfits]) -> list[int]:
    """How many rows are unfit, for each condition. Runs on: driver; one Spark job."""
    from pyspark.sql import functions as F

    marks = [unfit.condition.alias(f"unfit_{place}") for place, unfit in enumerate(conditions)]
    counts = [F.count_if(F.col(f"unfit_{place}")) for place in range(len(conditions))]
    return [int(count) for count in frame.select(*marks).agg(*counts).collect()[0]]


def wrong_type(frame: DataFrame, item: Expectation) -> str | None:
    """Why the type of a column does not let an expectation be computed, where Spark would compute
    something else: the length of a number is that of its text.
    """
    if item.name not in _LENGTHS:
        return None
    (name,) = item.columns()
    found = _type_of(frame, name)
    if found is None or _is_text(found):
        return None
    return f"column {name} is {found.simpleString()}; allowed: text"


def _is_json(text: str | None) -> bool:
    """True for null as well: Spark asks about it, and the library leaves it out."""
    try:
        json.loads("null" if text is None else text)
    except ValueError:
        return False
    return True


def _column(frame: DataFrame, name: str) -> Column:
    from pyspark.sql import functions as F

    return F.col("`" + name.replace("`", "``") + "`" if name in frame.columns else name)


def _type_of(frame: DataFrame, name: str) -> DataType | None:
    """Type of a column, or of a field inside of one; None where there is none of this name."""
    from pyspark.sql.types import StructType

    found: DataType | None = frame.schema
    for part in [name] if name in frame.columns else name.split("."):
        there = isinstance(found, StructType) and part in found.names
        found = found[part].dataType if there and isinstance(found, StructType) else None
    return found


def _has_nan(found: DataType | None) -> bool:
    from pyspark.sql.types import DoubleType, FloatType

    return isinstance(found, DoubleType | FloatType)


def _is_text(found: DataType | None) -> bool:
    from pyspark.sql.types import StringType

    return isinstance(found, StringType)
