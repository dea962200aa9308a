"""Which values the arguments of an expectation may have: those that mean something on Spark, and
with which the expectation can fail.

Owns what is wrong with arguments, and how that is worded. Imports neither Great Expectations nor
Spark. What remains is judged by the library itself, when the suite is built.
"""

from __future__ import annotations

import datetime as dt
import math
import re
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, cast

from batchinfer.checks.distribution_rules import (
    is_finite,
    quantile_problems,
    reference_problems,
)

# Arguments that name columns. In `expect_table_columns_*` and `expect_column_to_exist` the names
# are the claim itself.
ONE_COLUMN = ("column", "column_A", "column_B")
MANY_COLUMNS = ("column_list",)

# The library takes these as optional, and without them the expectation always holds.
_NEEDED: Mapping[str, tuple[str, ...]] = {
    "expect_column_kl_divergence_to_be_less_than": ("partition_object", "threshold"),
    "expect_column_values_to_be_in_type_list": ("type_list",),
    "expect_column_values_to_match_regex": ("regex",),
    "expect_table_columns_to_match_ordered_list": ("column_list",),
    "expect_table_columns_to_match_set": ("column_set",),
}
# The library takes these and never looks at them.
_IGNORED: Mapping[str, tuple[str, ...]] = {
    "expect_column_kl_divergence_to_be_less_than": ("min_value", "max_value"),
}
# What is counted is a whole number from 0 on.
_COUNTS = frozenset(
    {
        "expect_column_unique_value_count_to_be_between",
        "expect_column_value_lengths_to_be_between",
        "expect_column_value_lengths_to_equal",
        "expect_table_column_count_to_be_between",
        "expect_table_column_count_to_equal",
        "expect_table_row_count_to_be_between",
        "expect_table_row_count_to_equal",
    }
)
_SHARES = frozenset(
    {
        "expect_column_proportion_of_non_null_values_to_be_between",
        "expect_column_proportion_of_unique_values_to_be_between",
    }
)
_FROM_ZERO = _COUNTS | _SHARES | {"expect_column_stdev_to_be_between"}

_NUMBER_AS_TEXT = re.compile(r"\s*[-+]?([\d._]+(e[-+]?\d+)?|nan|inf(inity)?)\s*", re.IGNORECASE)
_MAPPINGS = ("partition_object", "quantile_ranges", "json_schema", "meta", "row_condition")
_SPARK_TYPES = (
    *("ArrayType", "BinaryType", "BooleanType", "ByteType", "CharType", "DateType"),
    *("DayTimeIntervalType", "DecimalType", "DoubleType", "FloatType", "IntegerType", "LongType"),
    *("MapType", "NullType", "ShortType", "StringType", "StructType", "TimeType"),
    *("TimestampNTZType", "TimestampType", "VarcharType", "VariantType", "YearMonthIntervalType"),
)


def offered_arguments(name: str, known: Collection[str]) -> frozenset[str]:
    """Arguments that mean something, of those that the library takes."""
    return frozenset(known) - frozenset(_IGNORED.get(name, ()))


def needed_arguments(name: str, required: Collection[str]) -> frozenset[str]:
    """Arguments that must be given: what the library requires, and what makes the check one."""
    return frozenset(required) | frozenset(_NEEDED.get(name, ()))


def wrong_value(name: str, word: str, value: Any) -> str | None:
    """What is allowed for an argument, where its value is not."""
    if isinstance(value, Mapping) and word not in _MAPPINGS:
        return "a plain value; no parameters are filled in here"
    if name in _COUNTS and word in ("value", "min_value", "max_value") and value is not None:
        whole = isinstance(value, int) and not isinstance(value, bool) and value >= 0
        return None if whole else "a whole number from 0 on"
    if name in _SHARES and word in ("min_value", "max_value") and value is not None:
        return None if is_finite(value) and 0 <= value <= 1 else "a share from 0 to 1"
    rule = _RULES.get(word)
    return rule(value) if rule is not None else None


def _column(value: Any) -> str | None:
    return None if isinstance(value, str) and value else "the name of a column"


def _names(what: str) -> Callable[[Any], str | None]:
    def rule(value: Any) -> str | None:
        fits = isinstance(value, list) and value and all(isinstance(name, str) for name in value)
        return None if fits or value is None else f"a list of {what}, at least one"

    return rule


