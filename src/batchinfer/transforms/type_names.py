"""Arrow types as text and back, for the JSON of fitted transforms and for tasks sent to executors.

Owns the spelling, which is Arrow's own. Knows no step.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import pyarrow as pa

from batchinfer.transforms.column import plain_type

_TIMESTAMP = re.compile(r"timestamp\[(\w+), tz=(.+)\]")
_DECIMAL = re.compile(r"decimal(128|256)\((\d+), (-?\d+)\)")


def dump_type(type_: pa.DataType) -> str:
    """Arrow's spelling, such as `timestamp[us, tz=UTC]`; the several types of text are all
    `string`.
    """
    return str(plain_type(type_))


def load_type(text: str) -> pa.DataType:
    """The type that `dump_type` wrote.

    Raises:
        ValueError: no such type.
    """
    if found := _TIMESTAMP.fullmatch(text):
        return pa.timestamp(found[1], tz=found[2])
    if found := _DECIMAL.fullmatch(text):
        make = pa.decimal128 if found[1] == "128" else pa.decimal256
        return make(int(found[2]), int(found[3]))
    return pa.type_for_alias(text)


def dump_fields(fields: Mapping[str, pa.DataType], names: Sequence[str]) -> list[list[str]]:
    """[name, type] of the named columns, JSON-able."""
    return [[name, dump_type(fields[name])] for name in names]


def load_fields(pairs: Sequence[Sequence[str]]) -> dict[str, pa.DataType]:
    """The fields that `dump_fields` wrote, in their order."""
    return {name: load_type(text) for name, text in pairs}
