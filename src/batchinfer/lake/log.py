"""Reads the application transactions of a Delta table from its log: deltalake tells one id at a
time, and lists none. The table's properties are passed on the way, so its format is checked too.

Owns the names of files in `_delta_log`. Reads classic, multi-part and v2 checkpoints (in a v2
checkpoint the transactions stand in its top-level file, never in a sidecar). Must not write.

Source: Delta transaction log protocol, sections "Delta Log Entries", "Checkpoints" and "Transaction
Identifiers".
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow.parquet as pq
from pyarrow.fs import FileSelector, FileSystem

from batchinfer.errors import StorageError
from batchinfer.lake.table_places import open_filesystem, storage_faults
from batchinfer.table_format import check_format

COMMIT = re.compile(r"^(\d{20})\.json$")
_CLASSIC = re.compile(r"^(\d{20})\.checkpoint\.parquet$")
_PARTS = re.compile(r"^(\d{20})\.checkpoint\.(\d{10})\.(\d{10})\.parquet$")
_V2 = re.compile(r"^(\d{20})\.checkpoint\.[0-9a-fA-F-]{36}\.(json|parquet)$")
_READ_TRIES = 3
# Of a checkpoint, the columns that are read.
_COLUMNS = ("txn.appId", "txn.version", "metaData.configuration")


@dataclass(frozen=True)
class _Segment:
    """The files that make up one snapshot: the newest checkpoint, then every commit after it."""

    version: int
    checkpoint: tuple[str, ...]
    commits: tuple[str, ...]


@dataclass
class _Told:
    """What the log says, the newest last: of each transaction its version, and the properties."""

    versions: dict[str, int] = field(default_factory=dict)
    properties: Mapping[str, str | None] = field(default_factory=dict)


def read_transactions(uri: str, version: int | None = None) -> dict[str, int]:
    """The application transactions of a snapshot: id to the version recorded last.

    Args:
        uri: of the table.
        version: of the snapshot; None: the latest.

    Runs on: driver

    Raises:
        TableTooNew: a newer build has made the table.
        StorageError: no log, a gap in it, or a file that cannot be read.
    """
    filesystem, root = open_filesystem(uri)
    folder = f"{root}/_delta_log"
    gone: FileNotFoundError | None = None
    for _ in range(_READ_TRIES):
        segment = _find_segment(uri, list_names(filesystem, folder), version)
        try:
            told = _read_segment(filesystem, folder, segment)
        except FileNotFoundError as error:
            # Log clean-up may delete files between the listing and the reading.
            gone = error
            continue
        check_format(uri, told.properties)
        return told.versions
    raise StorageError(f"{folder}: files of the log vanish while it is read: {gone}") from gone


def find_commit(uri: str, mark: str, first: int) -> int | None:
    """The version, from `first` on, whose commit info holds `mark`; None if there is none.

    Runs on: driver
    """
    filesystem, root = open_filesystem(uri)
    folder = f"{root}/_delta_log"
    for name in sorted(list_names(filesystem, folder)):
        match = COMMIT.match(name)
        if match and int(match[1]) >= first and mark in read_text(filesystem, f"{folder}/{name}"):
            return int(match[1])
    return None


def read_commit(uri: str, version: int) -> str | None:
    """The text of one commit, an action a line; None if there is none, or log clean-up has taken
    it.

    Runs on: driver

    Raises:
        StorageError: the log cannot be read.
    """
    filesystem, root = open_filesystem(uri)
    try:
        return read_text(filesystem, f"{root}/_delta_log/{version:020d}.json")
    except FileNotFoundError:
        return None


def names_in_commits(uri: str, names: Sequence[str]) -> set[str]:
    """Those of the file names that a commit of the table speaks of, be it to add or to remove.

    Runs on: driver

    Raises:
        StorageError: the log cannot be read.
    """
    if not names:
        return set()
    filesystem, root = open_filesystem(uri)
    versions = [
        int(match[1])
        for match in map(COMMIT.match, list_names(filesystem, f"{root}/_delta_log"))
        if match
    ]
    texts = [read_commit(uri, version) or "" for version in versions]
    return {name for name in names if any(name in text for text in texts)}


def list_names(filesystem: FileSystem, folder: str) -> list[str]:
    """The names in a table's log.

    Raises:
        StorageError: no log, or it cannot be listed.
    """
    with storage_faults(folder, "list the log"):
        return [info.base_name for info in filesystem.get_file_info(FileSelector(folder))]


def _find_segment(uri: str, names: list[str], version: int | None) -> _Segment:
    commits = {int(match[1]): name for name in names if (match := COMMIT.match(name))}
    if not commits:
        raise StorageError(f"{uri}: no commit in _delta_log")
    last = max(commits) if version is None else version
    checkpoints = {at: files for at, files in find_checkpoints(names).items() if at <= last}
    start = max(checkpoints, default=-1)
    missing = [at for at in range(start + 1, last + 1) if at not in commits]
    if missing:
        raise StorageError(
            f"{uri}: the log lacks version {missing[0]}, needed to read version {last}"
        )
    return _Segment(
        last, checkpoints.get(start, ()), tuple(commits[at] for at in range(start + 1, last + 1))
    )


def find_checkpoints(names: list[str]) -> dict[int, tuple[str, ...]]:
    """Every complete checkpoint: its version and its files."""
    found: dict[int, tuple[str, ...]] = {}
    parts: dict[tuple[int, int], list[str]] = {}
    for name in sorted(names):
        if match := _PARTS.match(name):
            parts.setdefault((int(match[1]), int(match[3])), []).append(name)
        elif match := _CLASSIC.match(name) or _V2.match(name):
            found[int(match[1])] = (name,)
    for (version, count), files in parts.items():
        if len(files) == count:
            found.setdefault(version, tuple(files))
    return found


def _read_segment(filesystem: FileSystem, folder: str, segment: _Segment) -> _Told:
    told = _Told()
    for name in segment.checkpoint:
        _read_checkpoint(filesystem, f"{folder}/{name}", told)
    for name in segment.commits:
        _read_lines(filesystem, f"{folder}/{name}", told)
    return told


def _read_checkpoint(filesystem: FileSystem, path: str, told: _Told) -> None:
    if path.endswith(".json"):
        _read_lines(filesystem, path, told)
        return
    try:
        with filesystem.open_input_file(path) as source:
            file = pq.ParquetFile(source)
            there = {name for name in ("txn", "metaData") if name in file.schema_arrow.names}
            rows = file.read(columns=[name for name in _COLUMNS if name.split(".")[0] in there])
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise StorageError(f"{path}: the checkpoint cannot be read: {error}") from error
    for entry in rows["txn"].drop_null().to_pylist() if "txn" in there else ():
        if entry["appId"] is not None:
            told.versions[entry["appId"]] = entry["version"]
    for entry in rows["metaData"].drop_null().to_pylist() if "metaData" in there else ():
        if entry["configuration"] is not None:
            told.properties = dict(entry["configuration"])


def _read_lines(filesystem: FileSystem, path: str, told: _Told) -> None:
    for line in read_text(filesystem, path).split("\n"):
        # One action a line; parsing only these makes a long log quick to read.
        if '"txn"' not in line and '"metaData"' not in line:
            continue
        try:
            _note(json.loads(line), told)
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise StorageError(f"{path}: not a Delta commit: {error}") from error


def _note(action: Mapping[str, Any], told: _Told) -> None:
    transaction, metadata = action.get("txn"), action.get("metaData")
    if transaction is not None:
        told.versions[transaction["appId"]] = int(transaction["version"])
    if metadata is not None:
        told.properties = metadata.get("configuration") or {}


def read_text(filesystem: FileSystem, path: str) -> str:
    """The text of a commit.

    Raises:
        FileNotFoundError: there is none.
        StorageError: it cannot be read, or is no text.
    """
    try:
        with filesystem.open_input_file(path) as source:
            return source.read().decode()
    except FileNotFoundError:
        raise
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(f"{path}: the commit cannot be read: {error}") from error
