"""What a Parquet file's schema says that Arrow does not tell: columns of types that it refuses the
whole file for, and columns whose values have no type.

Owns reading the schema off the file's last bytes. Must not know how rows are read.

Source: Parquet format, "File Format" and parquet.thrift; Apache Thrift, "Thrift Compact protocol
encoding".
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from typing import Any

# Fields of the footer and of an element of its schema; the kind of bytes of one length.
_SCHEMA, _KIND, _LENGTH, _NAME, _CHILDREN, _CONVERTED, _LOGICAL = 2, 1, 2, 4, 5, 6, 10
_FIXED, _WIDE_BYTES = 7, 16
_TRUE, _FALSE, _BYTE, _DOUBLE, _TEXT, _LIST, _SET, _MAP, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 11, 12
_MOST_BYTES = 64 * 2**20
_GROUP = re.compile(
    r"^( *)\S+ group field_id=\S+ (.+?)(?: \((Variant|List|Map)(?:\(\d+\))?\))? \{$"
)


def wide_integers(path: str) -> list[str]:
    """The columns that are whole numbers of 128 bits, of a file that Arrow refuses for such ones;
    none, where the footer cannot be read.

    Polars writes them as bare bytes, and says what they are in a schema of Arrow's own.
    """
    try:
        schema: list[dict[int, Any]] = _footer(path)[_SCHEMA]
        return [".".join(column) for column, element in _columns(schema) if _is_wide(element)]
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError):
        # The file is refused anyway; only the columns' names are missing then.
        return []


def variants(schema: str) -> list[str]:
    """The columns that are VARIANT, or hold such values.

    Args:
        schema: as pyarrow prints a Parquet schema.
    """
    found: dict[str, None] = {}
    column = ""
    for line in schema.splitlines():
        group = _GROUP.match(line)
        if group is None:
            continue
        if len(group[1]) == 2:
            column = group[2]
        if group[3] == "Variant":
            found[column] = None
    return list(found)


def _is_wide(element: dict[int, Any]) -> bool:
    bare = _LOGICAL not in element and _CONVERTED not in element
    return bare and (element.get(_KIND), element.get(_LENGTH)) == (_FIXED, _WIDE_BYTES)


def _columns(
    schema: list[dict[int, Any]],
) -> Iterator[tuple[list[str], dict[int, Any]]]:
    """Paths of all elements but the root, in their order."""
    rest = iter(schema)

    def below(path: list[str], count: int) -> Iterator[tuple[list[str], dict[int, Any]]]:
        for _ in range(count):
            element = next(rest)
            inner = [*path, element[_NAME].decode()]
            yield inner, element
            yield from below(inner, element.get(_CHILDREN, 0))

    root = next(rest)
    yield from below([], root.get(_CHILDREN, 0))


def _footer(path: str) -> dict[int, Any]:
    with open(path, "rb") as file:
        size = file.seek(-8, os.SEEK_END)
        length = int.from_bytes(file.read(4), "little")
        if file.read(4) != b"PAR1" or not 0 < length <= min(size, _MOST_BYTES):
            raise ValueError("no footer")
        file.seek(size - length)
        return _struct(io.BytesIO(file.read(length)))


def _struct(data: io.BytesIO) -> dict[int, Any]:
    found: dict[int, Any] = {}
    last = 0
    while head := data.read(1)[0]:
        kind, step = head & 0x0F, head >> 4
        last = last + step if step else _zigzag(_varint(data))
        found[last] = kind == _TRUE if kind in (_TRUE, _FALSE) else _value(data, kind)
    return found


def _value(data: io.BytesIO, kind: int) -> Any:
    if kind == _STRUCT:
        return _struct(data)
    if kind in (_LIST, _SET):
        head = data.read(1)[0]
        count = head >> 4 if head >> 4 < 15 else _varint(data)
        return [_value(data, head & 0x0F) for _ in range(count)]
    if kind == _TEXT:
        return data.read(_varint(data))
    if kind == _DOUBLE:
        return data.read(8)
    if kind in (_TRUE, _FALSE, _BYTE):
        return data.read(1)[0]
    if kind == _MAP:
        raise ValueError("footers have no maps")
    return _zigzag(_varint(data))


def _varint(data: io.BytesIO) -> int:
    value = shift = 0
    while True:
        byte = data.read(1)[0]
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value


def _zigzag(value: int) -> int:
    return (value >> 1) ^ -(value & 1)
