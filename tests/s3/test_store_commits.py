"""Commits and leases in a bucket, by several processes at once: nothing is lost, and one run at a
time has a slice. No JVM.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pyarrow as pa
import pytest
from s3.conftest import ACCESS_KEY, FORGETFUL, SECRET_KEY, free_port, serving, text_for

from batchinfer.config.s3 import VARIABLE
from batchinfer.errors import SliceHeld, StorageError
from batchinfer.lake import delta, store_leases
from batchinfer.lake.conditions import check_conditional_writes
from batchinfer.lake.creation import ensure_table
from batchinfer.lake.leases import hold, running
from batchinfer.lake.snapshots import open_table
from batchinfer.lake.staged_files import remove_staged
from batchinfer.lake.staging import StagedWriter
from batchinfer.lake.storage import check_writable
from batchinfer.lake.table_places import open_filesystem

pytestmark = pytest.mark.timeout(300)
SCHEMA = pa.schema([("n", pa.int64()), ("slice", pa.string())])
PUBLISH = """
import sys
import pyarrow as pa
from batchinfer.lake.creation import ensure_table
from batchinfer.lake.delta import commit
from batchinfer.lake.staging import StagedWriter
table, name = sys.argv[1:]
schema = pa.schema([("n", pa.int64()), ("slice", pa.string())])
sys.stdin.readline()
ensure_table(table, schema, ["slice"])
for generation in range(4):
    with StagedWriter(table, schema, ["slice"], ["n"]) as writer:
        numbers = [generation * 10, generation * 10 + 1]
        writer.write(pa.record_batch({"n": numbers}), {"slice": name})
        known = {f"slice:{name}": generation}
        commit(table, writer.close(), replace={"slice": name}, transactions=known)
"""
HOLD = """
import sys, time
from batchinfer.errors import SliceHeld
from batchinfer.lake.leases import hold
lake, run = sys.argv[1:]
sys.stdin.readline()
try:
    with hold(lake, "p", "2026-11-21", run):
        print("held", flush=True)
        sys.stdin.readline()
except SliceHeld as error:
    print("refused", error, flush=True)
