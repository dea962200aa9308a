"""Delta tables on the driver, without a JVM: what a snapshot holds, and one atomic commit that
changes it.

Owns commits: staged files in, old files out, application transactions, all or nothing. Must not
know pipelines, runs or what rows mean.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import AddAction, RemoveAction
from pyarrow.fs import FileInfo, FileSystem, LocalFileSystem

from batchinfer import stopping
from batchinfer.contracts import DataFile, StagedFile
from batchinfer.errors import BatchInferError, InputError, SliceHeld, StorageError
from batchinfer.lake import log
from batchinfer.lake.creation import ensure_table
from batchinfer.lake.delta_types import compare_schemas
from batchinfer.lake.fences import check_fences
from batchinfer.lake.locks import table_lock
from batchinfer.lake.rewriting import Rewrite, remove_rows
from batchinfer.lake.snapshots import (
    exists,
    open_table,
    snapshot_files,
    table_files,
    table_schema,
    table_version,
)
from batchinfer.lake.staged_files import remove_staged
from batchinfer.lake.table_places import (
    as_storage_error,
    local_path,
    open_filesystem,
    storage_faults,
)

__all__ = [
    "commit",
    "ensure_table",
    "exists",
    "snapshot_files",
    "table_schema",
    "table_version",
    "transaction_versions",
]

Partition = Mapping[str, str | None]
# Columns and the values of the rows that are meant, besides values of partition columns (None:
# any).
Rows = Mapping[str, Any]
Transactions = Mapping[str, int] | Callable[[int], Mapping[str, int]]

# Writers that do not take our lock (Spark) may commit in between; a commit takes about 10 ms.
_COMMIT_TRIES = 20
# Staged files that a store is asked for at once.
_LOOKS = 32
# Commit info key that tells whether a commit that seemed to fail was written after all.
_MARK = "batchinferCommit"


@dataclass(frozen=True)
class _Change:
    """Everything that one commit is to do."""

    adds: Sequence[StagedFile]
    remove: frozenset[str]
    replace: Sequence[Partition]
    keep: frozenset[str]
    replace_rows: Sequence[Rows]
    transactions: Transactions
    touch: Callable[[Partition], str] | None
    guard: Mapping[str, int | None]
    metadata: Mapping[str, Any]
    even_if_stopped: bool
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    def is_empty(self) -> bool:
        return not (
            self.adds or self.remove or self.replace or self.replace_rows or self.transactions
        )


def commit(
    uri: str,
    adds: Sequence[StagedFile],
    *,
    remove: Sequence[str] = (),
    replace: Partition | Sequence[Partition] | None = None,
    keep: Sequence[str] = (),
    replace_rows: Rows | Sequence[Rows] | None = None,
    transactions: Transactions | None = None,
    touch: Callable[[Partition], str] | None = None,
    guard: Mapping[str, int | None] | None = None,
    metadata: Mapping[str, Any] | None = None,
    schema: pa.Schema | None = None,
    even_if_stopped: bool = False,
) -> int:
    """Makes one commit that adds staged files, removes files and records application transactions;
    all or nothing.

    With nothing to do, no commit is made. On a conflict the snapshot is read again, removals are
    worked out anew, and the commit is tried again.

    Args:
        uri: of a table that exists.
        adds: files written below the table's folder.
        remove: paths of files of the current snapshot, as `snapshot_files` tells them.
        replace: partition values; every current file of those partitions is removed. Columns left
            out match all values.
        keep: paths of current files that `replace` leaves where they are.
        replace_rows: `{column: values}` of a text column or of the columns of a key, and optionally
            partition values (None: any): the current rows with these values go. A file that holds
            other rows too is copied without them.
        transactions: application id to version, or a function from the version that this commit
            will have to that mapping.
        touch: names an application id for a partition; recorded, with this commit's version, for
            every partition from which this commit removes files or to which it adds some.
        guard: application ids and the versions that the caller saw before it computed these changes
            (None: none yet). deltalake does not check ids itself, and a writer that skips silently
            would lose rows: so a difference is an error.
        metadata: put beside the commit info; a comment only, log clean-up drops it.
        schema: of the rows in `adds`, partition columns included; checked against the table.
        even_if_stopped: also where this process was told to stop, as the record of that run is.

    Returns:
        The version of this commit, or the current version if there was nothing to do.

    Runs on: driver

    Raises:
        SliceHeld: a guarded transaction has changed since the caller looked, or a lease of this
            process is another's by now.
        InputError: `schema` does not fit the table.
        StorageError: storage fails, a staged file is missing or cut short, or a file to remove or
            to keep is no longer in the table.
        Interrupted: this process was told to stop before the commit was written.
    """
    change = _Change(
        adds,
        frozenset(remove),
        [replace] if isinstance(replace, Mapping) else list(replace or ()),
        frozenset(keep),
        [replace_rows] if isinstance(replace_rows, Mapping) else list(replace_rows or ()),
        transactions or {},
        touch,
        guard or {},
        dict(metadata or {}),
        even_if_stopped,
    )
    _check_staged(uri, adds)
    if change.is_empty():
        return table_version(uri)
    with table_lock(uri):
        if local_path(uri) is None:
            check_fences()
        if schema is not None:
            _check_schema(uri, schema)
        return _commit_with_retries(uri, change)


def transaction_versions(uri: str, app_ids: Sequence[str]) -> dict[str, int]:
    """The recorded version of each application id that the latest snapshot holds.

    One reading of the log, however many ids.

    Runs on: driver

    Raises:
        StorageError: no table, or its log cannot be read.
    """
    known = log.read_transactions(uri)
    return {app_id: known[app_id] for app_id in app_ids if app_id in known}


def _commit_with_retries(uri: str, change: _Change) -> int:
    failure: Exception | None = None
    for attempt in range(_COMMIT_TRIES):
        table = open_table(uri)
        _check_guard(uri, table, change.guard)
        version = table.version() + 1
        rewrite = _rewrite(uri, table, change)
        try:
            return _write(uri, table, change, rewrite)
        except (CommitFailedError, DeltaError, OSError) as error:
            # The commit may stand although what comes after it (a checkpoint, clean-up) failed.
            written = log.find_commit(uri, change.mark, version)
            if written is not None:
                return written
            remove_staged(uri, rewrite.adds)
            if isinstance(error, BatchInferError):
                raise
            failure = error
            if not isinstance(error, CommitFailedError):
                break
            time.sleep(0.01 * attempt)
    raise as_storage_error(uri, "commit", failure or RuntimeError("unknown")) from failure


def _rewrite(uri: str, table: DeltaTable, change: _Change) -> Rewrite:
    rewrite = Rewrite()
    partitions = table.metadata().partition_columns
    for rows in change.replace_rows:
        columns = [name for name in rows if name not in partitions]
        if not columns:
            raise InputError(
                f"{uri}: rows to replace are told by no column; allowed: one or more, besides "
                f"partition columns {partitions}"
            )
        wanted = {name: rows[name] for name in partitions if rows.get(name) is not None}
        files = table_files(table, wanted)
        rewrite.extend(remove_rows(uri, table, files, {name: rows[name] for name in columns}))
    return rewrite


def _write(uri: str, table: DeltaTable, change: _Change, rewrite: Rewrite) -> int:
    version = table.version() + 1
    removed = _removed(uri, table, change, rewrite)
    added = [*change.adds, *rewrite.adds]
    transactions = dict(
        change.transactions(version) if callable(change.transactions) else change.transactions
    )
    if change.touch is not None:
        touched = [staged.partition for staged in added] + [file.partition for file in removed]
        transactions |= {change.touch(partition): version for partition in touched}
    if not (added or removed or transactions):
        return table.version()
    if not change.even_if_stopped:
        stopping.check()
    now_ms = int(time.time() * 1000)
    actions: list[AddAction | RemoveAction] = [
        AddAction(staged.path, staged.size, staged.partition, now_ms, True, staged.stats)
        for staged in added
    ]
    actions += [
        RemoveAction(file.path, True, now_ms, file.size, dict(file.partition)) for file in removed
    ]
    table.create_write_transaction(
        actions,
        mode="append",
        schema=table.schema(),
        partition_by=table.metadata().partition_columns,
        commit_properties=CommitProperties(
            custom_metadata={**change.metadata, _MARK: change.mark},
            # deltalake's own retry would keep removals and versions that were worked out from an
            # older snapshot.
            max_commit_retries=0,
            app_transactions=[Transaction(app_id, value) for app_id, value in transactions.items()],
        ),
    )
    return version


def _removed(uri: str, table: DeltaTable, change: _Change, rewrite: Rewrite) -> list[DataFile]:
    """The current files that this commit removes."""
    named = change.remove | set(rewrite.removed)
    if not (named or change.replace):
        return []
    # The files of the one partition that is replaced, which are few, tell all; a column that is
    # none is an error below.
    one = (
        not named
        and len(change.replace) == 1
        and set(change.replace[0]) <= set(table.metadata().partition_columns)
    )
    current = table_files(table, change.replace[0] if one else None)
    gone = (named | change.keep) - {file.path for file in current}
    if gone:
        raise StorageError(
            f"{uri}: {len(gone)} files to remove or to keep are not in version {table.version()}, "
            f"such as {min(gone)}; another writer has rewritten them",
            hint="Run the command again.",
        )
    # The same files committed twice replace themselves.
    stay = change.keep | {staged.path for staged in change.adds}
    return [
        file
        for file in current
        if file.path in named
        or (
            file.path not in stay and any(_matches(file.partition, each) for each in change.replace)
        )
    ]


def _matches(partition: Partition, wanted: Partition) -> bool:
    return all(partition[name] == value for name, value in wanted.items())


def _check_guard(uri: str, table: DeltaTable, guard: Mapping[str, int | None]) -> None:
    for app_id, seen in guard.items():
        found = table.transaction_version(app_id)
        if found != seen:
            raise SliceHeld(
                f"{uri}: {app_id} is at version {found}, and was at {seen} when this run began: "
                "another run has committed"
            )


def _check_staged(uri: str, adds: Sequence[StagedFile]) -> None:
    """A commit must never point at bytes that are not there."""
    filesystem, root = open_filesystem(uri)
    with storage_faults(uri, "look at staged files"):
        found = _look_at(filesystem, [f"{root}/{staged.path}" for staged in adds])
    for staged, info in zip(adds, found, strict=True):
        if info.size != staged.size:
            raise StorageError(
                f"{info.path}: a staged file of {staged.size} bytes; found "
                f"{info.size if info.is_file else 'no file'}"
            )


def _look_at(filesystem: FileSystem, paths: Sequence[str]) -> list[FileInfo]:
    """Sizes of files, in their order: Arrow asks a store for one after another, and each answer
    takes a tenth of a second.
    """
    if isinstance(filesystem, LocalFileSystem) or len(paths) < 2:
        return filesystem.get_file_info(list(paths)) if paths else []
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(min(_LOOKS, len(paths)), thread_name_prefix="staged") as pool:
        return list(pool.map(lambda path: filesystem.get_file_info([path])[0], paths))


def _check_schema(uri: str, schema: pa.Schema) -> None:
    problems, new = compare_schemas(uri, table_schema(uri), schema, evolve=True)
    problems += [f"{uri}: the table has no column {field.name} ({field.type})" for field in new]
    if problems:
        raise InputError(problems)
