"""Finding the places of categories, and hashing them: prepared once, used on the distinct values of
each batch.

Owns the lookup table from value to place, and the stable hash. Knows no step.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.types as pt

from batchinfer.transforms.column import Coded, kind

if TYPE_CHECKING:
    import pyarrow.compute as pc

_FEW = 64
"""Up to so many distinct values a Python dict is quicker than Arrow's index_in, which builds its
table at each call.
"""


_PYTHON = {"text": str, "integer": int, "bool": bool}
"""What categories of each kind of column are."""


class Lookup:
    """Places of known categories of one type; -1 for a value that is not among them.

    Raises:
        TypeError: a category that is no value of the type.
    """

    def __init__(self, categories: Sequence[Any], type_: pa.DataType) -> None:
        _check_values(categories, type_)
        self._places = {category: place for place, category in enumerate(categories)}
        self._categories, self._type = categories, type_

    @cached_property
    def _options(self) -> pc.SetLookupOptions:
        # Of few values nobody asks for it, and to take Python's values Arrow imports pandas.
        import pyarrow.compute as pc

        return pc.SetLookupOptions(value_set=pa.array(self._categories, self._type))

    def places(self, values: pa.Array) -> np.ndarray:
        """(values,) int64."""
        if len(values) <= _FEW:
            return np.array([self._places.get(value, -1) for value in values.to_pylist()], np.int64)
        import pyarrow.compute as pc

        found = pc.call_function("index_in", [values.cast(self._type)], self._options)
        return found.fill_null(-1).to_numpy().astype(np.int64)

    def take(self, column: Coded, table: np.ndarray, unseen: Any, missing: Any) -> np.ndarray:
        """(rows,) of table's dtype: the table's entry for each row's category, `unseen` or
        `missing` where it has none.
        """
        places = self.places(column.values)
        entries = np.empty(len(places) + 1, table.dtype)
        entries[:-1] = np.where(places < 0, unseen, table[places]) if len(table) else unseen
        entries[-1] = missing  # which code -1 picks
        return entries[column.codes]


def _check_values(categories: Sequence[Any], type_: pa.DataType) -> None:
    """Raises TypeError for one that Arrow would not take as a value of the type: as soon as a state
    is read, and without Arrow, which imports pandas to look.
    """
    python = _PYTHON[kind(type_)]
    strange = [one for one in categories if type(one) is not python]
    if not strange and python is int:
        bounds = np.iinfo(f"{'u' if pt.is_unsigned_integer(type_) else 'i'}{type_.bit_width // 8}")
        strange = [one for one in categories if not bounds.min <= one <= bounds.max]
    if not strange and python is str:
        # Half of a surrogate pair, which JSON can hold.
        strange = [one for one in categories if one.encode(errors="ignore").decode() != one]
    if strange:
        raise TypeError(f"got the category {strange[0]!r}; allowed: values of {type_}")


def hashes(values: pa.Array) -> np.ndarray:
    """(values + 1,) uint64: a 64-bit hash of each value, and at the end that of a missing one.

    The same in all releases, whatever the integer's width: BLAKE2b, 8 bytes, little-endian, of a
    type tag (t text, i integer, b bool) and the value as UTF-8 text; a missing value is the tag n
    alone, so it differs from the empty string.
    """
    tag = {"text": b"t", "integer": b"i", "bool": b"b"}[kind(values.type)]
    is_text = tag == b"t"
    texts = [value.encode() if is_text else b"%d" % value for value in values.to_pylist()]
    digests = [blake2b(tag + text, digest_size=8).digest() for text in texts]
    digests.append(blake2b(b"n", digest_size=8).digest())
    return np.frombuffer(b"".join(digests), "<u8").astype(np.uint64)


def combined(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """uint64 hash of an ordered pair of hashes, elementwise with broadcasting.

    Source: the finaliser of SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number
    generators", 2014).
    """
    mixed = left * np.uint64(0x9E3779B97F4A7C15) + right
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
