"""Looks predictions up in a Delta table by key: newest slice first, and only in row groups that may
hold the key.

Owns the search. Must not know where keys come from (see `key_values`) nor how a snapshot is found
(see `keyed_snapshots`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds

from batchinfer.checked_parquet import page_checks
from batchinfer.contracts import SERVED, SLICE
from batchinfer.errors import InputError, StorageError
from batchinfer.lake.table_places import reading_faults
from batchinfer.lookups.key_values import convert_key
from batchinfer.lookups.keyed_snapshots import Snapshot, TableFile, open_snapshot
from batchinfer.lookups.told_rows import json_value

Key = tuple[Any, ...]
# Up to here every key is its own condition, which prunes row groups best; above, sets of values do.
_EXACT_KEYS = 32


def key_columns(table_uri: str) -> tuple[str, ...]:
    """Names of the key columns of a predictions table, from its own properties.

    Runs on: driver

    Raises:
        InputMissing: there is no table.
        InputError: a table that is not read by key.
    """
    return open_snapshot(table_uri).key


def lookup_rows(
    table_uri: str, keys: Sequence[Mapping[str, Any]], as_of: str | None = None
) -> list[dict[str, Any] | None]:
    """The served row of each key in the greatest slice that has one; None where no slice has.

    Args:
        table_uri: of a predictions table.
        keys: column to value, every key column in each; text is converted to the column's type.
        as_of: only slices up to and including this one, in the order of text.

    Returns:
        In the order of `keys`: all columns of the row, as JSON values (bytes as hexadecimal digits,
            times as ISO text).

    Runs on: driver

    Raises:
        InputMissing: there is no table.
        InputError: a table that is not read by key, or keys that do not fit it; every problem in
            one error.
        StorageError: the table cannot be read.
    """
    snapshot = open_snapshot(table_uri)
    wanted = _convert_keys(keys, snapshot)
    try:
        found = _search(snapshot, set(wanted), as_of)
    except FileNotFoundError:
        # VACUUM took a file of the snapshot while it was being searched: the table has moved on.
        found = _search_again(table_uri, set(wanted), as_of)
    return [found.get(key) for key in wanted]


def _convert_keys(keys: Sequence[Mapping[str, Any]], snapshot: Snapshot) -> list[Key]:
    types = snapshot.key_types()
    wanted: list[Key] = []
    problems: list[str] = []
    for key in keys:
        try:
            wanted.append(convert_key(key, types))
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    return wanted


def _search_again(table_uri: str, wanted: set[Key], as_of: str | None) -> dict[Key, dict[str, Any]]:
    try:
        return _search(open_snapshot(table_uri), wanted, as_of)
    except FileNotFoundError as error:
        raise StorageError(f"{table_uri}: a file of the table is missing: {error}") from error


def _search(snapshot: Snapshot, wanted: set[Key], as_of: str | None) -> dict[Key, dict[str, Any]]:
    missing = set(wanted)
    found: dict[Key, dict[str, Any]] = {}
    for slice_, files in snapshot.slices.items():
        if not missing:
            break
        if as_of is not None and slice_ > as_of:
            continue
        for file in files:
            candidates = [key for key in missing if file.may_hold(key)]
            if candidates:
                rows = _read(snapshot, file, candidates, slice_ or None)
                found |= rows
                missing -= rows.keys()
    return found


def _read(
    snapshot: Snapshot, file: TableFile, keys: Sequence[Key], slice_: str | None
) -> dict[Key, dict[str, Any]]:
    """The served rows of these keys in one file."""
    schema = snapshot.schema.remove(snapshot.schema.get_field_index(SLICE))
    condition = _condition(snapshot.key, keys)
    if SERVED in schema.names:
        condition &= ds.field(SERVED) == pa.scalar(True)
    try:
        with reading_faults(file.path):
            rows = snapshot.fragment(file).to_table(
                schema=schema, filter=condition, fragment_scan_options=page_checks()
            )
    except StorageError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            raise error.__cause__ from None
        raise
    asked = set(keys)
    columns = [rows[name].to_pylist() for name in snapshot.key]
    places = {key: place for place, key in enumerate(zip(*columns, strict=True)) if key in asked}
    taken = rows.take(pa.array(list(places.values()), pa.int64())).to_pylist(
        maps_as_pydicts="lossy"
    )
    return {key: _to_json(snapshot, row, slice_) for key, row in zip(places, taken, strict=True)}


def _condition(names: Sequence[str], keys: Sequence[Key]) -> ds.Expression:
    if len(keys) > _EXACT_KEYS:
        # A superset where the key has several columns; exact keys are picked out afterwards.
        return _all(
            [
                ds.field(name).isin(list({key[place] for key in keys}))
                for place, name in enumerate(names)
            ]
        )
    exact = [
        _all([ds.field(name) == value for name, value in zip(names, key, strict=True)])
        for key in keys
    ]
    condition = exact[0]
    for other in exact[1:]:
        condition |= other
    return condition


def _all(conditions: Sequence[ds.Expression]) -> ds.Expression:
    combined = conditions[0]
    for condition in conditions[1:]:
        combined &= condition
    return combined


def _to_json(snapshot: Snapshot, row: Mapping[str, Any], slice_: str | None) -> dict[str, Any]:
    return {
        name: slice_ if name == SLICE else json_value(row[name]) for name in snapshot.schema.names
    }
