"""Numbers that stand in an expression: their type, and what is no number of it.

Owns suffixes and ranges of numbers. Knows no grammar.
Source: Spark 4.1, `AstBuilder.numericLiteral` and its callers.
"""

from __future__ import annotations

import math
from decimal import Decimal, InvalidOperation

import pyarrow as pa

from batchinfer.transforms.expressions import sql_types as sql
from batchinfer.transforms.expressions.casting_text import floating_of
from batchinfer.transforms.expressions.syntax import Literal, told_at

_WHOLE = {"l": sql.BIGINT, "s": sql.SMALLINT, "y": sql.TINYINT}
_REACH = {
    type_: 2 ** (8 * width - 1) for type_, width in zip(sql.INTEGERS, (1, 2, 4, 8), strict=True)
}
_GREATEST = {sql.DOUBLE: "1.7976931348623157e308", sql.FLOAT: "3.4028235e38"}


def read_number(at: int, text: str) -> Literal:
    """The number with its type, which a suffix, a point or an exponent decides.

    Args:
        at: place of its first character, counted from 0.
        text: with its sign and its suffix.

    Raises:
        ExpressionError: no number of that type.
    """
    digits = text.rstrip("BDbdLlSsYyFf")
    suffix = text[len(digits) :].lower()
    if suffix in ("d", "f") or (not suffix and "e" in digits.lower()):
        return _floating(at, text, digits, sql.FLOAT if suffix == "f" else sql.DOUBLE)
    value, is_whole = _exact(digits), digits.lstrip("-").isdigit()
    if suffix in _WHOLE:
        type_ = _WHOLE[suffix]
        if value is None or not is_whole or not _fits(value, type_):
            raise told_at(at, f"got {text}, which is no {sql.told_type(type_)}")
        return Literal(at, int(value), type_)
    if value is not None and is_whole and not suffix:
        for type_ in (sql.INT, sql.BIGINT):
            if _fits(value, type_):
                return Literal(at, int(value), type_)
    return _decimal(at, text, digits, value)


def _floating(at: int, text: str, digits: str, type_: pa.DataType) -> Literal:
    value = floating_of(digits, single=type_ == sql.FLOAT)
    if value is None or not math.isfinite(value):
        most = _GREATEST[type_]
        raise told_at(
            at, f"got {text}, which is no {sql.told_type(type_)}; allowed: -{most} to {most}"
        )
    return Literal(at, value, type_)


def _exact(digits: str) -> Decimal | None:
    """None where the exponent is beyond all that a Decimal holds."""
    try:
        return Decimal(digits)
    except InvalidOperation:
        return None


def _fits(value: Decimal, type_: pa.DataType) -> bool:
    return -_REACH[type_] <= value < _REACH[type_]


def _decimal(at: int, text: str, digits: str, value: Decimal | None) -> Literal:
    needed = scale = sql.MOST_DIGITS + 1
    if value is not None:
        _, figures, exponent = value.as_tuple()
        scale = max(-int(exponent), 0)
        needed = max(len(figures) + max(int(exponent), 0), scale)
    if value is None or needed > sql.MOST_DIGITS:
        double = digits if "e" in digits.lower() else f"{digits}e0"
        way = f"write {double}, a double" if math.isfinite(float(double)) else "allowed: fewer"
        raise told_at(at, f"got {text}, with more than {sql.MOST_DIGITS} digits; {way}")
    return Literal(at, value, sql.decimal_type(needed, scale))