def _mostly(value: Any) -> str | None:
    if is_finite(value) and 0 < value <= 1:
        return None
    more = "; with 0 it could not fail" if is_finite(value) and value == 0 else ""
    return f"a share from 0 to 1{more}"


def _bound(value: Any) -> str | None:
    if isinstance(value, str):
        return "a number without quotes, or a date" if _NUMBER_AS_TEXT.fullmatch(value) else None
    if isinstance(value, float) and not math.isfinite(value):
        return "a finite value; leave the argument out where there is no limit"
    if value is None or isinstance(value, dt.date) or is_finite(value):
        return _number(value) if is_finite(value) else None
    return "a finite number or a date"


def _number(value: Any) -> str | None:
    if value is None or (is_finite(value) and float(value) == value):
        return None
    # The library keeps numbers as doubles.
    return "a number that a double holds exactly" if is_finite(value) else "a finite number"


def _value_set(value: Any) -> str | None:
    if not isinstance(value, list):
        return "a list of values"
    plain = all(isinstance(entry, str | int | float | dt.date) for entry in value)
    if plain and value and not any(entry != entry for entry in value):
        return None
    return (
        "a list of at least one value, each a text, number, truth value or date; null and NaN "
        "equal nothing, and a null in the list would let every value pass"
    )


def _pairs(value: Any) -> str | None:
    fits = isinstance(value, list) and value
    if fits and all(isinstance(pair, list) and len(pair) == 2 for pair in value):
        return None if not any(x != x for pair in value for x in pair) else "no NaN: it equals none"
    return "a list of pairs, at least one, such as [[a, 1], [b, 2]]"


