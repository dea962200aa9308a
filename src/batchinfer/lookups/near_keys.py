"""A key that a table has, near to one that it has not: most keys that are absent are typed wrongly.

Owns what near means. Reads a bounded number of keys of one slice; a nearer one may stand elsewhere.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from decimal import Decimal
from difflib import SequenceMatcher
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds

from batchinfer.checked_parquet import check_file, page_checks
from batchinfer.errors import InputError
from batchinfer.lake.table_places import reading_faults
from batchinfer.lookups.key_values import convert_key
from batchinfer.lookups.keyed_snapshots import Snapshot, open_snapshot

_MOST_KEYS = 5_000
_EPOCH = datetime.date(1970, 1, 1).toordinal()

Key = tuple[Any, ...]


def near_key(
    table_uri: str, key: Mapping[str, Any], as_of: str | None = None
) -> dict[str, str] | None:
    """The key nearest to this one among the first of the newest slice, as `lookup` takes it; None
    where the slice has none, or its keys cannot be written as text.

    Args:
        table_uri: of a predictions table.
        key: column to value, one that fits the table's key columns.
        as_of: only slices up to and including this one.

    Runs on: driver

    Raises:
        InputMissing: there is no table.
        InputError: a table that is not read by key, or a key that does not fit it.
        StorageError: the table cannot be read.
    """
    snapshot = open_snapshot(table_uri)
    types = snapshot.key_types()
    asked = convert_key(key, types)
    slices = [name for name in snapshot.slices if as_of is None or name <= as_of]
    if not slices:
        return None
    distances = _Distances()
    found = min(
        _keys(snapshot, max(slices), asked),
        key=lambda one: distances.between(one, asked),
        default=None,
    )
    if found is None:
        return None
    told = {name: _text(value) for name, value in zip(types, found, strict=True)}
    try:
        return told if convert_key(told, types) == found else None
    except InputError:
        return None


def _keys(snapshot: Snapshot, slice_: str, asked: Key) -> Iterator[Key]:
    """Keys of a slice, those of files first that might hold the one that was asked for."""
    left = _MOST_KEYS
    files = sorted(snapshot.slices[slice_], key=lambda file: not file.may_hold(asked))
    for file in files:
        with reading_faults(file.path):
            check_file(snapshot.filesystem, file.path)
            fragment = ds.ParquetFileFormat().make_fragment(file.path, snapshot.filesystem)
            scanner = fragment.scanner(
                schema=snapshot.file_schema(),
                columns=list(snapshot.key),
                fragment_scan_options=page_checks(),
                batch_size=_MOST_KEYS,
            )
            rows: pa.Table = scanner.head(left)
        yield from zip(*(rows[name].to_pylist() for name in snapshot.key), strict=True)
        left -= rows.num_rows
        if left <= 0:
            return


class _Distances:
    """How far keys are from each other: of each column from 0 to 1, the first one counts most. A
    text that comes again is looked at once.
    """

    def __init__(self) -> None:
        self._of_texts: dict[tuple[str, str], float] = {}

    def between(self, one: Key, other: Key) -> tuple[float, ...]:
        return tuple(self._of(left, right) for left, right in zip(one, other, strict=True))

    def _of(self, left: Any, right: Any) -> float:
        if left == right:
            return 0.0
        if isinstance(left, str):
            pair = (left, right)
            if pair not in self._of_texts:
                ratio = SequenceMatcher(None, left.lower(), right.lower(), autojunk=False).ratio()
                # Another text, even if by its case alone, is not the same.
                self._of_texts[pair] = max(1 - ratio, 1e-6)
            return self._of_texts[pair]
        numbers = _number(left), _number(right)
        if numbers[0] is None or numbers[1] is None:
            return 1.0
        apart = abs(numbers[0] - numbers[1])
        return float(apart / (1 + apart))


def _number(value: Any) -> float | None:
    if isinstance(value, datetime.datetime):
        return value.timestamp()
    if isinstance(value, datetime.date):
        return float(value.toordinal() - _EPOCH)
    return float(value) if isinstance(value, int | float | Decimal) else None


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, datetime.date | datetime.datetime):
        return value.isoformat()
    return str(value).lower() if isinstance(value, bool) else str(value)
