"""Universal Binary JSON, as far as XGBoost writes it: read with every length held against the bytes
that there are.

Owns the reading. Knows no model. Source: the specification, draft 12, ubjson.org; numbers are
big-endian.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from batchinfer.errors import ModelError

_NUMBERS = {
    b"i": ">i1", b"U": ">u1", b"I": ">i2", b"l": ">i4", b"L": ">i8", b"d": ">f4", b"D": ">f8",
}  # fmt: skip
_WHOLE = (b"i", b"U", b"I", b"l", b"L")
_MOST_DEPTH = 32


def read_ubjson(data: bytes) -> Any:
    """What the bytes hold: dicts, lists, NumPy arrays of one type, texts and numbers.

    Raises:
        ModelError: the bytes are no such document, or end early.
    """
    reader = _Reader(data)
    value = reader.value(reader.marker(), 0)
    if reader.place != len(data):
        raise reader.damaged("more bytes behind its end")
    return value


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.place = 0

    def damaged(self, why: str) -> ModelError:
        return ModelError(f"damaged or cut off at byte {self.place}: {why}")

    def take(self, size: int) -> bytes:
        if size < 0 or size > len(self.data) - self.place:
            raise self.damaged(f"{size} bytes are said to follow, {len(self.data) - self.place} do")
        self.place += size
        return self.data[self.place - size : self.place]

    def marker(self) -> bytes:
        return self.take(1)

    def number(self, marker: bytes) -> Any:
        type_ = np.dtype(_NUMBERS[marker])
        return np.frombuffer(self.take(type_.itemsize), type_)[0].item()

    def length(self) -> int:
        marker = self.marker()
        if marker not in _WHOLE:
            raise self.damaged(f"a length of type {marker!r}")
        return self.number(marker)

    def text(self) -> str:
        try:
            return self.take(self.length()).decode()
        except UnicodeDecodeError as error:
            raise self.damaged(f"a text that is no UTF-8: {error.reason}") from error

    def value(self, marker: bytes, depth: int) -> Any:
        if depth > _MOST_DEPTH:
            raise self.damaged(f"nested deeper than {_MOST_DEPTH}")
        if marker in _NUMBERS:
            return self.number(marker)
        if marker == b"S":
            return self.text()
        if marker in (b"T", b"F"):
            return marker == b"T"
        if marker == b"Z":
            return None
        if marker == b"C":
            return self.take(1).decode("latin-1")
        if marker == b"{":
            return self._members(depth)
        if marker == b"[":
            return self._array(depth)
        raise self.damaged(f"a value of type {marker!r}")

    def _members(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while (first := self.marker()) != b"}":
            if first not in _WHOLE:
                raise self.damaged(f"a name whose length is of type {first!r}")
            self.place -= 1
            name = self.text()
            if name in found:
                raise self.damaged(f"the name {name!r} stands twice")
            found[name] = self.value(self.marker(), depth + 1)
        return found

    def _array(self, depth: int) -> Any:
        first = self.marker()
        if first == b"$":
            kind = self.marker()
            if kind not in _NUMBERS or self.marker() != b"#":
                raise self.damaged(f"an array of type {kind!r}")
            type_ = np.dtype(_NUMBERS[kind])
            return np.frombuffer(self.take(self.length() * type_.itemsize), type_)
        if first == b"#":
            return [self.value(self.marker(), depth + 1) for _ in range(self._count())]
        found: list[Any] = []
        while first != b"]":
            found.append(self.value(first, depth + 1))
            first = self.marker()
        return found

    def _count(self) -> int:
        count = self.length()
        if count < 0 or count > len(self.data) - self.place:  # a value has one byte at least
            raise self.damaged(f"{count} values are said to follow")
        return count


def is_ubjson(data: bytes) -> bool:
    """True if the bytes begin as an object does whose first name has a length."""
    return data[:1] == b"{" and data[1:2] in _WHOLE and len(data) > struct.calcsize(">q")
