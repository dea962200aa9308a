"""Turns columns of text into typed columns, and says which values do not fit their type.

Owns what text each type accepts. Must not know where the text comes from. Vectorised: Arrow's own
casts decide, and only when one refuses a column are its distinct values looked at.

Types: whole numbers are digits with an optional sign; float and double also take exponents, `NaN`
and `inf`; boolean is true, false, 1 or 0 in any case; a decimal must fit without rounding; dates
and timestamps are of the years 1 to 9999.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from pyarrow import compute

from batchinfer.errors import ConfigError
from batchinfer.sources.text.casts import cast_or_null
from batchinfer.sources.text.timestamps import TimestampRule, parse_timestamps

# Its functions are generated at import, so type checkers do not see them.
pc: Any = compute

_SHOWN = 80


@dataclass(frozen=True)
class TextRule:
    """How text stands for values: the decimal point, and how timestamps and dates are written
    (None: ISO 8601).
    """

    decimal: str = "."
    timestamp: TimestampRule = field(default_factory=TimestampRule)


def convert(text: pa.Array, type_: pa.DataType, rule: TextRule) -> tuple[pa.Array, pa.Array | None]:
    """The typed column, and a boolean mask of the values that do not fit (null in the column), or
    None if all fit.

    Args:
        text: string array, nulls already marked. Spaces around a value count for string and binary
            only.

    Runs on: executor.

    Raises:
        ConfigError: a type that text cannot hold, such as an array.
    """
    if pa.types.is_string(type_) or pa.types.is_large_string(type_):
        return text.cast(type_), None
    if pa.types.is_binary(type_):
        return text.cast(pa.binary()), None
    text = pc.ascii_trim(text, " \t")
    if pa.types.is_timestamp(type_):
        values = parse_timestamps(text, rule.timestamp).cast(type_)
    elif pa.types.is_date(type_) and rule.timestamp.format is not None:
        values = parse_timestamps(text, rule.timestamp).cast(type_, safe=False)
    elif pa.types.is_date(type_):
        values = _in_years(cast_or_null(text, type_))
    elif pa.types.is_integer(type_):
        values = cast_or_null(_whole_numbers(text), type_)
    elif pa.types.is_floating(type_) or pa.types.is_decimal(type_):
        values = cast_or_null(_with_point(text, rule.decimal), type_)
    elif pa.types.is_boolean(type_):
        values = cast_or_null(text, type_)
    else:
        raise ConfigError(
            f"source.schema: got type {type_}; allowed in text: numbers, boolean, string, binary, "
            "date, timestamp"
        )
    if values.null_count == text.null_count:
        return values, None
    return values, pc.and_(pc.is_valid(text), pc.is_null(values))


def bad_value(column: str, value: str, type_: pa.DataType, rule: TextRule | None = None) -> str:
    """The message of a record whose value does not fit: column, value, type."""
    shown = value if len(value) <= _SHOWN else f"{value[:_SHOWN]}…"
    return f"column {column}: got {shown!r}; allowed: {type_name(type_, rule)}"


def type_name(type_: pa.DataType, rule: TextRule | None = None) -> str:
    """The type as a schema names it, with its limits where it has any, and how it is written."""
    rule = rule or TextRule()
    if pa.types.is_integer(type_):
        bits = type_.bit_width - 1
        names = {7: "tinyint", 15: "smallint", 31: "int", 63: "bigint"}
        return f"{names[bits]} (a whole number from {-(2**bits)} to {2**bits - 1})"
    if pa.types.is_decimal(type_):
        return f"decimal({type_.precision},{type_.scale}) without rounding"
    if pa.types.is_boolean(type_):
        return "boolean (true, false, 1 or 0)"
    if pa.types.is_date(type_):
        return (
            "date (ISO 8601, such as 2015-05-18)"
            if rule.timestamp.format is None
            else f"date ({rule.timestamp})"
        )
    if pa.types.is_timestamp(type_):
        return f"timestamp ({rule.timestamp})"
    return (
        f"{type_} (with {rule.decimal!r} before its decimals)"
        if rule.decimal != "."
        else str(type_)
    )


def _holds(text: pa.Array, *characters: bytes) -> bool:
    data = text.buffers()[2]
    if data is None:
        return False
    content = data.to_pybytes()
    return any(character in content for character in characters)


def _only(text: pa.Array, pattern: str) -> pa.Array:
    """The values that match; the others become text that no cast takes."""
    return pc.if_else(
        pc.match_substring_regex(text, pattern), text, pa.scalar("refused", text.type)
    )


def _whole_numbers(text: pa.Array) -> pa.Array:
    # Arrow takes 0x1F for a whole number, and +5 for none.
    if _holds(text, b"x", b"X"):
        text = _only(text, r"^[+-]?[0-9]+$")
    if _holds(text, b"+"):
        text = pc.replace_substring_regex(text, r"^\+([0-9])", r"\1")
    return text


def _with_point(text: pa.Array, decimal: str) -> pa.Array:
    if decimal == ".":
        return text
    if _holds(text, b"."):
        text = pc.if_else(pc.match_substring(text, "."), pa.scalar("refused", text.type), text)
    return pc.replace_substring(text, decimal, ".")


def _in_years(dates: pa.Array) -> pa.Array:
    # Arrow takes the year 0, which neither Python nor Spark has.
    wrong = pc.less(dates.cast(pa.int32()), -719162)
    return pc.if_else(wrong, pa.scalar(None, dates.type), dates) if pc.any(wrong).as_py() else dates
