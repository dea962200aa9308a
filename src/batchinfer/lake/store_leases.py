"""Leases in a lake on an object store, between all machines that reach it.

Who holds what is said by a small Delta table, `<lake>/_leases/<pipeline>`: an application
transaction names the token of the run that took a slice last. To take one is a commit, which the
store refuses if the version is there already, so of two runs exactly one gets it. A run shows that
it lives by a heartbeat, an object of its own, `_beats/<token>.json`, which it writes anew every ten
seconds and deletes at its end; a token without a heartbeat, or with one that is a minute old, holds
nothing.

Clocks: how old a heartbeat is, is told by the store's own times of two objects, the holder's and
one that was written just now. The clocks of machines may differ; they only have to run at about the
same speed, also while a machine sleeps.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import threading
import time
from collections.abc import Collection, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow.fs import FileSelector, FileSystem

from batchinfer.errors import SliceHeld, StorageError
from batchinfer.lake import log
from batchinfer.lake.conditions import check_conditional_writes
from batchinfer.lake.creation import ensure_table
from batchinfer.lake.delta import commit
from batchinfer.lake.fences import fenced
from batchinfer.lake.parquet import delete_quietly
from batchinfer.lake.snapshots import exists
from batchinfer.lake.table_places import encode_name, open_filesystem, storage_faults

RENEW_S = 10.0
EXPIRES_S = 60.0
# The store tells times in whole seconds, and a renewal may be under way for a while.
_SURE_S = EXPIRES_S - 15.0
# Left by runs that were killed; none of them comes back.
_SWEEP_S = 3600.0
_BEATS = "_beats"
_SUFFIX = ".json"
# One row is never written; a table needs a column.
_SCHEMA = pa.schema([pa.field("slice", pa.string())])


@dataclass(frozen=True)
class _Seen:
    """A heartbeat as a listing shows it."""

    path: str
    token: int
    at: float


class LeaseTaken(Exception):
    """Another run that lives holds the lease.

    Attributes:
        lease: what it says of itself; empty if it has just begun.
    """

    def __init__(self, lease: dict[str, Any]) -> None:
        super().__init__("the lease is held")
        self.lease = lease


def take(lake: str, pipeline: str, slice_: str | None, lease: dict[str, Any]) -> Heartbeat:
    """Takes the lease on a slice; whoever gets it enters `Heartbeat.held` next.

    Args:
        lease: what others are told of the holder.

    Runs on: driver

    Raises:
        LeaseTaken: another run that lives holds it.
        StorageError: the lake cannot be written, or its store overwrites what it must not.
    """
    table = leases_table(lake, pipeline)
    if not exists(table):
        # Once for each pipeline, before the first run that could lose something.
        check_conditional_writes(lake)
    ensure_table(
        table,
        _SCHEMA,
        description="Which run took a slice last; the transactions say it, and there are no rows.",
    )
    heartbeat = Heartbeat(table, _app_id(slice_), lease)
    heartbeat.write()
    try:
        _take(table, heartbeat)
    except BaseException:
        heartbeat.remove()
        raise
    return heartbeat


def leases_table(lake: str, pipeline: str) -> str:
    """The table of a pipeline's leases."""
    return f"{lake.rstrip('/')}/_leases/{encode_name(pipeline)}"


def live_leases(lake: str, pipeline: str) -> list[dict[str, Any]]:
    """The leases of a pipeline that are held now; by this machine's clock, since nothing is
    written.

    Runs on: driver

    Raises:
        StorageError: the lake cannot be read.
    """
    table = leases_table(lake, pipeline)
    found = [seen for seen in _list(table) if time.time() - seen.at < EXPIRES_S]
    if not found or not exists(table):
        return []
    current = set(log.read_transactions(table).values())
    leases = [_read(table, seen) for seen in found if seen.token in current]
    return [lease for lease in leases if lease and not _is_dead(lease)]


def dead_leases(lake: str, pipeline: str) -> list[dict[str, Any]]:
    """The leases of processes of this machine that have ended without giving them back; of other
    machines nothing tells for certain.

    Runs on: driver

    Raises:
        StorageError: the lake cannot be read.
    """
    table = leases_table(lake, pipeline)
    leases = [_read(table, seen) for seen in _list(table)]
    return [lease for lease in leases if lease and _is_dead(lease)]


def drop_leases(lake: str, pipeline: str, leases: Collection[dict[str, Any]]) -> None:
    """Removes leases that `dead_leases` has told.

    Runs on: driver
    """
    table = leases_table(lake, pipeline)
    filesystem, _ = open_filesystem(table)
    for seen in _list(table):
        if _read(table, seen) in leases:
            delete_quietly(filesystem, seen.path)


def _app_id(slice_: str | None) -> str:
    return "lease" if slice_ is None else f"lease:{slice_}"


