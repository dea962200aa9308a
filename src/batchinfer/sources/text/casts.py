"""Casts of text that keep the good values when some are bad.

Owns how the bad ones are found. Must not know what text a type accepts beyond Arrow's own rules.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from pyarrow import compute

# Its functions are generated at import, so type checkers do not see them.
pc: Any = compute


def cast_or_null(text: pa.Array, type_: pa.DataType) -> pa.Array:
    """The text cast by Arrow, null where it refuses a value."""
    try:
        return text.cast(type_)
    except pa.ArrowInvalid:
        refused = pa.array(_refused(pc.unique(text.drop_null()), type_), text.type)
        return pc.if_else(pc.is_in(text, value_set=refused), pa.scalar(None, text.type), text).cast(
            type_
        )


def _refused(values: pa.Array, type_: pa.DataType) -> list[str]:
    """Halves the distinct values until those that the cast refuses stand alone."""
    try:
        values.cast(type_)
    except pa.ArrowInvalid:
        if len(values) == 1:
            return values.to_pylist()
        half = len(values) // 2
        return _refused(values[:half], type_) + _refused(values[half:], type_)
    return []
