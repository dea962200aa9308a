"""Keys as they lie beside the rows of a layer in Redis: those of one write, compressed."""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Iterator, Sequence

# Of one write: so many rows, or so many bytes.
_WRITE_ROWS, _WRITE_BYTES = 10_000, 4 << 20


def write_pieces(
    keys: Sequence[bytes], values: Sequence[bytes]
) -> Iterator[tuple[Sequence[bytes], Sequence[bytes]]]:
    """Rows in writes of bounded size."""
    size = sum(map(len, values)) // max(len(values), 1) + 1
    step = max(1, min(_WRITE_ROWS, _WRITE_BYTES // size))
    for start in range(0, len(keys), step):
        yield keys[start : start + step], values[start : start + step]


def packed_keys(keys: Sequence[bytes]) -> bytes:
    """Keys of one write, compressed."""
    lengths = array("I", map(len, keys))
    return zlib.compress(array("I", [len(keys)]).tobytes() + lengths.tobytes() + b"".join(keys), 1)


def unpacked_keys(packed: bytes) -> list[bytes]:
    """The keys that were packed."""
    told, numbers = zlib.decompress(packed), array("I")
    [count] = array("I", told[: numbers.itemsize])
    at = numbers.itemsize * (count + 1)
    keys = list[bytes]()
    for length in array("I", told[numbers.itemsize : at]):
        keys.append(told[at : at + length])
        at += length
    return keys
