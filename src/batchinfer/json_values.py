"""Frozen values as JSON: how tasks and their results travel between driver and executors.

Owns the way in and the way out. A value is a dataclass of values, of settings, and of what JSON
knows; its fields say what is read back. Bytes are declared as `pydantic.Base64Bytes`.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import json
from functools import cache
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter

_T = TypeVar("_T")


def to_json(value: object) -> str:
    """The JSON of a value; numbers that are no numbers keep their names.

    Raises:
        TypeError: something that is neither a value nor known to JSON.
    """
    return json.dumps(value, default=_parts)


def from_json(type_: type[_T], text: str | bytes) -> _T:
    """The value of this type that `to_json` wrote.

    Raises:
        pydantic.ValidationError: the JSON is not of this type.
    """
    return as_value(type_, json.loads(text))


def as_value(type_: type[_T], parsed: Any) -> _T:
    """The value of this type from JSON that has been parsed."""
    return _reader(type_).validate_python(parsed)


@cache
def _reader(type_: Any) -> TypeAdapter[Any]:
    return TypeAdapter(type_)


def _parts(value: object) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True)
    if isinstance(value, dt.datetime):
        return value.isoformat()
    if isinstance(value, set | frozenset):
        return sorted(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(f"{type(value).__name__} does not travel as JSON")
