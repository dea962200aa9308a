"""Types of expressions: which there are, how people write them, and which is common to two.

Owns Spark's rules in ANSI mode for widening and for decimals. Evaluates nothing.
Source: Spark 4.1, `AnsiTypeCoercion`, `DecimalPrecisionTypeCoercion`, `DecimalType`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import pyarrow as pa

BOOLEAN, STRING, BINARY = pa.bool_(), pa.string(), pa.binary()
TINYINT, SMALLINT, INT, BIGINT = pa.int8(), pa.int16(), pa.int32(), pa.int64()
FLOAT, DOUBLE, DATE, NULL = pa.float32(), pa.float64(), pa.date32(), pa.null()
TIMESTAMP, TIMESTAMP_NTZ = pa.timestamp("us", tz="UTC"), pa.timestamp("us")

MOST_DIGITS = 38
"""Of a decimal."""

INTEGERS = (TINYINT, SMALLINT, INT, BIGINT)
_DIGITS_OF = {TINYINT: 3, SMALLINT: 5, INT: 10, BIGINT: 20}
_NAMES: dict[pa.DataType, str] = {
    BOOLEAN: "boolean",
    STRING: "string",
    BINARY: "binary",
    TINYINT: "tinyint",
    SMALLINT: "smallint",
    INT: "int",
    BIGINT: "bigint",
    FLOAT: "float",
    DOUBLE: "double",
    DATE: "date",
    TIMESTAMP: "timestamp",
    TIMESTAMP_NTZ: "timestamp_ntz",
    NULL: "null",
}
_WRITTEN = {name: type_ for type_, name in _NAMES.items() if type_ != NULL} | {
    "byte": TINYINT,
    "short": SMALLINT,
    "integer": INT,
    "long": BIGINT,
    "real": FLOAT,
    "timestamp_ltz": TIMESTAMP,
}
TYPE_WORDS = (*sorted(_WRITTEN), "decimal")
_DECIMAL_WORDS = ("decimal", "dec", "numeric")
_DECIMAL = re.compile(rf"(?:{'|'.join(_DECIMAL_WORDS)})(?:\((\d+)(?:,(\d+))?\))?")


def told_type(type_: pa.DataType) -> str:
    """As SQL names it: `int`, `decimal(10,2)`; a type that expressions have not, as Arrow does."""
    if is_decimal(type_):
        return f"decimal({type_.precision},{type_.scale})"
    return _NAMES.get(type_) or str(type_)


def written_type(text: str) -> pa.DataType | None:
    """The type that is written so, without spaces and in lower case; None: there is none."""
    if found := _DECIMAL.fullmatch(text):
        digits, scale = int(found[1] or 10), int(found[2] or 0)
        return (
            decimal_type(digits, scale) if scale <= digits and 0 < digits <= MOST_DIGITS else None
        )
    return _WRITTEN.get(text)


def names_decimal(text: str) -> bool:
    """Whether the text is of a decimal, whatever stands in its brackets."""
    return text.partition("(")[0] in _DECIMAL_WORDS


def column_type(type_: pa.DataType) -> pa.DataType | None:
    """The type by which an expression sees a column of an Arrow type; None: it cannot."""
    if pa.types.is_large_string(type_) or pa.types.is_string_view(type_):
        return STRING
    if pa.types.is_large_binary(type_) or pa.types.is_binary_view(type_):
        return BINARY
    if pa.types.is_timestamp(type_) and type_.unit in ("s", "ms", "us"):
        return TIMESTAMP if type_.tz else TIMESTAMP_NTZ
    if is_decimal(type_):
        return decimal_type(type_.precision, type_.scale) if 0 <= type_.scale <= 38 else None
    return type_ if type_ in _NAMES else None


def decimal_type(digits: int, scale: int) -> pa.DataType:
    """The decimal of so many digits, `scale` of them behind the point."""
    return pa.decimal128(digits, scale)


def is_decimal(type_: pa.DataType) -> bool:
    """Whether it is a decimal of up to 38 digits."""
    return pa.types.is_decimal128(type_)


def is_integer(type_: pa.DataType) -> bool:
    """Whether it is a signed integer."""
    return type_ in INTEGERS


def is_floating(type_: pa.DataType) -> bool:
    """Whether it is float or double."""
    return type_ in (FLOAT, DOUBLE)


def is_quantity(type_: pa.DataType) -> bool:
    """Whether it is an integer, a decimal, float or double."""
    return is_integer(type_) or is_floating(type_) or is_decimal(type_)


def is_moment(type_: pa.DataType) -> bool:
    """A date or a timestamp of either kind."""
    return type_ in (DATE, TIMESTAMP, TIMESTAMP_NTZ)


def as_decimal(type_: pa.DataType) -> pa.DataType:
    """The decimal that holds every value of an integer type; a decimal is its own."""
    return type_ if is_decimal(type_) else decimal_type(_DIGITS_OF[type_], 0)


def common_type(types: Sequence[pa.DataType]) -> pa.DataType | None:
    """The type to which values of all these can be brought without loss of digits in front of or
    behind the point (float and double apart); None: there is none. Nulls fit every type.
    """
    found = NULL
    for type_ in types:
        common = _common_of_two(found, type_)
        if common is None:
            return None
        found = common
    return found


def _common_of_two(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    if one == other or other == NULL:
        return one
    if one == NULL:
        return other
    if is_moment(one) and is_moment(other):
        return next(t for t in (TIMESTAMP, TIMESTAMP_NTZ) if t in (one, other))
    if not (is_quantity(one) and is_quantity(other)):
        return None
    if is_integer(one) and is_integer(other):
        return max(one, other, key=INTEGERS.index)
    if is_floating(one) or is_floating(other):
        return DOUBLE
    return _common_decimal(as_decimal(one), as_decimal(other))


def _common_decimal(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    scale = max(one.scale, other.scale)
    digits = max(one.precision - one.scale, other.precision - other.scale) + scale
    return decimal_type(digits, scale) if digits <= MOST_DIGITS else None


def fewest_digits(value: int) -> pa.DataType:
    """The decimal as which a whole number that stands in the text meets decimals."""
    return decimal_type(len(str(abs(value))), 0)


def arithmetic_decimal(sign: str, one: pa.DataType, other: pa.DataType) -> tuple[int, int]:
    """Digits and scale of a result before they are cut to 38 digits."""
    (p1, s1), (p2, s2) = (one.precision, one.scale), (other.precision, other.scale)
    scale = max(s1, s2)
    if sign in ("+", "-"):
        return max(p1 - s1, p2 - s2) + scale + 1, scale
    if sign == "*":
        return p1 + p2 + 1, s1 + s2
    if sign == "%":
        return min(p1 - s1, p2 - s2) + scale, scale
    scale = max(6, s1 + p2 + 1)
    return p1 - s1 + s2 + scale, scale


def cut_decimal(digits: int, scale: int) -> pa.DataType:
    """With more than 38 digits, those behind the point go first, down to 6 of them."""
    if digits <= MOST_DIGITS:
        return decimal_type(digits, scale)
    before = digits - scale
    return decimal_type(MOST_DIGITS, max(MOST_DIGITS - before, min(scale, 6)))