def _regex(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        return "a regular expression as text"
    if (wrong := _no_java(value)) is not None:
        return wrong
    return "an expression that some text does not match" if _matches_all(value) else None


# What Python says of an expression that Java does not take either.
_WRONG_EVERYWHERE = (
    "unterminated character set",
    "missing ), unterminated subpattern",
    "unbalanced parenthesis",
    "bad escape (end of pattern)",
)


def _no_java(regex: str) -> str | None:
    """Why Spark will not take an expression, as far as that is sure without a JVM; the rest Spark
    says itself, and the check has failed then.
    """
    if re.search(r"(?<!\\)(?:\\\\)*\(\?P[<=>]", regex):
        return "the syntax of Java, in which a group's name is written (?<name>…), and \\k<name>"
    if re.search(r"(?<!\\)(?:\\\\)*\(\?\(", regex):
        return "the syntax of Java, which has no (?(1)…|…)"
    if "\\Q" in regex:
        return None
    # What is Java's alone stands for something that Python knows.
    plain = re.sub(r"\\[pP]\{\w+\}|\\x\{[0-9A-Fa-f]+\}|\\[hHRXGzkK]", r"\\w", regex)
    plain = re.sub(r"\(\?<(?=[A-Za-z])\w+>", "(?:", plain)
    try:
        with warnings.catch_warnings(action="ignore", category=FutureWarning):
            # Classes inside of classes are Java's; Python tells that it may have them one day.
            re.compile(plain)
    except re.error as error:
        if error.msg in _WRONG_EVERYWHERE or regex.startswith(("*", "+", "?")):
            return f"a regular expression ({error.msg} at position {error.pos})"
    return None


def _regexes(value: Any) -> str | None:
    if not isinstance(value, list) or not value:
        return "a list of regular expressions, at least one"
    return next((wrong for one in value if (wrong := _regex(one) or _no_text(one))), None)


def _no_text(value: Any) -> str | None:
    return None if isinstance(value, str) else "a list of regular expressions, each a text"


def _matches_all(regex: str) -> bool:
    """True if an expression is found in every text, since it matches the empty one anywhere."""
    if regex == "(?s)^.*$":
        return True
    # One anchor is always there to be found; two leave a text that does not fit between them.
    bare = regex.removeprefix("(?s)").removeprefix("^")
    if bare == regex.removeprefix("(?s)"):
        bare = bare.removesuffix("$")
    if re.search(r"\^|\$|\(\?[=!<]|\\[AbBGzZ]", bare.replace("[^", "[")):
        return False
    try:
        return re.fullmatch(bare, "") is not None
    except re.error:
        # Java's own syntax, or none at all; Spark says so when it reads it.
        return False


def _types(value: Any) -> str | None:
    names = value if isinstance(value, list) else [value]
    if value is None or (names and all(name in _SPARK_TYPES for name in names)):
        return None
    return f"names of Spark's types: {', '.join(sorted(_SPARK_TYPES))}"


def _parser(value: Any) -> str | None:
    return "spark, with row_condition as SQL" if value == "pandas" else None


def _exact_quantiles(value: Any) -> str | None:
    return None if value is False or value is None else "false; on Spark quantiles are exact"


def _json_schema(value: Any) -> str | None:
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import validator_for

    if not isinstance(value, dict) or not value:
        return "a JSON schema; for any JSON there is expect_column_values_to_be_json_parseable"
    schema = cast("dict[str, Any]", value)
    try:
        validator_for(schema).check_schema(schema)
    except SchemaError as error:
        return f"a JSON schema ({error.message})"
    return None


_RULES: Mapping[str, Callable[[Any], str | None]] = {
    **dict.fromkeys(ONE_COLUMN, _column),
    **dict.fromkeys(("column_list", "column_set"), _names("column names")),
    "mostly": _mostly,
    "min_value": _bound,
    "max_value": _bound,
    **dict.fromkeys(("sum_total", "value", "threshold", "multiplier"), _number),
    **dict.fromkeys(("tail_weight_holdout", "internal_weight_holdout"), _number),
    "value_set": _value_set,
    "value_pairs_set": _pairs,
    "regex": _regex,
    "regex_list": _regexes,
    "type_": _types,
    "type_list": _types,
    "condition_parser": _parser,
    "allow_relative_error": _exact_quantiles,
    "json_schema": _json_schema,
}


def wrong_together(name: str, given: Mapping[str, Any], known: Collection[str]) -> Iterator[str]:
    """What is wrong with arguments that are right one by one.

    Args:
        name: the expectation.
        given: its arguments.
        known: arguments that it takes.
    """
    if {"min_value", "max_value"} <= set(known):
        yield from _range_problems(name, given)
    yield from _column_problems(name, given)
    if given.get("condition_parser") is not None and given.get("row_condition") is None:
        yield "condition_parser stands without row_condition"
    if name == "expect_column_kl_divergence_to_be_less_than":
        yield from reference_problems(given)
    if name == "expect_column_quantile_values_to_be_between":
        yield from quantile_problems(given.get("quantile_ranges"))


def _range_problems(name: str, given: Mapping[str, Any]) -> Iterator[str]:
    low, high = given.get("min_value"), given.get("max_value")
    if low is None and high is None:
        yield "min_value or max_value, or both, must be given"
        return
    if wrong_value(name, "min_value", low) or wrong_value(name, "max_value", high):
        return
    for strict, bound in (("strict_min", low), ("strict_max", high)):
        if given.get(strict) and bound is None:
            yield f"{strict} stands without {strict.removeprefix('strict_')}_value"
    if _above(low, high):
        yield f"min_value {low} is above max_value {high}; no value could hold"
    least = 0 if name in _FROM_ZERO else None
    most = 1 if name in _SHARES else None
    if _says_nothing(low, least, bool(given.get("strict_min"))) and _says_nothing(
        high, most, bool(given.get("strict_max"))
    ):
        span = "from 0 to 1" if name in _SHARES else "from 0 on"
        yield f"what is measured is always {span}, so it could not fail; allowed: a narrower range"


def _above(low: Any, high: Any) -> bool:
    if isinstance(low, dt.date) and isinstance(high, dt.date):
        return type(low) is type(high) and low > high
    return is_finite(low) and is_finite(high) and low > high


def _says_nothing(bound: Any, end: int | None, strict: bool) -> bool:
    """True if a bound leaves out no value: there is none, or all values are within it anyway."""
    if bound is None:
        return True
    if end is None or not is_finite(bound):
        return False
    return float(bound) < 0 or (bound == end and not strict)


def _column_problems(name: str, given: Mapping[str, Any]) -> Iterator[str]:
    first, second = given.get("column_A"), given.get("column_B")
    if isinstance(first, str) and first == second:
        yield f"column_A and column_B are both {first!r}; allowed: two columns"
    names = given.get("column_list")
    if not isinstance(names, list) or name == "expect_multicolumn_sum_to_equal":
        return
    if twice := sorted({str(word) for word in names if names.count(word) > 1}):
        yield f"column_list names {', '.join(twice)} more than once"
