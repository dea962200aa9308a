"""Text as values of other types, and back.

Owns which texts are a number, a boolean, a date, a timestamp, and how those are written. Every
distinct text is read once.
Source: Spark 4.1, `UTF8StringUtils`, `Cast.processFloatingPointSpecialLiterals`,
`Decimal.fromStringANSI`, `ToStringBase.scala`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from batchinfer.transforms.expressions import sql_types as sql
from batchinfer.transforms.expressions.bound import (
    Mask,
    called,
    numpy_values,
    valid_rows,
)
from batchinfer.transforms.expressions.decimals import WIDE, rounded_decimal, unscaled
from batchinfer.transforms.expressions.moment_text import day_of, micros_of, trimmed
from batchinfer.transforms.expressions.moments import civil_of

_WHOLE = re.compile(r"[+-]?\d+", re.ASCII)
_FLOATING = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)[dDfF]?", re.ASCII)
_HEXADECIMAL = re.compile(
    r"([+-]?0[xX](?:[0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)[pP][+-]?\d+)[dDfF]?", re.ASCII
)
_DECIMAL = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE]([+-]?\d{1,9}))?")
_NAMED = {
    "nan": float("nan"),
    "+nan": float("nan"),
    "inf": float("inf"),
    "+inf": float("inf"),
    "infinity": float("inf"),
    "+infinity": float("inf"),
    "-inf": float("-inf"),
    "-infinity": float("-inf"),
}
_TRUE, _FALSE = ("t", "true", "y", "yes", "1"), ("f", "false", "n", "no", "0")
_FAST = {
    sql.BIGINT: r"^-?[0-9]{1,18}$",
    sql.DOUBLE: r"^-?[0-9]{1,15}(\.[0-9]{1,15})?$",
    sql.DATE: r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$",
}
"""Texts that Arrow reads as Spark does."""
_DAY_US = 86_400_000_000

Parse = Callable[[pa.Array], tuple[pa.Array, Mask]]


def text_reader(type_: pa.DataType) -> Parse | None:
    """What makes values of a type from texts, and says which texts are none; None: nothing."""
    read = _reader(type_)
    if read is None:
        return None

    def parse(array: pa.Array) -> tuple[pa.Array, Mask]:
        if fast := _fast(array, type_):
            return fast, np.zeros(len(array), bool)
        coded = array.dictionary_encode()
        read_values = [read(text) for text in coded.dictionary.to_pylist()]
        bad = np.array([value is None for value in read_values] or [False], bool)
        values = _array_of(read_values, type_)
        valid = valid_rows(array, len(array))
        places = np.where(valid, numpy_values(coded.indices, len(array)), 0)
        return values.take(coded.indices), bad[places] & valid

    return parse


def _fast(array: pa.Array, type_: pa.DataType) -> pa.Array | None:
    pattern = _FAST.get(type_)
    if pattern is None or len(array) == array.null_count:
        return None
    options = pc.MatchSubstringOptions(pattern)
    fits = called("match_substring_regex", array, options=options)
    if fits.true_count + array.null_count < len(array):
        return None
    try:
        return array.cast(type_)
    except pa.ArrowInvalid:
        return None


def _array_of(values: list[Any], type_: pa.DataType) -> pa.Array:
    if pa.types.is_temporal(type_):
        width = pa.int32() if type_ == sql.DATE else pa.int64()
        return pa.array(values, width).view(type_)
    return pa.array(values, type_)


def _reader(type_: pa.DataType) -> Callable[[str], Any] | None:
    if sql.is_integer(type_):
        bits = np.iinfo(type_.to_pandas_dtype()).bits - 1
        return lambda text: _whole(text, bits)
    if sql.is_decimal(type_):
        return lambda text: _decimal(text, type_)
    return {
        sql.BOOLEAN: _boolean,
        sql.FLOAT: lambda text: floating_of(text, single=True),
        sql.DOUBLE: floating_of,
        sql.DATE: day_of,
        sql.TIMESTAMP: lambda text: micros_of(text, zoned=True),
        sql.TIMESTAMP_NTZ: lambda text: micros_of(text, zoned=False),
        sql.BINARY: lambda text: text.encode(),
    }.get(type_)


def _whole(text: str, bits: int) -> int | None:
    inside = trimmed(text)
    if not _WHOLE.fullmatch(inside) or len(inside) > 400:
        return None
    value = int(inside)
    return value if -(2**bits) <= value < 2**bits else None


def _boolean(text: str) -> bool | None:
    inside = trimmed(text).lower()
    return True if inside in _TRUE else False if inside in _FALSE else None


def floating_of(text: str, single: bool = False) -> float | None:
    """The nearest double, or with `single` float, as Java reads it; None: it is no number."""
    inside = trimmed(text)
    if (named := _NAMED.get(inside.lower())) is not None:
        return named
    if found := _FLOATING.fullmatch(inside):
        value = float(found[1])
        return _nearest_single(value, found[1]) if single else value
    if found := _HEXADECIMAL.fullmatch(inside):
        try:
            value = float.fromhex(found[1])
        except OverflowError:
            value = float("-inf" if inside.startswith("-") else "inf")
        return float(np.float32(value)) if single else value
    return None


def _nearest_single(value: float, digits: str) -> float:
    """The nearest float to the digits: the float nearest to the double may be another."""
    with np.errstate(all="ignore"):
        made = np.float32(value)
    if not np.isfinite(made) or float(made) == value:
        return float(made)
    exact = Fraction(Decimal(digits))
    with np.errstate(over="ignore"):  # beside the greatest float lies infinity
        other = np.nextafter(made, np.float32("inf" if value > float(made) else "-inf"))
    if not np.isfinite(other):
        return float(made)
    here, there = (abs(exact - Fraction(float(one))) for one in (made, other))
    return float(other) if there < here else float(made)


def _decimal(text: str, type_: pa.DataType) -> Decimal | None:
    inside = text.strip("".join(map(chr, range(33))))
    if not _DECIMAL.fullmatch(inside):
        return None
    try:
        value = WIDE.create_decimal(inside)
        _, digits, exponent = value.as_tuple()
        if len(digits) + int(exponent) > sql.MOST_DIGITS:
            return None
        rounded = rounded_decimal(value, type_.scale)
    except InvalidOperation:
        return None
    return rounded if abs(rounded) < Decimal(10) ** (type_.precision - type_.scale) else None


def text_writer(type_: pa.DataType) -> Callable[[pa.Array], pa.Array] | None:
    """What writes values of a type as text; None: nothing."""
    if sql.is_integer(type_) or type_ == sql.BOOLEAN:
        return lambda array: array.cast(sql.STRING)
    if sql.is_decimal(type_):
        return _decimal_text
    return _moment_text if sql.is_moment(type_) else None


def _decimal_text(array: pa.Array) -> pa.Array:
    scale = array.type.scale
    texts: list[str | None] = []
    present = valid_rows(array, len(array)).tolist()
    for whole, valid in zip(unscaled(array).tolist(), present, strict=True):
        digits = str(abs(whole)).rjust(scale + 1, "0")
        point = f"{digits[:-scale]}.{digits[-scale:]}" if scale else digits
        texts.append(f"{'-' if whole < 0 else ''}{point}" if valid else None)
    return pa.array(texts, sql.STRING)


def _moment_text(array: pa.Array) -> pa.Array:
    valid = valid_rows(array, len(array))
    numbers = numpy_values(array, len(array)).astype(np.int64)
    days = numbers if array.type == sql.DATE else numbers // _DAY_US
    years, months, month_days = civil_of(days)
    plain = (years >= 0) & (years <= 9999)
    if plain.all():
        made = array.view(sql.TIMESTAMP_NTZ) if array.type == sql.TIMESTAMP else array
        text = made.cast(sql.STRING)
        return text if array.type == sql.DATE else _without_zeros(text)
    texts: list[str | None] = []
    for row in range(len(array)):
        year = int(years[row])
        sign = "-" if year < 0 else "+" if year > 9999 else ""
        date = f"{sign}{abs(year):04d}-{months[row]:02d}-{month_days[row]:02d}"
        time = "" if array.type == sql.DATE else f" {_clock(int(numbers[row]) % _DAY_US)}"
        texts.append(date + time if valid[row] else None)
    return pa.array(texts, sql.STRING)


def _clock(micros: int) -> str:
    seconds, fraction = divmod(micros, 1_000_000)
    digits = f".{fraction:06d}".rstrip("0") if fraction else ""
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{digits}"


def _without_zeros(texts: pa.Array) -> pa.Array:
    options = pc.ReplaceSubstringOptions(pattern=r"\.?0+$", replacement="")
    fraction = called("utf8_slice_codeunits", texts, options=pc.SliceOptions(19))
    cut = called("replace_substring_regex", fraction, options=options)
    front = called("utf8_slice_codeunits", texts, options=pc.SliceOptions(0, 19))
    return called("binary_join_element_wise", front, cut, pa.scalar("", sql.STRING))
