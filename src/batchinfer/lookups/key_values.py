"""Keys of a lookup: the text of the command line, and values in the types of the key columns.

Owns the grammar `name=value,name="a,b"` and every conversion. A value is only ever a value: nothing
here is evaluated, or put into a query's text.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

import pyarrow as pa
from pyarrow import types as kinds

from batchinfer.errors import ConfigError, InputError

# Digits as people and Spark write them: no underscores, no digits of other scripts.
_WHOLE = re.compile(r"[+-]?[0-9]{1,40}")
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")


def parse_key(text: str, key_columns: Sequence[str]) -> dict[str, str]:
    """One key as a mapping of column to text.

    Pairs are separated by commas; a value with a comma, or that begins with a quote, stands in
    double quotes, where two quotes mean one. A value may hold `=`. Blanks around names are ignored,
    in values they count.

    Runs on: driver

    Raises:
        ConfigError: not of this form, a column that is not one of the key, given twice, or left
            out.
    """
    pairs = _split(text, key_columns)
    names = [name for name, _ in pairs]
    problems = [
        f"--key {text!r}: column {name!r} is given twice"
        for name in sorted(set(names))
        if names.count(name) > 1
    ]
    problems += [f"--key {text!r}: {problem}" for problem in compare_names(names, key_columns)]
    if problems:
        raise ConfigError(problems, _key_looks(key_columns))
    return dict(pairs)


def _key_looks(key_columns: Sequence[str]) -> str:
    return f"A key looks like {','.join(f'{name}=…' for name in key_columns)}"


def format_key(key: Mapping[str, str]) -> str:
    """The text that `parse_key` reads as this key."""
    return ",".join(
        f'{name}="{value.replace(chr(34), chr(34) * 2)}"'
        if "," in value or value.startswith('"')
        else f"{name}={value}"
        for name, value in key.items()
    )


def compare_names(names: Sequence[str], key_columns: Sequence[str]) -> list[str]:
    """What is wrong with the columns of a key, a sentence each."""
    allowed = ", ".join(key_columns)
    problems = [
        f"{name!r} is not a key column; allowed: {allowed}"
        for name in dict.fromkeys(names)
        if name not in key_columns
    ]
    return problems + [
        f"key column {name} is missing; needed: {allowed}"
        for name in key_columns
        if name not in names
    ]


class UnfitKeys(InputError):
    """Keys that do not fit a table.

    Attributes:
        wrong: of each problem the position of its key, its column (empty: of the whole key), and
            the sentence.
    """

    def __init__(self, wrong: Sequence[tuple[int, str, str]], hint: str | None = None) -> None:
        self.wrong = tuple(wrong)
        super().__init__([problem for _, _, problem in self.wrong], hint)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.wrong, self.hint)


def convert_key(key: Mapping[str, Any], types: Mapping[str, pa.DataType]) -> tuple[Any, ...]:
    """The key's values in the order and the types of the key columns, as `convert_keys` gives
    them.

    Runs on: driver
    """
    return convert_keys([key], types)[0]


def convert_keys(
    keys: Sequence[Mapping[str, Any]], types: Mapping[str, pa.DataType]
) -> list[tuple[Any, ...]]:
    """The values of each key in the order and the types of the key columns.

    Args:
        keys: column to value; text is converted, other values must fit the type.
        types: Arrow type of each key column, in order.

    Runs on: driver | service

    Raises:
        UnfitKeys: columns missing or unknown, nulls, values that cannot be converted; every problem
            in one error.
    """
    converted: list[tuple[Any, ...]] = []
    wrong: list[tuple[int, str, str]] = []
    for place, key in enumerate(keys):
        if key.keys() != types.keys():
            told = compare_names(list(key), list(types))
            wrong += [(place, "", f"key {dict(key)}: {problem}") for problem in told]
        values: list[Any] = []
        for name, type_ in types.items():
            if name in key:
                try:
                    values.append(convert_value(name, key[name], type_))
                except InputError as error:
                    wrong += [(place, name, problem) for problem in error.problems]
        converted.append(tuple(values))
    if wrong:
        raise UnfitKeys(wrong)
    return converted


def convert_value(name: str, value: Any, type_: pa.DataType) -> Any:
    """One value of a key column in its type.

    Runs on: driver

    Raises:
        InputError: null, or a value that cannot be converted.
    """
    try:
        return _convert(value, type_)
    except (ValueError, TypeError, InvalidOperation, OverflowError) as error:
        raise InputError(
            f"key column {name}: got {value!r} ({error}); allowed: {_allowed(type_)}"
        ) from error


def _split(text: str, key_columns: Sequence[str]) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    place = 0
    while True:
        equals = text.find("=", place)
        if equals < 0:
            allowed = f"column=value, separated by commas; columns: {', '.join(key_columns)}"
            raise ConfigError(
                f"--key {text!r}: no `=` in {text[place:]!r}; allowed: {allowed}",
                _key_looks(key_columns),
            )
        value, end = _take_value(text, equals + 1)
        pairs.append((text[place:equals].strip(), value))
        if end >= len(text):
            return pairs
        place = end + 1


def _take_value(text: str, start: int) -> tuple[str, int]:
    """The value that begins at `start`, and the place of the comma after it (or the end)."""
    if not text.startswith('"', start):
        end = text.find(",", start)
        end = len(text) if end < 0 else end
        return text[start:end], end
    place = start + 1
    while True:
        quote = text.find('"', place)
        if quote < 0:
            raise ConfigError(
                f'--key {text!r}: a quote is not closed; allowed: "a,b", and two quotes for a '
                "quote inside"
            )
        if not text.startswith('"', quote + 1):
            break
        place = quote + 2
    if quote + 1 < len(text) and text[quote + 1] != ",":
        raise ConfigError(
            f"--key {text!r}: got {text[quote + 1 :]!r} after a closing quote; allowed: a comma, "
            "or the end"
        )
    return text[start + 1 : quote].replace('""', '"'), quote + 1


def _convert(value: Any, type_: pa.DataType) -> Any:
    if value is None:
        raise TypeError("null")
    if kinds.is_string(type_) or kinds.is_large_string(type_):
        if not isinstance(value, str):
            raise TypeError("not text")
        # A lone surrogate is no text that a table could hold.
        value.encode()
        return value
    if kinds.is_boolean(type_):
        return _to_bool(value)
    if kinds.is_integer(type_):
        return _to_int(value, type_)
    if kinds.is_floating(type_):
        return _to_float(value)
    if kinds.is_decimal(type_):
        return _to_decimal(value, type_)
    if kinds.is_date(type_):
        return _to_date(value)
    if kinds.is_timestamp(type_):
        return _to_timestamp(value, type_)
    if kinds.is_binary(type_):
        return bytes.fromhex(value) if isinstance(value, str) else bytes(memoryview(value))
    raise TypeError("a type that no key can have")


def _to_bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise ValueError("no boolean")


def _to_int(value: Any, type_: pa.DataType) -> int:
    if isinstance(value, str):
        if not _WHOLE.fullmatch(value):
            raise ValueError("no whole number")
        value = int(value)
    if isinstance(value, bool) or value != int(value):
        raise ValueError("no whole number")
    # Not by `pa.scalar`, which imports pandas: this is all that a service asks of a key.
    signed = kinds.is_signed_integer(type_)
    half = 1 << (type_.bit_width - signed)
    if not -half * signed <= (whole := int(value)) < half:
        raise ValueError("out of range")
    return whole


def _to_float(value: Any) -> float:
    if isinstance(value, str):
        if not _NUMBER.fullmatch(value):
            raise ValueError("no number")
        value = float(value)
    if isinstance(value, bool) or not math.isfinite(value):
        raise ValueError("no number")
    return float(value)


def _to_decimal(value: Any, type_: pa.DataType) -> Decimal:
    if isinstance(value, bool) or (isinstance(value, str) and not _NUMBER.fullmatch(value)):
        raise ValueError("no number")
    try:
        return pa.scalar(Decimal(str(value)), type_).as_py()
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise ValueError("does not fit") from error


def _to_date(value: Any) -> datetime.date:
    if isinstance(value, str):
        return datetime.date.fromisoformat(value)
    if isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
        return value
    raise TypeError("no date")


def _to_timestamp(value: Any, type_: pa.DataType) -> datetime.datetime:
    if isinstance(value, str):
        value = datetime.datetime.fromisoformat(value.replace("Z", "+00:00").replace("z", "+00:00"))
    if not isinstance(value, datetime.datetime):
        raise TypeError("no timestamp")
    if type_.tz is None:
        if value.tzinfo is not None:
            raise ValueError("a zone on a timestamp without one")
        return value
    if value.tzinfo is None:
        return value.replace(tzinfo=datetime.timezone.utc)
    return value.astimezone(datetime.timezone.utc)


def _allowed(type_: pa.DataType) -> str:
    if kinds.is_timestamp(type_):
        zone = "UTC where no zone is given" if type_.tz else "without a zone"
        return f"a timestamp such as 2026-11-20T13:45:00, {zone}"
    if kinds.is_date(type_):
        return "a date such as 2026-11-20"
    if kinds.is_binary(type_):
        return "bytes as hexadecimal digits"
    return "true or false" if kinds.is_boolean(type_) else f"a value of type {type_}"
