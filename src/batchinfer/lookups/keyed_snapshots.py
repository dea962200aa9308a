"""What a lookup needs to know of a table: its key, its columns, and which files may hold which
keys.

Owns a small cache: a served table is asked again and again, and its snapshot changes only when its
log does. Tables are opened as `lake.snapshots` opens them. Must not read rows (see `keyed_files`).
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
from deltalake import DeltaTable
from pyarrow.fs import FileSelector, FileSystem

from batchinfer.contracts import KEY_PROPERTY, SLICE
from batchinfer.errors import InputError, InputMissing
from batchinfer.lake.snapshots import (
    arrow_schema,
    file_actions,
    kept_rows,
    maps_columns,
    open_table,
)
from batchinfer.lake.table_places import open_filesystem, storage_faults
from batchinfer.lookups.keyed_files import Bounds, Key, KeyedFile, may_hold

_CACHED_TABLES = 16


@dataclass(frozen=True)
class TableFile:
    """One file of a table.

    Attributes:
        path: inside the file system.
        bounds: (smallest, greatest) value of each key column; None where the log does not tell.
    """

    path: str
    bounds: Bounds

    def may_hold(self, key: Key) -> bool:
        """False only if the file surely lacks the key."""
        return may_hold(self.bounds, key)


@dataclass
class Snapshot:
    """One version of a table, ready to be asked.

    Attributes:
        schema: all columns, partition columns included.
        key: names of the key columns.
        slices: files of each slice, the greatest slice first.
        opened: files that have been asked; a Parquet footer is read once.
    """

    uri: str
    version: int
    schema: pa.Schema
    key: tuple[str, ...]
    slices: dict[str, list[TableFile]]
    filesystem: FileSystem
    opened: dict[str, KeyedFile] = field(default_factory=dict)

    def key_types(self) -> dict[str, pa.DataType]:
        """Arrow type of each key column, in order."""
        return {name: self.schema.field(name).type for name in self.key}

    def file_schema(self) -> pa.Schema:
        """The columns that stand in files."""
        return self.schema.remove(self.schema.get_field_index(SLICE))

    def open_file(self, file: TableFile) -> KeyedFile:
        """The file, ready to be asked."""
        if file.path not in self.opened:
            self.opened[file.path] = KeyedFile(
                self.filesystem, file.path, self.file_schema(), self.key
            )
        return self.opened[file.path]


_cache: OrderedDict[str, tuple[Any, Snapshot]] = OrderedDict()
_cache_lock = threading.Lock()


def open_snapshot(uri: str) -> Snapshot:
    """The latest snapshot of a table; from memory, if its log has not changed.

    Runs on: driver

    Raises:
        InputMissing: there is no table.
        InputError: a table that is not read by key, or with deletion vectors or column mapping.
        TableTooNew: a newer build has made it.
        StorageError: its log cannot be read.
    """
    filesystem, root = open_filesystem(uri)
    newest = _newest_commit(uri, filesystem, root)
    with _cache_lock:
        known = _cache.get(root)
        if known is not None and known[0] == newest:
            _cache.move_to_end(root)
            return known[1]
    snapshot = _read(uri, filesystem, root)
    with _cache_lock:
        _cache[root] = (newest, snapshot)
        while len(_cache) > _CACHED_TABLES:
            _cache.popitem(last=False)
    return snapshot


def _newest_commit(uri: str, filesystem: FileSystem, root: str) -> tuple[str, int | None]:
    """Name and time of the newest commit: another commit, or another table in its place, changes
    them.
    """
    with storage_faults(uri, "read the table's log"):
        entries = filesystem.get_file_info(FileSelector(f"{root}/_delta_log", allow_not_found=True))
    commits = [
        entry
        for entry in entries
        if entry.base_name.endswith(".json") and entry.base_name[:20].isdigit()
    ]
    if not commits:
        raise InputMissing(f"{uri}: there is no Delta table")
    newest = max(commits, key=lambda entry: entry.base_name)
    return newest.base_name, newest.mtime_ns


def _read(uri: str, filesystem: FileSystem, root: str) -> Snapshot:
    table = open_table(uri)
    schema, key = arrow_schema(table), table_key(uri, table)
    with storage_faults(uri, "list the table's files"):
        slices = _files_by_slice(table, root, key)
    return Snapshot(uri, table.version(), schema, key, slices, filesystem)


def table_key(uri: str, table: DeltaTable) -> tuple[str, ...]:
    """Names of the key columns of a predictions table, from its own properties.

    Runs on: driver

    Raises:
        InputError: a table that is not read by key, or with deleted rows or column mapping.
        StorageError: a deletion vector cannot be read.
    """
    if maps_columns(table):
        raise InputError(
            f"{uri}: the table maps column names; tables without column mapping are read by key"
        )
    if kept_rows(table):
        raise InputError(
            f"{uri}: rows of the table were deleted by deletion vectors; tables without them are "
            "read by key"
        )
    metadata, names = table.metadata(), arrow_schema(table).names
    named = metadata.configuration.get(KEY_PROPERTY)
    key = tuple(name for name in (named or "").split(",") if name)
    if not key or not set(key) <= set(names) or SLICE not in metadata.partition_columns:
        raise InputError(
            f"{uri}: not a table that is read by key: property {KEY_PROPERTY} is {named!r}; "
            f"needed: the key columns, among {', '.join(names)}, and partitions by {SLICE}"
        )
    return key


def _files_by_slice(table: DeltaTable, root: str, key: Sequence[str]) -> dict[str, list[TableFile]]:
    actions = file_actions(table)

    def column(name: str) -> list[Any]:
        return (
            actions[name].to_pylist() if name in actions.column_names else [None] * actions.num_rows
        )

    slices: dict[str, list[TableFile]] = {}
    bounds = [list(zip(column(f"min.{name}"), column(f"max.{name}"), strict=True)) for name in key]
    for place, (path, value) in enumerate(
        zip(column("path"), column(f"partition.{SLICE}"), strict=True)
    ):
        known = tuple(pair[place] if None not in pair[place] else None for pair in bounds)
        # A null slice is below every other.
        slices.setdefault("" if value is None else str(value), []).append(
            TableFile(f"{root}/{unquote(path)}", known)
        )
    return {name: slices[name] for name in sorted(slices, reverse=True)}
