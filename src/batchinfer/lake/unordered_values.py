"""Floating-point columns with values that have no place in an order that all readers share.

NaN, and -0.0 beside 0.0: readers compare rows with them alike, but take Parquet's statistics and
dictionaries of them differently, and skip rows that others show. Owns finding such columns. Must
not know who writes them, nor where.

Source: Parquet format, `Statistics` in parquet.thrift, on floating-point columns.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np
import pyarrow as pa
from pyarrow import types as kinds

# The bits of -0.0 are those of the least integer.
_INTEGERS = {2: np.dtype(np.int16), 4: np.dtype(np.int32), 8: np.dtype(np.int64)}


def unordered_columns(rows: pa.Table, known: Collection[str] = ()) -> set[str]:
    """Columns in which a value is NaN or -0.0, by their paths in Parquet; inside of structs too.

    Lists and maps are left out: no reader skips by them.

    Args:
        known: paths that need not be looked at.

    Runs on: executor
    """
    found: set[str] = set()
    for name, column in zip(rows.column_names, rows.columns, strict=True):
        for chunk in column.chunks:
            for path, values in _floating(name, chunk):
                if path not in found and path not in known and has_unordered(values):
                    found.add(path)
    return found


def _floating(path: str, values: pa.Array) -> Iterator[tuple[str, pa.Array]]:
    if kinds.is_floating(values.type):
        yield path, values
    elif kinds.is_struct(values.type):
        for place, field in enumerate(values.type):
            yield from _floating(f"{path}.{field.name}", values.field(place))


def has_unordered(values: pa.Array) -> bool:
    """Whether a value is NaN or -0.0; null is none."""
    if not _may_have(values):
        return False
    # Below a null there may be anything.
    return values.null_count == 0 or _may_have(values.drop_null())


def _may_have(values: pa.Array) -> bool:
    """The same, of what lies in memory: two passes that copy nothing."""
    buffer = values.buffers()[1]
    if not len(values) or buffer is None:
        return False
    kind = np.dtype(f"f{values.type.bit_width // 8}")
    numbers = np.frombuffer(buffer, kind, len(values), values.offset * kind.itemsize)
    least = numbers.min()
    if np.isnan(least):
        return True
    if least > 0:
        return False
    bits = numbers.view(_INTEGERS[kind.itemsize])
    return bool(bits.min() == np.iinfo(bits.dtype).min)
