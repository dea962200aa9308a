"""Steps that clean values, in place: `trim`, `lower`, `replace`, `map`, `cast`.

Owns what each does to a value. None is fitted. Text is changed once per distinct value. Missing
stays missing, and the empty string stays a value: only `cast` and `map` may make a value missing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from batchinfer.transforms.column import (
    CATEGORIES,
    TEXT,
    Coded,
    Column,
    arrow_column,
    coded,
    is_arrow,
    kind,
    numbers,
    recoded,
)
from batchinfer.transforms.step import Fields, Json, RowStep, State, StepProblem


class _Text(RowStep):
    """A step that changes the distinct values of text columns."""

    accepts: ClassVar[tuple[str, ...]] = TEXT

    def changed_value(self, values: pa.Array) -> pa.Array:
        """The changed value of each distinct value."""
        raise NotImplementedError(type(self).__name__)

    def transform(self, frame: dict[str, Column], prepared: Any) -> None:
        for name in self.columns:
            column = coded(frame[name])
            frame[name] = recoded(column, self.changed_value(column.values))


class Trim(_Text):
    """Removes white space, as Unicode defines it, from both ends."""

    name: ClassVar[str] = "trim"

    def changed_value(self, values: pa.Array) -> pa.Array:
        return pc.call_function("utf8_trim_whitespace", [values])


class Lower(_Text):
    """Lower case, character by character; no character becomes two."""

    name: ClassVar[str] = "lower"

    def changed_value(self, values: pa.Array) -> pa.Array:
        return pc.call_function("utf8_lower", [values])


class Replace(_Text):
    r"""Replaces every match of `pattern` (RE2 syntax) by `with`, where `$1` or `\1` stands for the
    first group.

    `$0` is the whole match, `\$` a dollar sign before a digit.

    Attributes:
        pattern: a regular expression in RE2 syntax.
        with: what stands in place of each match; `$1` is the first group.
    """

    name: ClassVar[str] = "replace"

    pattern: str = Field(min_length=1)
    with_: str = Field(alias="with")

    @model_validator(mode="after")
    def _compiles(self) -> Replace:
        try:
            self.changed_value(pa.nulls(1, pa.string()))
        except pa.ArrowInvalid as error:
            got = f"got pattern {self.pattern!r}, with {self.with_!r}"
            raise ValueError(
                f"{got}; allowed: a regular expression in RE2 syntax, and the groups that it has "
                f"({error})"
            ) from error
        return self

    def changed_value(self, values: pa.Array) -> pa.Array:
        replacement = re.sub(r"(?<!\\)\$([0-9])", r"\\\1", self.with_).replace("\\$", "$")
        options = pc.ReplaceSubstringOptions(pattern=self.pattern, replacement=replacement)
        return pc.call_function("replace_substring_regex", [values], options)


Scalar = bool | int | float | str


class Map(RowStep):
    """Other values for given ones. A value that is not listed becomes `default`, or without one
    stays (text) or is missing.

    If all new values are text the column becomes text, otherwise double (a bool counts as 1 or 0).
    Missing stays missing. For integers and bools the listed values may also be written as text
    ("1", "true"), since JSON has no other keys.

    Attributes:
        values: a new value for each of these.
        default: the new value of all others; without it text stays, and anything else is missing.
    """

    name: ClassVar[str] = "map"
    accepts: ClassVar[tuple[str, ...]] = CATEGORIES

    values: dict[bool | int | str, Scalar] = Field(min_length=1)
    default: Scalar | None = None

    @property
    def _given(self) -> list[Scalar]:
        return [*self.values.values(), *([] if self.default is None else [self.default])]

    @property
    def _to_text(self) -> bool:
        return isinstance(self._given[0], str)

    @model_validator(mode="after")
    def _one_kind(self) -> Map:
        texts = {isinstance(value, str) for value in self._given}
        infinite = any(
            isinstance(value, float) and not math.isfinite(value) for value in self._given
        )
        if len(texts) > 1 or infinite:
            raise ValueError(
                f"new values: got {self._given}; allowed: all text, or all finite numbers"
            )
        return self

    def output_fields(self, fields: Mapping[str, pa.DataType], state: State = None) -> Fields:
        result = super().output_fields(fields, state)
        problems = []
        for name in self.columns:
            wrong = [key for key in self.values if _key(key, kind(fields[name])) is None]
            if wrong:
                problems.append(
                    f"map: column '{name}' is {fields[name]}; got the value {wrong[0]!r}; allowed: "
                    "values of that type"
                )
        if problems:
            raise StepProblem(problems)
        return result

    def changed_type(self, before: pa.DataType, state: Json) -> pa.DataType:
        return pa.string() if self._to_text else pa.float64()

    def transform(self, frame: dict[str, Column], prepared: Any) -> None:
        for name in self.columns:
            column = coded(frame[name])
            of = kind(column.values.type)
            known = {_key(key, of): value for key, value in self.values.items()}
            stays = self._to_text and self.default is None and of == "text"
            new = [
                known.get(value, value if stays else self.default)
                for value in column.values.to_pylist()
            ]
            if self._to_text:
                frame[name] = recoded(column, pa.array(new, pa.string()))
            else:
                table = np.array(
                    [math.nan if value is None else value for value in [*new, None]], np.float64
                )
                frame[name] = table[column.codes]


def _key(key: bool | int | str, of: str) -> Any:
    """A listed value as a value of the column's kind, or None if it cannot be one."""
    if of == "integer":
        whole = isinstance(key, int) and not isinstance(key, bool)
        return (
            int(key) if whole or (isinstance(key, str) and re.fullmatch(r"-?[0-9]+", key)) else None
        )
    if of == "bool":
        return (
            key if isinstance(key, bool) else {"true": True, "false": False}.get(str(key).lower())
        )
    return key if isinstance(key, str) or of == "unknown" else None


