"""Which JSON values a column's type takes, and what they become.

Owns these rules; both roads of `parser` follow them. Must not know lines, paths or files.

A whole number takes JSON integers within its limits (not `1.0`, not `"1"`); float and double any
number that they can hold; decimals numbers and text of digits, without rounding; boolean true and
false; string text, and of any other value its JSON; binary Base64; date and timestamps text, by the
same rules as in CSV, or numbers where the format says so; arrays lists, structs and maps objects (a
field that is missing is null, a field that the struct does not have is left out). null is null
everywhere.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Callable
from decimal import Decimal, localcontext
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import compute

from batchinfer.sources.text.columns import TextRule, convert, type_name

# Its functions are generated at import, so type checkers do not see them.
pc: Any = compute

_SHOWN = 80
_DIGITS = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,6})?")


class Fraction(str):
    """A JSON number with a point or an exponent, as it is written: no digit of it is lost before
    its type is known.
    """

    __slots__ = ()


class Unfit(ValueError):
    """A value that its type does not take, and where in it the trouble is (such as `[2].at`; empty:
    the value itself).
    """

    def __init__(self, value: object, allowed: str, place: str = "") -> None:
        shown = json_text(value)
        super().__init__(
            f"got {shown if len(shown) <= _SHOWN else f'{shown[:_SHOWN]}…'}; allowed: {allowed}"
        )
        self.place = place


def json_text(value: Any) -> str:
    """A value of `json.loads` as compact JSON; fractions as they were written."""
    if isinstance(value, Fraction):
        return str(value)
    if isinstance(value, dict):
        return (
            "{"
            + ",".join(f"{json_text(key)}:{json_text(item)}" for key, item in value.items())
            + "}"
        )
    if isinstance(value, list):
        return "[" + ",".join(map(json_text, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


Fit = Callable[[Any], Any]


def fit_function(type_: pa.DataType, epoch: bool = False) -> Fit:
    """Function from a value of `json.loads` (fractions as `Fraction`) to one that Arrow takes for
    `read_type(type_)`.

    It raises Unfit where the type does not take the value. Dates and timestamps stay text, and are
    judged by `retype`.

    Args:
        epoch: whether dates and timestamps are numbers, which may stand in text.
    """
    if pa.types.is_list(type_):
        return _fit_list(fit_function(type_.value_type, epoch))
    if pa.types.is_struct(type_):
        return _fit_struct({field.name: fit_function(field.type, epoch) for field in type_})
    if pa.types.is_map(type_):
        return _fit_map(fit_function(type_.item_type, epoch))
    if pa.types.is_integer(type_):
        return _fit_integer(type_)
    if pa.types.is_floating(type_):
        return _fit_float(type_)
    if pa.types.is_decimal(type_):
        return _fit_decimal(type_)
    if pa.types.is_boolean(type_):
        return lambda value: (
            value if value is None or isinstance(value, bool) else _refuse(value, "true or false")
        )
    if epoch and is_time(type_):
        return _fit_number_or_text
    return _fit_string if pa.types.is_string(type_) else _fit_text(type_)


def _refuse(value: object, allowed: str) -> Any:
    raise Unfit(value, allowed)


def _fit_list(fit: Fit) -> Fit:
    def fit_list(value: Any) -> Any:
        if value is None:
            return None
        if not isinstance(value, list):
            raise Unfit(value, "a list")
        return [_at(fit, item, f"[{place}]") for place, item in enumerate(value)]

    return fit_list


def _at(fit: Fit, value: Any, place: str) -> Any:
    try:
        return fit(value)
    except Unfit as error:
        error.place = place + error.place
        raise


def _fit_struct(fits: dict[str, Fit]) -> Fit:
    def fit_struct(value: Any) -> Any:
        if value is None:
            return None
        if not isinstance(value, dict):
            raise Unfit(value, "an object")
        return {name: _at(fit, value.get(name), f".{name}") for name, fit in fits.items()}

    return fit_struct


def _fit_map(fit: Fit) -> Fit:
    def fit_map(value: Any) -> Any:
        if value is None:
            return None
        if not isinstance(value, dict):
            raise Unfit(value, "an object")
        return [(_fit_string(key), _at(fit, item, f".{key}")) for key, item in value.items()]

    return fit_map


def _fit_integer(type_: pa.DataType) -> Fit:
    limit, allowed = 2 ** (type_.bit_width - 1), type_name(type_)

    def fit_integer(value: Any) -> Any:
        if value is None or (type(value) is int and -limit <= value < limit):
            return value
        raise Unfit(value, allowed)

    return fit_integer


def _fit_float(type_: pa.DataType) -> Fit:
    largest = 3.4028235677973366e38 if pa.types.is_float32(type_) else math.inf
    allowed = f"{'float' if pa.types.is_float32(type_) else 'double'} (a number within its range)"

    def fit_float(value: Any) -> Any:
        if value is None:
            return None
        if type(value) is not int and not isinstance(value, Fraction):
            raise Unfit(value, allowed)
        try:
            number = float(value)
        except OverflowError as error:
            raise Unfit(value, allowed) from error
        # From half a step above the largest float32 on, rounding would make it infinite.
        return number if abs(number) < largest else _refuse(value, allowed)

    return fit_float


def _fit_decimal(type_: pa.DataType) -> Fit:
    whole, step = type_.precision - type_.scale, Decimal(1).scaleb(-type_.scale)
    allowed = f"{type_name(type_)}, as a number or as text"

    def fit_decimal(value: Any) -> Any:
        if value is None:
            return None
        if (
            isinstance(value, bool)
            or not isinstance(value, int | str)
            or not _DIGITS.fullmatch(str(value))
        ):
            raise Unfit(value, allowed)
        number = Decimal(value)
        if number and number.adjusted() >= whole:
            raise Unfit(value, allowed)
        with localcontext() as context:
            context.prec = 80
            rounded = number.quantize(step)
        return rounded if rounded == number else _refuse(value, allowed)

    return fit_decimal


def _fit_string(value: Any) -> Any:
    if value is None:
        return None
    text = value if type(value) is str else json_text(value)
    # A lone half of a surrogate pair (\ud800) is JSON, but no text.
    return (
        text
        if text.isascii() or _is_unicode(text)
        else _refuse(None, "text of Unicode, without halves of surrogate pairs")
    )


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _fit_text(type_: pa.DataType) -> Fit:
    allowed = f"{type_name(type_)}, as text"

    def fit_text(value: Any) -> Any:
        if value is None or (type(value) is str and (value.isascii() or _is_unicode(value))):
            return value
        raise Unfit(value, allowed)

    return fit_text


def _fit_number_or_text(value: Any) -> Any:
    if isinstance(value, bool | dict | list):
        raise Unfit(value, "a number, or text of one")
    return _fit_string(value)


def reading_type(type_: pa.DataType) -> pa.DataType:
    """The type in which values are read before `retype`: text where text is converted, and the
    widest of its kind elsewhere.
    """
    if pa.types.is_list(type_):
        return pa.list_(reading_type(type_.value_type))
    if pa.types.is_struct(type_):
        return pa.struct([pa.field(field.name, reading_type(field.type)) for field in type_])
    if pa.types.is_map(type_):
        return pa.map_(pa.string(), reading_type(type_.item_type))
    if pa.types.is_floating(type_):
        return pa.float64()
    return pa.string() if _is_text(type_) else type_


def is_time(type_: pa.DataType) -> bool:
    """Whether the format of timestamps says how values of a type are written."""
    return pa.types.is_date(type_) or pa.types.is_timestamp(type_)


def _is_text(type_: pa.DataType) -> bool:
    return is_time(type_) or pa.types.is_binary(type_)


def retype(values: pa.Array, type_: pa.DataType, rule: TextRule) -> tuple[pa.Array, np.ndarray]:
    """The column in its own type, and the rows (int64) with a value that does not fit.

    Args:
        values: of `read_type(type_)`.
        rule: how dates and timestamps are written.

    Runs on: executor.
    """
    if pa.types.is_list(type_) or pa.types.is_map(type_):
        return _retype_lists(values, type_, rule)
    if pa.types.is_struct(type_):
        return _retype_struct(values, type_, rule)
    if pa.types.is_binary(type_):
        return _decoded(values)
    if _is_text(type_):
        converted, bad = convert(values, type_, rule)
        return converted, _rows(bad)
    if pa.types.is_floating(type_):
        # Arrow's reader makes infinity of a whole number that is too long.
        narrow = values.cast(type_, safe=False)
        return narrow, _rows(pc.is_inf(narrow))
    return values, _rows(None)


def _rows(bad: pa.Array | None) -> np.ndarray:
    return (
        np.empty(0, np.int64)
        if bad is None
        else np.flatnonzero(pc.fill_null(bad, False).to_numpy(zero_copy_only=False))
    )


def _retype_lists(
    values: pa.Array, type_: pa.DataType, rule: TextRule
) -> tuple[pa.Array, np.ndarray]:
    inner = type_.item_type if pa.types.is_map(type_) else type_.value_type
    if reading_type(inner).equals(inner):
        return values, _rows(None)
    offsets = values.offsets.to_numpy(zero_copy_only=False).astype(np.int64)
    first, last = int(offsets[0]), int(offsets[-1])
    shifted, nulls = pa.array(offsets - first, pa.int32()), pc.is_null(values)
    child = (values.items if pa.types.is_map(type_) else values.values).slice(first, last - first)
    converted, bad = retype(child, inner, rule)
    rows = np.unique(np.searchsorted(offsets - first, bad, side="right") - 1)
    if pa.types.is_map(type_):
        keys = values.keys.slice(first, last - first)
        return pa.MapArray.from_arrays(shifted, keys, converted, type_, mask=nulls), rows
    return pa.ListArray.from_arrays(shifted, converted, type_, mask=nulls), rows


def _retype_struct(
    values: pa.Array, type_: pa.DataType, rule: TextRule
) -> tuple[pa.Array, np.ndarray]:
    if reading_type(type_).equals(type_):
        return values, _rows(None)
    done = [
        retype(child, field.type, rule)
        for child, field in zip(values.flatten(), type_, strict=True)
    ]
    struct = pa.StructArray.from_arrays(
        [child for child, _ in done], fields=list(type_), mask=pc.is_null(values)
    )
    return struct, np.unique(np.concatenate([bad for _, bad in done]))


def _decoded(values: pa.Array) -> tuple[pa.Array, np.ndarray]:
    decoded: list[bytes | None] = []
    bad: list[int] = []
    for place, text in enumerate(values.to_pylist()):
        try:
            decoded.append(None if text is None else base64.b64decode(text, validate=True))
        except (binascii.Error, ValueError):
            decoded.append(None)
            bad.append(place)
    return pa.array(decoded, pa.binary()), np.array(bad, np.int64)


def first_unfit(value: Any, type_: pa.DataType, rule: TextRule) -> Unfit:
    """Why `retype` refused a value: the first part of it that does not fit."""
    found = _unfit_text(value, type_, rule, "")
    return found or Unfit(value, type_name(type_, rule))


def _unfit_text(value: Any, type_: pa.DataType, rule: TextRule, place: str) -> Unfit | None:
    if value is None:
        return None
    parts: list[tuple[str, Any, pa.DataType]] = []
    if pa.types.is_list(type_):
        parts = [(f"[{number}]", item, type_.value_type) for number, item in enumerate(value)]
    elif pa.types.is_map(type_):
        parts = [(f".{key}", item, type_.item_type) for key, item in value]
    elif pa.types.is_struct(type_):
        parts = [(f".{field.name}", value.get(field.name), field.type) for field in type_]
    elif _is_text(type_) and len(retype(pa.array([value], pa.string()), type_, rule)[1]):
        return Unfit(
            value, "Base64" if pa.types.is_binary(type_) else type_name(type_, rule), place
        )
    for step, item, inner in parts:
        if found := _unfit_text(item, inner, rule, place + step):
            return found
    return None
