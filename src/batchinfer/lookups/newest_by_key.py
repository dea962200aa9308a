"""The newest row of some keys in a Delta table of any writer: of the rows of a key the one that is
last by a column, and of those the last of the table.

Owns which files are asked first. Must not know what the rows mean.
"""

from __future__ import annotations

import datetime
import threading
from collections import OrderedDict
from collections.abc import Sequence, Set
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable
from pyarrow import compute
from pyarrow import types as kinds
from pyarrow.fs import FileSystem, LocalFileSystem

from batchinfer.config.uris import join
from batchinfer.errors import StorageError
from batchinfer.lake.snapshots import arrow_schema, file_actions
from batchinfer.lake.table_places import is_reachable, logged_path, open_filesystem, storage_faults
from batchinfer.lookups.file_reads import STORE_READS, KeyedRows, read_files
from batchinfer.lookups.keyed_files import Bounds, Key, KeyedFile, may_hold

# pyarrow makes these functions when it is imported; type checkers cannot see them.
pc: Any = compute

_KEPT_TABLES = 16
# Of columns that are mapped and rows that are deleted the caller has made sure.
_READ_FEATURES = {"timestampNtz", "columnMapping", "deletionVectors"}
# Writers cut the moments of statistics to milliseconds, downwards.
_CUT = datetime.timedelta(milliseconds=1)


@dataclass
class _File:
    """One file of a table.

    Attributes:
        path: inside the file system.
        bounds: of the key columns, as the log tells them.
        partition: the values that its rows have in partition columns.
        opened: once it has been asked; its footer is read once.
    """

    filesystem: FileSystem
    path: str
    bounds: Bounds
    partition: dict[str, Any]
    opened: KeyedFile | None = None

    def open(self, columns: pa.Schema, key: Sequence[str]) -> KeyedFile:
        if self.opened is None:
            self.opened = KeyedFile(self.filesystem, self.path, columns, key)
        return self.opened


# Files of a version of a table, the newest last. A served table is asked again and again.
_kept: OrderedDict[tuple[Any, ...], list[_File]] = OrderedDict()
_kept_lock = threading.Lock()


def is_read_by_key(uri: str, table: DeltaTable, key: Sequence[str]) -> bool:
    """Whether `newest_by_key` reads a table: its files are Arrow's to open, and have the key.

    Runs on: driver
    """
    features = set(table.protocol().reader_features or [])
    partitioned = set(table.metadata().partition_columns)
    return is_reachable(uri) and features <= _READ_FEATURES and not partitioned & set(key)


def newest_by_key(
    uri: str, table: DeltaTable, key: Sequence[str], wanted: Set[Key], order: str | None
) -> dict[Key, dict[str, Any]]:
    """The newest row of each key that the table has; all of its columns.

    Args:
        table: as `is_read_by_key` allows it, without column mapping and deleted rows.
        key: names of the key columns.
        order: the column whose greatest value is the newest, null above all; None: the last row is.

    Runs on: driver

    Raises:
        DamagedFile: bytes of a file are not those that were written.
        StorageError: a file is gone or cannot be read.
    """
    schema, partitioned = arrow_schema(table), table.metadata().partition_columns
    columns = pa.schema([each for each in schema if each.name not in partitioned])
    # Where files tell the order, what is found in one is not looked for in those before it.
    is_told = order is None or order in partitioned
    at_once = 1 if isinstance(open_filesystem(uri)[0], LocalFileSystem) else STORE_READS
    missing = set(wanted)
    waiting = [
        file
        for file in _files(uri, table, key, order if is_told else None)
        if any(may_hold(file.bounds, one) for one in missing)
    ]
    found: KeyedRows = []
    while waiting and missing:
        some, waiting = waiting[-at_once:], waiting[:-at_once]
        rows = _read(uri, some, columns, key, missing)
        found = rows + found
        if is_told:
            missing -= {one for one, _ in rows}
    if order is not None and not is_told:
        values = pa.array([row[order] for _, row in found], schema.field(order).type)
        found = [found[place] for place in pc.array_sort_indices(values).to_pylist()]
    # Of the rows of a key the last counts.
    return {one: {name: row[name] for name in schema.names} for one, row in found}


def _read(
    uri: str, files: Sequence[_File], columns: pa.Schema, key: Sequence[str], keys: Set[Key]
) -> KeyedRows:
    """The rows of these keys in some files, in their order."""
    asked = [
        (
            file.path,
            partial(file.open, columns, key),
            [one for one in keys if may_hold(file.bounds, one)],
        )
        for file in files
    ]
    try:
        read = read_files(asked, isinstance(files[0].filesystem, LocalFileSystem))
    except FileNotFoundError as error:
        raise StorageError(f"{uri}: a file of the table is missing: {error}") from error
    return [
        (one, row | file.partition)
        for file, rows in zip(files, read, strict=True)
        for one, row in rows
    ]


def _files(uri: str, table: DeltaTable, key: Sequence[str], order: str | None) -> list[_File]:
    """The files of a version in the order of a partition column; from memory, if they were asked
    for before.
    """
    version = (uri, table.metadata().id, table.version(), tuple(key), order)
    with _kept_lock:
        if version in _kept:
            _kept.move_to_end(version)
            return _kept[version]
    with storage_faults(uri, "list the table's files"):
        files = _listed(uri, table, key, order)
    with _kept_lock:
        _kept[version] = files
        while len(_kept) > _KEPT_TABLES:
            _kept.popitem(last=False)
    return files


def _listed(uri: str, table: DeltaTable, key: Sequence[str], order: str | None) -> list[_File]:
    actions, schema = file_actions(table), arrow_schema(table)
    if order is not None:
        values = actions[f"partition.{order}"].cast(schema.field(order).type)
        actions = actions.take(pc.sort_indices(values))
    partition = {
        name: actions[f"partition.{name}"].cast(schema.field(name).type).to_pylist()
        for name in table.metadata().partition_columns
    }
    bounds = [_bounds(actions, schema.field(name)) for name in key]
    filesystem, root = open_filesystem(uri)
    files: list[_File] = []
    for place, logged in enumerate(actions["path"].to_pylist()):
        path = logged_path(logged)
        # Files of a shallow clone may lie in another store than the table.
        held, inner = open_filesystem(path) if "://" in path else (filesystem, join(root, path))
        values = {name: each[place] for name, each in partition.items()}
        files.append(_File(held, inner, tuple(each[place] for each in bounds), values))
    return files


def _bounds(actions: pa.Table, column: pa.Field) -> list[tuple[Any, Any] | None]:
    """Smallest and greatest value of a column in each file; None where the log does not tell."""
    names = [f"{end}.{column.name}" for end in ("min", "max")]
    if not all(
        name in actions.column_names and actions.schema.field(name).type == column.type
        for name in names
    ):
        return [None] * actions.num_rows
    pairs = zip(*(actions[name].to_pylist() for name in names), strict=True)
    cut = _CUT if kinds.is_timestamp(column.type) else None
    return [
        (low, high if cut is None else high + cut)
        # NaN is not within any bounds.
        if low is not None and high is not None and low <= high
        else None
        for low, high in pairs
    ]
