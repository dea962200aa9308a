"""Which files of a Delta table's log are missing or damaged, told before the log is believed.

Owns what a whole log is. Readers differ: a cut checkpoint ends one and not the other, an empty
commit ends none of them and its rows are missing, and none looks at the checksums of a checkpoint's
pages. Must not know what the table is read for.

Source: Delta transaction log protocol, sections "Delta Log Entries", "Checkpoints", "Sidecar
Files", "Last Checkpoint File" and "Version Checksum File".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable
from pyarrow.fs import FileSystem, LocalFileSystem

from batchinfer.checked_parquet import look_at
from batchinfer.errors import DamagedFile, StorageError
from batchinfer.lake.delta_words import RESTORE_LOG
from batchinfer.lake.log import COMMIT, find_checkpoints, list_names, read_text
from batchinfer.lake.table_places import logged_path, open_filesystem, storage_faults
from batchinfer.object_stores import side_by_side

_HINT_FILE = "_last_checkpoint"
_COUNTS = re.compile(r"^(\d{20})\.crc$")


def check_log(uri: str, version: int | None = None) -> None:
    """Whether all files of the log are there and whole that a version is read from.

    Pages of checkpoints are looked at on disks; stores check what they keep.

    Args:
        version: that is to be read; None: the latest.

    Runs on: driver

    Raises:
        DamagedFile: naming each file that is missing or damaged.
        StorageError: the log cannot be read.
    """
    problems, hint = _look(uri, version)
    if problems:
        # Other writers may have committed, or cleaned up, between the listing and the reading.
        problems, hint = _look(uri, version)
    if problems:
        raise DamagedFile(problems, hint)


def check_counts(table: DeltaTable) -> None:
    """Holds the files of a version against the number that its writer noted beside the commit, if
    it did: a commit that was cut behind one of its lines is told by nothing else.

    Runs on: driver

    Raises:
        DamagedFile: there are other ones.
    """
    filesystem, root = open_filesystem(table.table_uri)
    version = table.version()
    name = f"{version:020d}.crc"
    try:
        noted = json.loads(read_text(filesystem, f"{root}/_delta_log/{name}"))
        wanted = int(noted["numFiles"]), int(noted["tableSizeBytes"])
    except (FileNotFoundError, StorageError, ValueError, KeyError, TypeError):
        # Most writers note nothing; what they note is of no use to readers otherwise.
        return
    with storage_faults(table.table_uri, "list the table's files"):
        sizes = pa.table(table.get_add_actions())["size_bytes"].to_pylist()
    found = len(sizes), sum(sizes)
    if found != wanted:
        raise DamagedFile(
            f"{root}/_delta_log: version {version} has {found[0]:,} files with {found[1]:,} bytes; "
            f"{name}, which its writer wrote beside it, says {wanted[0]:,} files with "
            f"{wanted[1]:,} bytes: a commit is cut, or another file of the log is damaged",
            RESTORE_LOG,
        )


@dataclass(frozen=True)
class _Log:
    """A table's log: where it is, and the names in it."""

    filesystem: FileSystem
    folder: str
    names: tuple[str, ...]

    @property
    def commits(self) -> list[int]:
        return [int(found[1]) for found in map(COMMIT.match, self.names) if found]

    @property
    def checkpoints(self) -> dict[int, tuple[str, ...]]:
        return find_checkpoints(list(self.names))

    def path(self, name: str) -> str:
        return f"{self.folder}/{name}"


def _look(uri: str, version: int | None) -> tuple[list[str], str]:
    """What is wrong, and what helps."""
    filesystem, root = open_filesystem(uri)
    folder = f"{root}/_delta_log"
    log = _Log(filesystem, folder, tuple(list_names(filesystem, folder)))
    last = max([*log.commits, *log.checkpoints], default=-1) if version is None else version
    start = max((at for at in log.checkpoints if at <= last), default=-1)
    gone = [at for at in range(start + 1, last + 1) if at not in log.commits]
    problems = [f"{log.path(f'{at:020d}.json')} is missing" for at in gone]
    problems += _of_counts(log, last) if version is None else []
    problems += _of_commits(log, [at for at in log.commits if start < at <= last])
    for name in log.checkpoints.get(start, ()):
        problems += _of_checkpoint(log, log.path(name), uri)
    of_hint = list(_of_hint(log, version))
    if of_hint and not problems:
        return of_hint, f"move {log.path(_HINT_FILE)} aside: the log can be read without it"
    return [*problems, *of_hint], RESTORE_LOG


