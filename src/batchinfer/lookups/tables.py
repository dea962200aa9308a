"""Looks predictions up in a Delta table by key: newest slice first, and only in row groups that may
hold the key.

Owns the search. Must not know where keys come from (see `key_values`), how a snapshot is found (see
`keyed_snapshots`) nor how a file is read (see `keyed_files`).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from pyarrow.fs import LocalFileSystem

from batchinfer.contracts import SLICE
from batchinfer.errors import InputError, StorageError
from batchinfer.lake.table_places import reading_faults
from batchinfer.lookups.key_values import convert_key
from batchinfer.lookups.keyed_files import Key
from batchinfer.lookups.keyed_snapshots import Snapshot, TableFile, open_snapshot
from batchinfer.lookups.told_rows import json_value

Rows = dict[Key, dict[str, Any]]
_One = TypeVar("_One")
_Other = TypeVar("_Other")
# Row groups that are read at once: of local files decoding bounds it, of a store its answers.
_LOCAL_READS, _STORE_READS = 2, 16
# Fewer row groups of local files are read sooner than threads begin.
_FEW_READS = 4
# Runs of row groups of a local file that are read each by one thread, with the file opened once.
_RUNS = 16


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


def _search_again(table_uri: str, wanted: set[Key], as_of: str | None) -> Rows:
    try:
        return _search(open_snapshot(table_uri), wanted, as_of)
    except FileNotFoundError as error:
        raise StorageError(f"{table_uri}: a file of the table is missing: {error}") from error


def _search(snapshot: Snapshot, wanted: set[Key], as_of: str | None) -> Rows:
    missing = set(wanted)
    found: Rows = {}
    # What is found in a file is not looked for in the next ones; a store is asked of several.
    at_once = 1 if _is_local(snapshot) else _STORE_READS
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
    asked = [(file, [key for key in keys if file.may_hold(key)]) for file in files]

    def plan(one: tuple[TableFile, list[Key]]) -> list[tuple[TableFile, dict[int, list[Key]]]]:
        file, some = one
        with _file_faults(file.path):
            groups = list(snapshot.open_file(file).candidates(some).items())
        at_once = max(1, len(groups) // _RUNS) if _is_local(snapshot) else 1
        return [
            (file, dict(groups[start : start + at_once]))
            for start in range(0, len(groups), at_once)
        ]

    def find(one: tuple[TableFile, dict[int, list[Key]]]) -> Rows:
        file, groups = one
        with _file_faults(file.path):
            return snapshot.open_file(file).find(groups)

    reads = [
        read for some in _map(snapshot, plan, [one for one in asked if one[1]]) for read in some
    ]
    found: dict[str, Rows] = {}
    for (file, _), rows in zip(reads, _map(snapshot, find, reads), strict=True):
        found.setdefault(file.path, {}).update(rows)
    return {key: row for rows in reversed(found.values()) for key, row in rows.items()}


def _map(
    snapshot: Snapshot, work: Callable[[_One], _Other], items: Sequence[_One]
) -> Iterable[_Other]:
    """What the work makes of each; by threads where that is sooner."""
    local = _is_local(snapshot)
    if len(items) < (_FEW_READS if local else 2):
        return map(work, items)
    threads = min(len(items), _LOCAL_READS if local else _STORE_READS)
    with ThreadPoolExecutor(threads, thread_name_prefix="lookup") as pool:
        return list(pool.map(work, items))


def _is_local(snapshot: Snapshot) -> bool:
    return isinstance(snapshot.filesystem, LocalFileSystem)


@contextmanager
def _file_faults(path: str) -> Generator[None]:
    """As `reading_faults`; but a file that is gone is told as such: the table may have moved on."""
    try:
        with reading_faults(path):
            yield
    except StorageError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            raise error.__cause__ from None
        raise


def _to_json(snapshot: Snapshot, row: Mapping[str, Any], slice_: str | None) -> dict[str, Any]:
    return {
        name: slice_ if name == SLICE else json_value(row[name]) for name in snapshot.schema.names
    }
