"""One Parquet file of a table as lookups read it: which row groups may hold a key, in which of
their rows it stands, and those rows alone.

Owns how few bytes are decoded for a key. Of a row group that may hold it the key columns are read,
the others only if it does. Must not know tables, slices or which file comes first.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import compute
from pyarrow import types as kinds
from pyarrow.fs import FileSystem

from batchinfer.lookups.kept_footers import KeptFooter

# pyarrow makes these functions when it is imported; type checkers cannot see them.
pc: Any = compute

# So few values are compared one by one sooner than a set of them is made.
_FEW_VALUES = 12

Key = tuple[Any, ...]
Bounds = tuple[tuple[Any, Any] | None, ...]


def may_hold(bounds: Bounds, key: Key) -> bool:
    """False only if rows within these bounds surely lack the key.

    Args:
        bounds: (smallest, greatest) value of each key column; None where nothing tells.
    """
    return all(
        bound is None or bound[0] <= value <= bound[1]
        for bound, value in zip(bounds, key, strict=True)
    )


class KeyedFile:
    """A file that is asked again and again; its footer is kept. Threads may share it.

    Args:
        filesystem, path: where it is.
        schema: columns that rows are to have: those that the file lacks are null, other types
            are cast.
        key: names of the key columns.

    Raises:
        DamagedFile, FileNotFoundError, OSError, pa.ArrowException: as `KeptFooter`.
    """

    def __init__(
        self, filesystem: FileSystem, path: str, schema: pa.Schema, key: Sequence[str]
    ) -> None:
        self._file = KeptFooter(filesystem, path)
        self._key = tuple(key)
        # The others of the table are null here.
        self._types = {f.name: f.type for f in schema if f.name in self._file.schema.names}
        self._names = schema.names
        self._groups = _RowGroups.of(self._file, self._types, key)
        self._told: dict[int, dict[str, Any]] = {}

    def candidates(self, keys: Iterable[Key]) -> dict[int, list[Key]]:
        """Row groups that may hold some of these keys, in their order, and which."""
        found: dict[int, list[Key]] = {}
        for key in keys:
            for group in self._groups.that_may_hold(key):
                found.setdefault(group, []).append(key)
        return dict(sorted(found.items()))

    def find(self, asked: Mapping[int, Sequence[Key]]) -> list[tuple[Key, dict[str, Any]]]:
        """Every row of some keys in some row groups, in their order; every column but the file's
        own partition.

        Args:
            asked: of each row group the keys that it may hold, as `candidates` tells them.

        Raises:
            DamagedFile, FileNotFoundError, OSError, pa.ArrowException: as `KeptFooter.read`.
        """
        found: list[tuple[Key, dict[str, Any]]] = []
        if set(self._key) <= self._types.keys():
            with self._file.open() as file:
                for group, keys in asked.items():
                    found += self._find(file, group, keys)
        return found

    def _find(
        self, file: pq.ParquetFile, group: int, keys: Sequence[Key]
    ) -> list[tuple[Key, dict[str, Any]]]:
        columns = self._read(file, group, self._key)
        places = _places([columns[name] for name in self._key], keys)
        if not places:
            return []
        told = self._told_values(group)
        columns |= self._read(
            file, group, [name for name in self._types if name not in columns | told]
        )

        def value(name: str, place: int) -> Any:
            if name not in columns:
                return told.get(name)
            return columns[name][place].as_py(maps_as_pydicts="lossy")

        # Several columns were compared each for itself; Python compares whole keys.
        asked = {key: key for key in keys}
        found: list[tuple[Key, dict[str, Any]]] = []
        for place in places:
            key = asked.get(tuple(value(name, place) for name in self._key))
            if key is not None:
                found.append((key, {name: value(name, place) for name in self._names}))
        return found

    def _told_values(self, group: int) -> dict[str, Any]:
        """Of the columns that have one value in a row group, as far as the footer tells, it."""
        if group not in self._told:
            told = {
                name: self._file.one_value(group, name, type_)
                for name, type_ in self._types.items()
            }
            self._told[group] = {name: value for name, value in told.items() if value is not None}
        return self._told[group]

    def _read(self, file: pq.ParquetFile, group: int, names: Sequence[str]) -> dict[str, Any]:
        """These columns of a row group, of the table's types or as dictionaries of them."""
        if not names:
            return {}
        rows = self._file.read(file, group, names)
        return {
            name: column
            if _plain(column.type) == self._types[name]
            else column.cast(self._types[name])
            for name, column in zip(rows.column_names, rows.columns, strict=True)
        }


@dataclass(frozen=True)
class _RowGroups:
    """What a footer tells of the keys of each row group.

    Attributes:
        bounds: of the key columns, for each row group.
        lows, highs: of the first one, if both ascend from row group to row group, as they do in
            files that are sorted by key; else empty.
    """

    bounds: list[Bounds]
    lows: list[Any]
    highs: list[Any]

    @classmethod
    def of(
        cls, file: KeptFooter, types: Mapping[str, pa.DataType], key: Sequence[str]
    ) -> _RowGroups:
        bounds = [
            tuple(file.bounds(group, name, types[name]) if name in types else None for name in key)
            for group in range(file.metadata.num_row_groups)
        ]
        told = [first for first, *_ in bounds if first is not None]
        lows, highs = [low for low, _ in told], [high for _, high in told]
        if len(told) < len(bounds) or lows != sorted(lows) or highs != sorted(highs):
            lows, highs = [], []
        return cls(bounds, lows, highs)

    def that_may_hold(self, key: Key) -> Iterable[int]:
        if self.lows:
            groups = range(bisect_left(self.highs, key[0]), bisect_right(self.lows, key[0]))
        else:
            groups = range(len(self.bounds))
        return [group for group in groups if may_hold(self.bounds[group], key)]


def _plain(type_: pa.DataType) -> pa.DataType:
    return type_.value_type if kinds.is_dictionary(type_) else type_


def _places(columns: Sequence[pa.ChunkedArray], keys: Sequence[Key]) -> list[int]:
    """Places of the rows that may have one of these keys."""
    masks = [_is_any(column, {key[place] for key in keys}) for place, column in enumerate(columns)]
    found = reduce(pc.and_kleene, masks)
    # Arrow crashes on columns without chunks, as a row group without rows has them.
    return pc.indices_nonzero(found).to_pylist() if len(found) else []


def _is_any(column: pa.ChunkedArray, values: set[Any]) -> pa.ChunkedArray:
    wanted = pa.array(list(values), _plain(column.type))
    if len(wanted) <= _FEW_VALUES:
        return reduce(pc.or_kleene, [pc.equal(column, value) for value in wanted])
    if kinds.is_floating(wanted.type):
        # Sets tell -0.0 from 0.0; to add 0.0 makes both the same.
        column, wanted = pc.add(column, 0.0), pc.add(wanted, 0.0)
    return pc.is_in(column, value_set=wanted)