def _of_counts(log: _Log, last: int) -> Iterator[str]:
    """Commits behind the last one: what their writers noted beside them is still there."""
    noted = [int(found[1]) for found in map(_COUNTS.match, log.names) if found]
    for at in sorted(noted):
        if at > last:
            yield f"{log.path(f'{at:020d}.json')} is missing; {at:020d}.crc of it is there"


def _of_hint(log: _Log, version: int | None) -> Iterator[str]:
    """The file that names a checkpoint: readers that find none there give up, or end in an error of
    their own. What is no JSON, all of them do without.
    """
    if _HINT_FILE not in log.names:
        return
    path = log.path(_HINT_FILE)
    try:
        told = json.loads(read_text(log.filesystem, path))
    except (ValueError, FileNotFoundError, StorageError):
        return
    if not isinstance(told, dict):
        yield f"{path} is damaged: got {json.dumps(told)[:40]}; allowed: a JSON object"
        return
    named = told.get("version")
    if not isinstance(named, int) or (version is not None and named > version):
        return
    if not any(at >= named for at in log.checkpoints):
        yield f"{path} names the checkpoint of version {named}, and there is none"


def _of_commits(log: _Log, versions: Sequence[int]) -> list[str]:
    paths = [log.path(f"{at:020d}.json") for at in sorted(versions)]
    found = side_by_side(log.filesystem, lambda path: _of_lines(log.filesystem, path), paths)
    return [problem for problem in found if problem]


def _of_lines(filesystem: FileSystem, path: str) -> str | None:
    """What is wrong with a file that has an action a line."""
    try:
        lines = [line for line in read_text(filesystem, path).split("\n") if line.strip()]
    except FileNotFoundError:
        return f"{path} is missing"
    except StorageError as error:
        return error.problems[0]
    if not lines:
        return f"{path} is damaged: it is empty"
    for number, line in enumerate(lines, 1):
        try:
            is_action = isinstance(json.loads(line), dict)
        except ValueError:
            is_action = False
        if not is_action:
            return f"{path} is damaged: line {number} is no JSON object: {line[:40]!r}"
    return None


def _of_checkpoint(log: _Log, path: str, uri: str) -> Iterator[str]:
    """What is wrong with a checkpoint's file, and with those that it refers to."""
    if path.endswith(".json"):
        problem = _of_lines(log.filesystem, path)
        yield from [problem] if problem else ()
        sidecars = [] if problem else _sidecars_of_lines(log.filesystem, path)
    else:
        problem = _of_parquet(log.filesystem, path, uri)
        yield from [problem] if problem else ()
        sidecars = [] if problem else _sidecars_of_rows(log.filesystem, path)
    for sidecar in sidecars:
        below = logged_path(sidecar)
        problem = _of_parquet(
            log.filesystem,
            below if below.startswith("/") else log.path(f"_sidecars/{below}"),
            uri,
        )
        yield from [problem] if problem else ()


def _of_parquet(filesystem: FileSystem, path: str, uri: str) -> str | None:
    with storage_faults(uri, "look at the log"):
        info = filesystem.get_file_info(path)
        if not info.is_file:
            return f"{path} is missing"
        if info.size == 0:
            return f"{path} is damaged: it is empty"
        if not isinstance(filesystem, LocalFileSystem):
            return None
        damage = look_at(filesystem, path).damage
    return None if damage is None else f"{path} is damaged: {damage}"


def _sidecars_of_lines(filesystem: FileSystem, path: str) -> list[str]:
    actions = map(json.loads, filter(str.strip, read_text(filesystem, path).split("\n")))
    return [action["sidecar"]["path"] for action in actions if "sidecar" in action]


def _sidecars_of_rows(filesystem: FileSystem, path: str) -> list[str]:
    with filesystem.open_input_file(path) as source:
        file = pq.ParquetFile(source)
        if "sidecar" not in file.schema_arrow.names:
            return []
        rows: pa.Table = file.read(columns=["sidecar.path"])
    return [each["path"] for each in rows["sidecar"].to_pylist() if each and each["path"]]
