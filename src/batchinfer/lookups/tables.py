"""Looks predictions up in a Delta table by key: newest slice first, and only in row groups that may
hold the key.

Owns the search. Must not know where keys come from (see `key_values`), how a snapshot is found (see
`keyed_snapshots`) nor how files are read (see `file_reads`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from pyarrow.fs import LocalFileSystem

from batchinfer.contracts import SERVED, SLICE
from batchinfer.errors import StorageError
from batchinfer.lookups.file_reads import STORE_READS, read_files
from batchinfer.lookups.key_values import convert_keys
from batchinfer.lookups.keyed_files import Key
from batchinfer.lookups.keyed_snapshots import Snapshot, TableFile, open_snapshot
from batchinfer.lookups.told_rows import json_value

Rows = dict[Key, dict[str, Any]]


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
        UnfitKeys: keys that do not fit the table; every problem in one error.
        InputError: a table that is not read by key.
        DamagedFile: bytes of a file are not those that were written.
        StorageError: the table cannot be read.
    """
    snapshot = open_snapshot(table_uri)
    wanted = convert_keys(keys, snapshot.key_types())
    try:
        found = _search(snapshot, set(wanted), as_of)
    except FileNotFoundError:
        # VACUUM took a file of the snapshot while it was being searched: the table has moved on.
        found = _search_again(table_uri, set(wanted), as_of)
    return [found.get(key) for key in wanted]


def _search_again(table_uri: str, wanted: set[Key], as_of: str | None) -> Rows:
    try:
        return _search(open_snapshot(table_uri), wanted, as_of)
    except FileNotFoundError as error:
        raise StorageError(f"{table_uri}: a file of the table is missing: {error}") from error


def _search(snapshot: Snapshot, wanted: set[Key], as_of: str | None) -> Rows:
    missing = set(wanted)
    found: Rows = {}
    # What is found in a file is not looked for in the next ones; a store is asked of several.
    at_once = 1 if _is_local(snapshot) else STORE_READS
    for slice_, files in snapshot.slices.items():
        if as_of is not None and slice_ > as_of:
            continue
        waiting = [file for file in files if any(map(file.may_hold, missing))]
        for start in range(0, len(waiting), at_once):
            if not missing:
                return found
            rows = _read(snapshot, waiting[start : start + at_once], missing)
            found |= {key: _to_json(snapshot, row, slice_ or None) for key, row in rows.items()}
            missing -= rows.keys()
    return found


def _read(snapshot: Snapshot, files: Sequence[TableFile], keys: set[Key]) -> Rows:
    """The served rows of these keys in some files of a slice; of several, the first file's."""
    asked = [
        (file.path, partial(snapshot.open_file, file), some)
        for file in files
        if (some := [key for key in keys if file.may_hold(key)])
    ]
    found: Rows = {}
    for rows in reversed(read_files(asked, _is_local(snapshot))):
        found |= {key: row for key, row in rows if row.get(SERVED, True)}
    return found


def _is_local(snapshot: Snapshot) -> bool:
    return isinstance(snapshot.filesystem, LocalFileSystem)


def _to_json(snapshot: Snapshot, row: Mapping[str, Any], slice_: str | None) -> dict[str, Any]:
    return {
        name: slice_ if name == SLICE else json_value(row[name]) for name in snapshot.schema.names
    }
