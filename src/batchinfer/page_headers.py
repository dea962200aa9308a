"""How many values the pages of a Parquet column say they have.

Owns reading page headers, which no checksum covers. Arrow compares rows, and in a column of lists a
page of fewer values is a page of shorter lists.

Source: Thrift compact protocol specification; Parquet format, `PageHeader`.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

_HEADER_BYTES = 512
# Types of the compact protocol.
_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _STRUCT = 1, 2, 3, 7, 8, 12
_INTEGERS = (4, 5, 6)
# Fields of a page header, and of the header of a kind of page inside it.
_COMPRESSED_BYTES, _DATA, _DATA_V2, _VALUES = 3, 5, 8, 1
_DEEPEST = 16


def count_values(source: pa.NativeFile, start: int, size: int) -> int:
    """Values of all data pages of a column in a row group.

    Args:
        start, size: where its pages are.

    Raises:
        ValueError: something there is no page header.
    """
    values, place, end = 0, start, start + size
    while place < end:
        header, length = _read_header(source, place, end)
        for kind in (_DATA, _DATA_V2):
            if kind in header:
                page = header[kind] if isinstance(header[kind], dict) else {}
                values += _number(page, _VALUES)
        place += length + _number(header, _COMPRESSED_BYTES)
    if place != end:
        raise ValueError(f"its pages end at byte {place:,}, not {end:,}")
    return values


def _read_header(source: pa.NativeFile, place: int, end: int) -> tuple[dict[int, Any], int]:
    wanted = _HEADER_BYTES
    while True:
        reader = _Compact(source.read_at(min(wanted, end - place), place))
        try:
            return reader.struct(), reader.place
        except IndexError as error:
            # Statistics of long texts make long headers.
            if wanted >= end - place:
                raise ValueError("a page header that does not end") from error
            wanted *= 8


def _number(fields: dict[int, Any], field: int) -> int:
    value = fields.get(field)
    if type(value) is not int or value < 0:
        raise ValueError(f"a page header with {value!r} in field {field}")
    return value


class _Compact:
    """Reads one structure; what has no end in the bytes at hand is an IndexError."""

    def __init__(self, data: bytes) -> None:
        self.data, self.place = data, 0

    def struct(self, depth: int = 0) -> dict[int, Any]:
        if depth > _DEEPEST:
            raise ValueError("a page header of too many levels")
        fields: dict[int, Any] = {}
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._integer()
            fields[number] = self._value(head & 15, depth)
        return fields

    def _value(self, type_: int, depth: int) -> Any:
        if type_ in (_TRUE, _FALSE):
            return type_ == _TRUE
        if type_ == _BYTE:
            return self._byte()
        if type_ in _INTEGERS:
            return self._integer()
        if type_ == _DOUBLE:
            return self._skip(8)
        if type_ == _BINARY:
            return self._skip(self._varint())
        if type_ == _STRUCT:
            return self.struct(depth + 1)
        raise ValueError(f"a page header with a field of type {type_}")

    def _byte(self) -> int:
        self.place += 1
        return self.data[self.place - 1]

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
            if shift > 63:
                raise ValueError("a page header with a number of more than 64 bits")

    def _integer(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def _skip(self, count: int) -> None:
        self.place += count
        if self.place > len(self.data):
            raise IndexError