CastType = Literal["string", "int", "bigint", "float", "double", "boolean"]
_CAST: dict[str, pa.DataType] = {
    "string": pa.string(),
    "int": pa.int32(),
    "bigint": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
}
_WHOLE = r"^[+-]?[0-9]{1,18}$"
_DECIMAL = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?$"


class Cast(RowStep):
    """Another type: string, int, bigint, float, double or boolean. What cannot be read as that type
    becomes missing.

    From text, after trimming: whole numbers of up to 18 digits; decimals with an exponent; true,
    false, 1, 0 in any case. Fractions are cut off toward zero by int and bigint, and what lies
    outside their range is missing; boolean is "not 0". Numbers that are infinite or missing have no
    text, no whole number and no boolean.

    Attributes:
        type: the new type.
    """

    name: ClassVar[str] = "cast"
    accepts: ClassVar[tuple[str, ...]] = (*CATEGORIES, "float")

    type: CastType

    def undo(self, state: Json) -> list[Json]:
        return []

    def changed_type(self, before: pa.DataType, state: Json) -> pa.DataType:
        return _CAST[self.type]

    def transform(self, frame: dict[str, Column], prepared: Any) -> None:
        for name in self.columns:
            column = frame[name]
            if isinstance(column, Coded) or (is_arrow(column) and kind(column.type) == "text"):
                categories = coded(column)
                column = arrow_column(
                    recoded(categories, _read(categories.values, self.type)), _CAST[self.type]
                )
            else:
                column = _converted(column, _CAST[self.type])
            frame[name] = column


def _read(values: pa.Array, to: str) -> pa.Array:
    """Text as `to`, null where it cannot be read."""
    if to == "string":
        return values
    trimmed = pc.call_function("utf8_trim_whitespace", [values])
    if to == "boolean":
        lowered = pc.call_function("utf8_lower", [trimmed])
        known = {"true": True, "1": True, "false": False, "0": False}
        return pa.array([known.get(text) for text in lowered.to_pylist()], pa.bool_())
    pattern = _WHOLE if to in ("int", "bigint") else _DECIMAL
    readable = pc.call_function(
        "match_substring_regex", [trimmed], pc.MatchSubstringOptions(pattern=pattern)
    )
    texts = pc.call_function("if_else", [readable, trimmed, pa.scalar(None, pa.string())])
    # Arrow reads no leading plus sign.
    texts = pc.call_function("utf8_ltrim", [texts], pc.TrimOptions(characters="+"))
    return _converted(texts.cast(pa.int64() if pattern == _WHOLE else pa.float64()), _CAST[to])


def _converted(column: Column, type_: pa.DataType) -> pa.Array:
    """Numbers or bools as `type_`, null where they have no value of it."""
    array = column if is_arrow(column) else arrow_column(column, pa.float64())
    if type_ == pa.float64() or type_ == pa.float32():
        return pa.array(numbers(array), mask=np.isnan(numbers(array))).cast(type_)
    if kind(array.type) == "float":
        values = numbers(array)
        array = pa.array(values, mask=~np.isfinite(values))
        if type_ in (pa.int32(), pa.int64()):
            array = _whole(np.trunc(values), type_)
    elif type_ == pa.int32() and kind(array.type) == "integer":
        array = (
            _whole(array.to_numpy(zero_copy_only=False), type_)
            if array.null_count == 0
            else _whole(numbers(array), type_)
        )
    return array.cast(type_)


def _whole(values: np.ndarray, type_: pa.DataType) -> pa.Array:
    bits = type_.bit_width - 1
    with np.errstate(invalid="ignore"):
        inside = (values >= -(2.0**bits)) & (values < 2.0**bits)
    return pa.array(np.where(inside, values, 0).astype(np.int64), mask=~inside)