def _take(table: str, heartbeat: Heartbeat) -> None:
    # The token first: whoever committed one had written its heartbeat before.
    token = log.read_transactions(table).get(heartbeat.app_id)
    heartbeats = _list(table)
    now = max(
        (seen.at for seen in heartbeats if seen.token == heartbeat.token), default=time.time()
    )
    holder = next((seen for seen in heartbeats if seen.token == token), None)
    if holder is not None and now - holder.at < EXPIRES_S:
        _refuse_if_alive(table, holder)
    try:
        commit(
            table,
            [],
            transactions={heartbeat.app_id: heartbeat.token},
            guard={heartbeat.app_id: token},
        )
    except SliceHeld as error:
        winner = log.read_transactions(table).get(heartbeat.app_id)
        seen = next((seen for seen in _list(table) if seen.token == winner), None)
        raise LeaseTaken(_read(table, seen) if seen else {}) from error
    filesystem, _ = open_filesystem(table)
    for seen in heartbeats:
        if seen is holder or now - seen.at > _SWEEP_S:
            delete_quietly(filesystem, seen.path)


def _refuse_if_alive(table: str, holder: _Seen) -> None:
    lease = _read(table, holder)
    if lease and not _is_dead(lease):
        raise LeaseTaken(lease)


def _list(table: str) -> list[_Seen]:
    filesystem, root = open_filesystem(table)
    with storage_faults(f"{table}/{_BEATS}", "list the leases"):
        selector = FileSelector(f"{root}/{_BEATS}", allow_not_found=True)
        files = [
            info
            for info in filesystem.get_file_info(selector)
            if info.is_file and info.base_name.endswith(_SUFFIX)
        ]
    return [
        _Seen(info.path, int(info.base_name.removesuffix(_SUFFIX)), info.mtime.timestamp())
        for info in files
    ]


def _read(table: str, seen: _Seen) -> dict[str, Any]:
    """What a heartbeat says; empty if it has gone."""
    filesystem, _ = open_filesystem(table)
    try:
        with filesystem.open_input_file(seen.path) as source:
            return json.loads(source.read())
    except FileNotFoundError:
        return {}
    except OSError:
        with storage_faults(table, "read a lease"):
            raise


class Heartbeat:
    """The sign of life of a run of this process.

    Attributes:
        token: of this holder; no other has it.
        renewed: seconds, as `_clock` tells them, at which the last renewal that succeeded began.
    """

    def __init__(self, table: str, app_id: str, lease: dict[str, Any]) -> None:
        self.table, self.app_id = table, app_id
        self.token = secrets.randbits(62)
        self.renewed = _clock()
        self._body = json.dumps({**lease, **_identity()}).encode()
        self._filesystem: FileSystem
        self._filesystem, root = open_filesystem(table)
        self._path = f"{root}/{_BEATS}/{self.token}{_SUFFIX}"
        self._done = threading.Event()

    def write(self) -> None:
        began = _clock()
        with (
            storage_faults(f"{self.table}/{_BEATS}", "write the lease"),
            self._filesystem.open_output_stream(self._path) as sink,
        ):
            sink.write(self._body)
        self.renewed = began

    def check(self) -> None:
        """Whether the lease is still this process's; asks the store only if the last renewal is too
        long ago.
        """
        if _clock() - self.renewed < _SURE_S:
            return
        if log.read_transactions(self.table).get(self.app_id) != self.token:
            silent = _clock() - self.renewed
            raise SliceHeld(
                f"{self.table}: this run did not renew its lease for {silent:.0f} seconds, and "
                "another run took it"
            )
        self.write()

    @contextmanager
    def held(self) -> Generator[None]:
        """Renews the lease while the block runs, lets every commit ask whether it is still held,
        and gives it back.
        """
        thread = threading.Thread(target=self._renew, name="lease", daemon=True)
        thread.start()
        try:
            with fenced(self.check):
                yield
        finally:
            self._done.set()
            # Or a renewal that is under way would come after the deletion.
            thread.join()
            self.remove()

    def _renew(self) -> None:
        while not self._done.wait(RENEW_S):
            # A store that is away for a moment ends no run; `check` asks before anything is
            # committed.
            with contextlib.suppress(StorageError):
                self.write()

    def remove(self) -> None:
        delete_quietly(self._filesystem, self._path)


def _clock() -> float:
    """Seconds that also pass while the machine sleeps, and that nobody sets."""
    return (
        time.clock_gettime(time.CLOCK_BOOTTIME)
        if hasattr(time, "CLOCK_BOOTTIME")
        else time.monotonic()
    )


def _identity() -> dict[str, Any]:
    """What tells a process from all others of its machine, before and after: so its death is known
    at once there.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        # Process numbers of one container mean nothing in another.
        return {
            "machine": f"{boot}/{os.stat('/proc/self/ns/pid').st_ino}",
            "started": _started(os.getpid()),
        }
    except OSError:
        return {"machine": None, "started": None}


def _started(pid: int) -> str:
    # The name of the program stands in brackets, and may hold anything.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


def _is_dead(lease: dict[str, Any]) -> bool:
    """True only of a process of this machine that has ended; of others their heartbeats tell."""
    if lease.get("machine") is None or lease["machine"] != _identity()["machine"]:
        return False
    try:
        return _started(lease["pid"]) != lease["started"]
    except OSError:
        return True
