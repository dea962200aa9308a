"""What a row has that no column takes, as one JSON text (`source.columns.rescue`).

Owns how values of any type are written in it. Must not know which columns a source declares.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from batchinfer.config.sources import Source
from batchinfer.contracts import RESCUED
from batchinfer.errors import InputError
from batchinfer.sources.json.values import Fraction, json_text

_HALF_PAIR = re.compile("[\ud800-\udfff]")


def is_rescued(source: Source, column: str) -> bool:
    """Whether a landed column is the one for what no column takes."""
    return column == RESCUED and source.columns.rescue


def with_rescued(source: Source, fields: Mapping[str, pa.DataType]) -> dict[str, pa.DataType]:
    """The columns of a source, with the one for what no column takes where the source asks for it.

    Raises:
        InputError: a column has its name already.
    """
    if not is_rescued(source, RESCUED):
        return {**fields}
    if taken := [name for name in fields if name.lower() == RESCUED]:
        raise InputError(
            f"the source has a column {taken[0]}, which source.columns: {{rescue: true}} makes; "
            "allowed: one of them, such as another name for the column in source.schema"
        )
    return {**fields, RESCUED: pa.string()}


def rescued_text(value: Any) -> str:
    """A value of `decode_document` as JSON; halves of surrogate pairs, which are no text, as they
    are escaped.
    """
    return _HALF_PAIR.sub(lambda half: f"\\u{ord(half[0]):04x}", json_text(value))


def rescued_columns(columns: Mapping[str, pa.Array], rows: int) -> pa.Array:
    """The values that columns have in each row, as JSON: string, null where they have none.

    Args:
        columns: typed, of so many `rows`.

    Runs on: executor.

    Raises:
        ValueError: a time that Python cannot hold.
    """
    left: list[dict[str, Any]] = [{} for _ in range(rows)]
    for name, values in columns.items():
        for row, value in zip(left, values.to_pylist(), strict=True):
            if value is not None:
                row[name] = _plain(value, values.type)
    return pa.array([rescued_text(row) if row else None for row in left], pa.string())


def _plain(value: Any, type_: pa.DataType) -> Any:
    """A value of Arrow as `json_text` takes it."""
    if value is None or isinstance(value, bool | str):
        return value
    if pa.types.is_list(type_):
        return [_plain(item, type_.value_type) for item in value]
    if pa.types.is_struct(type_):
        return {part.name: _plain(value[part.name], part.type) for part in type_}
    if pa.types.is_map(type_):
        return {
            str(_plain(key, type_.key_type)): _plain(item, type_.item_type) for key, item in value
        }
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, float):
        return Fraction(repr(value)) if math.isfinite(value) else str(value)
    if isinstance(value, int):
        return value
    if pa.types.is_decimal(type_):
        return Fraction(format(value, "f"))
    return value.isoformat()
