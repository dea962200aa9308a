"""Rows for which no expectation can hold, whatever it says: a value is NaN, or is not what the
expectation compares.

Owns which rows these are, as masks of the rows that are judged. Great Expectations leaves them to
its engine. In Spark NaN is greater than every number, equals itself and is no null, a comparison
with null counts as true, and a text that is no JSON ends the computation; in pandas NaN is a null.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

from batchinfer.checks.judged_rows import JudgedRows, Mask
from batchinfer.checks.suites import Expectation

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
        mask: true of these rows, false of all others.
        word: what they are, in a sentence.
        key: the same for masks that are the same.
    """

    mask: Mask
    word: str
    key: tuple[object, ...]


def unfit_rows(rows: JudgedRows, item: Expectation) -> Misfits | None:
    """Which rows are unfit for an expectation; None where none can be.

    Runs on: driver; reads nothing of a Spark frame.
    """
    if not reads_values(item):
        return None
    columns = item.columns()
    names = tuple(name for name in columns if rows.has_nan(name))
    masks: list[Mask] = [rows.nan(name) for name in names]
    words = ["NaN"] if names else []
    if item.name == _GREATER and all(map(rows.has, columns)):
        first, second = map(rows.null, columns)
        masks.append(first != second)
        if not item.arguments.get("or_equal") and item.arguments.get("ignore_row_if") == "neither":
            masks.append(first & second)
        words.append("without one of the values")
    elif item.name == _SCHEMA and rows.is_text(columns[0]):
        masks.append(rows.no_json(columns[0]))
        words.append("no JSON")
    if not masks:
        return None
    found = reduce(lambda one, other: one | other, masks)
    left_out = item.arguments.get("ignore_row_if")
    if left_out in _ANY_MISSING:
        found = reduce(lambda one, other: one & other, [found, *(~rows.null(x) for x in columns)])
    others = tuple(columns) if words != ["NaN"] or left_out else ()
    key = (names, others, left_out, item.arguments.get("or_equal"), *words)
    return Misfits(found, " or ".join(words), key)


def wrong_type(rows: JudgedRows, item: Expectation) -> str | None:
    """Why the type of a column does not let an expectation be computed, where Spark would compute
    something else: the length of a number is that of its text.
    """
    if item.name not in _LENGTHS:
        return None
    (name,) = item.columns()
    if not rows.has(name) or rows.is_text(name):
        return None
    return f"column {name} is {rows.told_type(name)}; allowed: text"
