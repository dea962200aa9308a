"""Leases: one holder, named to whoever is refused, gone with its process."""

from __future__ import annotations

import fcntl
import os
import pickle
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from batchinfer.errors import SliceHeld, StorageError
from batchinfer.lake.leases import hold, running
from batchinfer.lake.locks import TABLE_LOCK, FileLock, table_lock
from batchinfer.lake.storage import check_writable

HOLDER = """
import sys, time
from batchinfer.lake.leases import hold
with hold({lake!r}, "p", {slice_!r}, "run-1", "score"):
    print("held", flush=True)
    {then}
"""


def start_holder(lake: Path, slice_: str, then: str = "time.sleep(60)") -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER.format(lake=str(lake), slice_=slice_, then=then)],
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None and process.stdout.readline() == b"held\n"
    return process


@pytest.mark.parametrize("slice_", ["2026-11-21", "a/b", "..", None])
def test_second_holder_is_refused_and_told_who(tmp_path: Path, slice_: str | None) -> None:
    lake = str(tmp_path)
    with hold(lake, "p", slice_, "run-1", "score") as lease:
        with (
            pytest.raises(SliceHeld, match=r"held by run run-1 \(score, process") as caught,
            hold(lake, "p", slice_, "run-2"),
        ):
            pass
        assert lease["since"] in str(caught.value) and str(os.getpid()) in str(caught.value)
        assert pickle.loads(pickle.dumps(caught.value)).exit_code == 6
        assert running(lake, "p") == [lease]
        with hold(lake, "p", "other", "run-3"), hold(lake, "q", slice_, "run-4"):
            assert len(running(lake, "p")) == 2
    assert running(lake, "p") == []
    with hold(lake, "p", slice_, "run-5"):
        pass
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_lease_ends_with_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), hold(str(tmp_path), "p", "s", "run-1"):
        raise RuntimeError
    with hold(str(tmp_path), "p", "s", "run-2"):
        pass


def test_lease_of_another_process_ends_when_it_is_killed(tmp_path: Path) -> None:
    process = start_holder(tmp_path, "s")
    with (
        pytest.raises(SliceHeld, match=f"process {process.pid} "),
        hold(str(tmp_path), "p", "s", "run-2"),
    ):
        pass
    [lease] = running(str(tmp_path), "p")
    assert (lease["run_id"], lease["pid"], lease["slice"], lease["command"]) == (
        "run-1",
        process.pid,
        "s",
        "score",
    )
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.stdout is not None
    process.stdout.close()
    assert running(str(tmp_path), "p") == []
    with hold(str(tmp_path), "p", "s", "run-2"):
        pass


def test_child_of_a_killed_holder_does_not_keep_the_lease(tmp_path: Path) -> None:
    process = start_holder(
        tmp_path,
        "s",
        "import os\n    pid = os.fork()\n    pid and print(pid, flush=True)\n    time.sleep(60)",
    )
    assert process.stdout is not None
    child = int(process.stdout.readline())
    try:
        process.send_signal(signal.SIGKILL)
        process.wait()
        os.kill(child, 0)
        with hold(str(tmp_path), "p", "s", "run-2"):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        process.stdout.close()


def test_lock_excludes_threads_and_survives_removal_of_its_file(tmp_path: Path) -> None:
    inside, most = 0, 0
    guard = threading.Lock()

    def work() -> None:
        nonlocal inside, most
        for _ in range(20):
            lock = FileLock(tmp_path / "lock")
            assert lock.acquire(30)
            with guard:
                inside += 1
                most = max(most, inside)
            with guard:
                inside -= 1
            lock.release(remove=True)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_lock_on_a_file_that_was_removed_meanwhile_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, real, removed = tmp_path / "lock", fcntl.flock, []

    def remove_first(fd: int, operation: int) -> None:
        if not removed:
            removed.append(path.unlink())
        real(fd, operation)

    monkeypatch.setattr(fcntl, "flock", remove_first)
    first, second = FileLock(path), FileLock(path)
    assert first.acquire(5) and removed
    assert not second.acquire(0)
    first.release()


def test_table_lock_waits_and_then_gives_up(tmp_path: Path) -> None:
    with (
        table_lock(str(tmp_path)),
        pytest.raises(StorageError, match=TABLE_LOCK),
        table_lock(str(tmp_path), timeout_s=0.05),
    ):
        pass
    with table_lock(str(tmp_path), timeout_s=0):
        pass


def test_place_that_cannot_be_written_is_told_at_once(tmp_path: Path) -> None:
    check_writable(str(tmp_path / "new" / "lake"))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file"), hold(str(tmp_path / "file"), "p", "s", "run-1"):
        pass
