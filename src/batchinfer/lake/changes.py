"""What happened to a Delta table between two of its versions, from the commits in its log.

Owns what an action says of data: files whose rows came or went, and files that were only rewritten
(OPTIMIZE). Must not know slices, and must not write.

Source: Delta transaction log protocol, sections "Add File and Remove File" and "Deletion Vectors".
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from batchinfer.errors import StorageError
from batchinfer.lake.log import read_commit
from batchinfer.lake.table_places import logged_path

# Path and deletion vector: a file with other rows deleted is another file.
FileId = tuple[str, str | None]


@dataclass(frozen=True)
class CommitFile:
    """A file as a commit speaks of it.

    Attributes:
        path: as `snapshots.table_files` tells it.
        vector: what tells its deletion vector from others; None: no row of it is deleted.
        partition: values as the log has them; None: the commit does not say.
        size: bytes; None: the commit does not say.
    """

    path: str
    vector: str | None
    partition: Mapping[str, str | None] | None
    size: int | None

    @property
    def id(self) -> FileId:
        return self.path, self.vector


@dataclass(frozen=True)
class Commit:
    """One commit: files whose rows came and went, files that were rewritten with the same rows, and
    new metadata.

    Attributes:
        feed: paths of the files in which the change data feed has this commit; none: it is told by
            the files added and removed.
    """

    version: int
    added: list[CommitFile] = field(default_factory=list)
    removed: list[CommitFile] = field(default_factory=list)
    rewritten_from: list[CommitFile] = field(default_factory=list)
    rewritten_to: list[CommitFile] = field(default_factory=list)
    properties: list[Mapping[str, str]] = field(default_factory=list)
    feed: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class NetChanges:
    """Files that hold all the rows that came, and files that hold all the rows that went, between
    two versions.

    A file in between that came and went is in neither; nor is what OPTIMIZE made of others.
    """

    added: list[CommitFile]
    removed: list[CommitFile]

    def __bool__(self) -> bool:
        return bool(self.added or self.removed)

    @property
    def files(self) -> list[CommitFile]:
        return [*self.added, *self.removed]


def read_commits(uri: str, before: int, last: int) -> list[Commit] | None:
    """The commits after version `before`, up to `last`; None if log clean-up has taken one of them.

    Runs on: driver

    Raises:
        StorageError: the log cannot be read.
    """
    commits: list[Commit] = []
    for version in range(before + 1, last + 1):
        text = read_commit(uri, version)
        if text is None:
            return None
        commits.append(_parse(uri, version, text))
    return commits


def last_versions(uri: str, paths: Iterable[str], version: int) -> dict[str, int]:
    """The newest version, before this one, that has each of these files, by its path; files that no
    commit in the log removed are not among them.

    Commits are read from the newest on, until all files are found.

    Runs on: driver

    Raises:
        StorageError: the log cannot be read.
    """
    missing = set(paths)
    found: dict[str, int] = {}
    while missing and version > 0:
        text = read_commit(uri, version)
        if text is None:
            break
        commit = _parse(uri, version, text)
        version -= 1
        gone = missing & {file.path for file in (*commit.removed, *commit.rewritten_from)}
        found |= dict.fromkeys(gone, version)
        missing -= gone
    return found


def net_changes(commits: Iterable[Commit], backwards: bool = False) -> NetChanges:
    """What the commits come to, one after the other; `backwards`: what undoing them would come
    to.
    """
    added: dict[FileId, CommitFile] = {}
    removed: dict[FileId, CommitFile] = {}
    for commit in commits:
        for gone in commit.removed:
            if added.pop(gone.id, None) is None:
                removed[gone.id] = gone
        for new in commit.added:
            # Put back as it was, such as by RESTORE.
            if removed.pop(new.id, None) is None:
                added[new.id] = new
    came, went = list(added.values()), list(removed.values())
    return NetChanges(went, came) if backwards else NetChanges(came, went)


def _parse(uri: str, version: int, text: str) -> Commit:
    commit = Commit(version)
    for action in _actions(uri, version, text):
        if body := action.get("add"):
            # A writer that does not say counts as one that changed data.
            (commit.added if body.get("dataChange", True) else commit.rewritten_to).append(
                _file(body)
            )
        elif body := action.get("remove"):
            (commit.removed if body.get("dataChange", True) else commit.rewritten_from).append(
                _file(body)
            )
        elif body := action.get("cdc"):
            commit.feed.append(logged_path(body["path"]))
        elif body := action.get("metaData"):
            commit.properties.append(body.get("configuration") or {})
    return commit


def _actions(uri: str, version: int, text: str) -> Iterator[dict[str, Any]]:
    for line in text.split("\n"):
        if not line.strip():
            continue
        try:
            action = json.loads(line)
        except ValueError as error:
            raise StorageError(
                f"{uri}: version {version} of the log is no Delta commit: {error}"
            ) from error
        if not isinstance(action, dict):
            raise StorageError(
                f"{uri}: version {version} of the log is no Delta commit: got {line[:60]!r}"
            )
        yield action


def _file(body: Mapping[str, Any]) -> CommitFile:
    vector = body.get("deletionVector")
    mark = (
        None
        if vector is None
        else f"{vector.get('storageType')}{vector.get('pathOrInlineDv')}@{vector.get('offset')}"
    )
    return CommitFile(
        logged_path(body["path"]), mark, body.get("partitionValues"), body.get("size")
    )