"""


def start(code: str, *arguments: str) -> subprocess.Popen[str]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-c", code, *arguments], text=True, **pipes)


def say(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None and process.stderr is not None
    return process.stdout.readline() or pytest.fail(process.stderr.read())


def staged(table: str, name: str, rows: int = 2) -> list[delta.StagedFile]:
    with StagedWriter(table, SCHEMA, ["slice"], ["n"]) as writer:
        writer.write(pa.record_batch({"n": list(range(rows))}), {"slice": name})
        return writer.close()


def keys(lake: str) -> set[str]:
    from pyarrow.fs import FileSelector

    filesystem, root = open_filesystem(lake)
    found = filesystem.get_file_info(FileSelector(root, recursive=True, allow_not_found=True))
    return {info.path.removeprefix(f"{root}/") for info in found if info.is_file}


def test_processes_that_publish_different_slices_at_once_lose_nothing(lake: str) -> None:
    table = f"{lake}/predictions/p"
    names = [f"s{number}" for number in range(5)]
    processes = [start(PUBLISH, table, name) for name in names]
    for process in processes:
        say(process)
    for process in processes:
        _, told = process.communicate(timeout=200)
        assert process.returncode == 0, told
    opened = open_table(table)
    rows = opened.to_pyarrow_table().to_pylist()
    assert sorted((row["slice"], row["n"]) for row in rows) == [
        (name, n) for name in names for n in (30, 31)
    ]
    # Every commit has a version of its own: the creation, and four of each process.
    assert opened.version() == len(names) * 4
    marks = [entry.get("batchinferCommit") for entry in opened.history()]
    assert len({mark for mark in marks if mark}) == len(names) * 4


def test_of_runs_that_race_for_a_slice_exactly_one_gets_it(lake: str) -> None:
    processes = [start(HOLD, lake, f"run-{number}") for number in range(4)]
    for process in processes:
        say(process)
    answers = [line(process) for process in processes]
    assert sorted(answer.split()[0] for answer in answers) == [
        "held",
        "refused",
        "refused",
        "refused",
    ], answers
    winner = f"run-{answers.index('held' + chr(10))}"
    assert [lease["run_id"] for lease in running(lake, "p")] == [winner]
    with (
        pytest.raises(
            SliceHeld, match=rf"slice 2026-11-21 of pipeline p is held by run {winner} \("
        ),
        hold(lake, "p", "2026-11-21", "late"),
    ):
        pytest.fail("two runs hold one slice")
    with hold(lake, "p", "2026-11-22", "other"):
        assert {lease["run_id"] for lease in running(lake, "p")} == {winner, "other"}
    for process in processes:
        process.communicate("\n", timeout=60)
    assert running(lake, "p") == []
    with hold(lake, "p", "2026-11-21", "next"):
        assert [lease["run_id"] for lease in running(lake, "p")] == ["next"]


def test_a_run_that_was_killed_on_this_machine_holds_nothing(lake: str) -> None:
    process = start(HOLD, lake, "killed")
    say(process)
    assert line(process) == "held\n"
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    assert running(lake, "p") == []
    with hold(lake, "p", "2026-11-21", "next"):
        assert [lease["run_id"] for lease in running(lake, "p")] == ["next"]
    assert not [key for key in keys(lake) if "_beats" in key]


def test_a_run_of_another_machine_is_taken_over_when_its_beat_is_old_and_then_cannot_commit(
    lake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = f"{lake}/predictions/p"
    ensure_table(table, SCHEMA, ["slice"])
    # Whether a process lives is asked on its own machine only.
    monkeypatch.setattr(store_leases, "_identity", lambda: {"machine": None, "started": None})
    monkeypatch.setattr(store_leases, "RENEW_S", 3600.0)
    with hold(lake, "p", "2026-11-21", "frozen"):
        with pytest.raises(SliceHeld, match="run frozen"), hold(lake, "p", "2026-11-21", "early"):
            pytest.fail("taken over although its task_progress is fresh")
        monkeypatch.setattr(store_leases, "EXPIRES_S", 2.0)
        time.sleep(4)
        with hold(lake, "p", "2026-11-21", "heir"):
            # Both leases are this process's; that of the frozen run is what a commit is refused
            # for.
            monkeypatch.setattr(store_leases, "_SURE_S", 0.0)
            with pytest.raises(
                SliceHeld, match=r"did not renew its lease for .* another run took it"
            ):
                delta.commit(table, staged(table, "a"))
    assert open_table(table).version() == 0


def test_a_lease_is_renewed_while_it_is_held(lake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_leases, "_identity", lambda: {"machine": None, "started": None})
    monkeypatch.setattr(store_leases, "RENEW_S", 0.3)
    monkeypatch.setattr(store_leases, "EXPIRES_S", 3.0)
    with hold(lake, "p", "2026-11-21", "long"):
        time.sleep(6)
        with pytest.raises(SliceHeld, match="run long"), hold(lake, "p", "2026-11-21", "other"):
            pytest.fail("taken over although it was renewed")


def test_a_store_that_overwrites_in_spite_of_the_condition_is_refused(
    lake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_conditional_writes(lake)
    assert keys(lake) == set()
    with serving(FORGETFUL) as forgetful:
        forgetful.put("other-bucket", b"")
        monkeypatch.setenv(VARIABLE, text_for(forgetful.url))
        other = "s3a://other-bucket/lake"
        with (
            pytest.raises(StorageError, match="the store overwrote an object"),
            hold(other, "p", "2026-11-21", "r"),
        ):
            pytest.fail("a lease on a store that loses commits")
        assert keys(other) == set()


def test_staged_files_go_unless_the_table_holds_them(lake: str) -> None:
    table = f"{lake}/landed/p"
    ensure_table(table, SCHEMA, ["slice"])
    kept, orphan = staged(table, "a"), staged(table, "b")
    delta.commit(table, kept)
    assert remove_staged(table, [*kept, *orphan]) == 1
    assert [row["slice"] for row in open_table(table).to_pyarrow_table().to_pylist()] == ["a", "a"]
    with pytest.raises(StorageError, match="found no file"):
        delta.commit(table, orphan)


def test_what_is_wrong_with_a_store_is_told_in_seconds(
    lake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = time.monotonic()
    with pytest.raises(StorageError, match="s3a://no-such-bucket/lake: cannot write") as missing:
        check_writable("s3a://no-such-bucket/lake")
    assert "no such bucket" in str(missing.value.hint)
    with pytest.raises(StorageError, match="NoSuchBucket"):
        open_table("s3a://no-such-bucket/lake/t")
    monkeypatch.setenv(VARIABLE, text_for(f"http://127.0.0.1:{free_port()}"))
    for work in (check_writable, open_table):
        with pytest.raises(StorageError, match=rf"{lake}: cannot") as refused:
            work(lake)
        assert "check the store's address" in str(refused.value.hint)
    with serving(INITIAL_NO_AUTH_ACTION_COUNT="0") as strict:
        monkeypatch.setenv(VARIABLE, text_for(strict.url))
        for work in (check_writable, open_table):
            with pytest.raises(StorageError) as denied:
                work(lake)
            assert "the store refused access" in str(denied.value.hint), denied.value
            assert ACCESS_KEY not in str(denied.value) and SECRET_KEY not in str(denied.value)
    assert time.monotonic() - began < 60
