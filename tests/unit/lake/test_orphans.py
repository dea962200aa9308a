"""What a killed run leaves is removed by the next run of its pipeline, and nothing else is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pytest

from batchinfer.contracts import StagedFile
from batchinfer.lake import store_leases
from batchinfer.lake.creation import ensure_table
from batchinfer.lake.delta import commit
from batchinfer.lake.leases import hold, left_behind, running
from batchinfer.lake.orphans import hold_and_sweep
from batchinfer.lake.staging import StagedWriter

SCHEMA = pa.schema([("id", pa.int64()), ("slice", pa.string())])
ON_A_STORE = """
import os, sys, time
from batchinfer.lake import store_leases
lake, run = sys.argv[1:]
lease = {"run_id": run, "pid": os.getpid(), "heir_of": []}
os.makedirs(f"{lake}/_leases/orders/_beats")  # stores have no folders
with store_leases.take(lake, "orders", "a", lease).held():
    print("held", flush=True)
    time.sleep(60)
"""
HOLDS = """
import sys, time
from batchinfer.lake.leases import hold
lake, slice_, run, *heir_of = sys.argv[1:]
with hold(lake, "orders", slice_, run, heir_of=heir_of):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def lake(tmp_path: Path) -> str:
    ensure_table(str(tmp_path / "landed"), SCHEMA, ["slice"])
    return str(tmp_path)


def stage(lake: str, run_id: str) -> list[StagedFile]:
    with StagedWriter(f"{lake}/landed", SCHEMA, ["slice"], [], run_id=run_id) as writer:
        rows = pa.RecordBatch.from_arrays([pa.array([1, 2])], names=["id"])
        writer.write(rows, {"slice": "a"})
        return writer.close()


@contextmanager
def at_work(lake: str, slice_: str, run_id: str, *heir_of: str) -> Generator[None]:
    """A process that holds a lease, and is killed at the end of the block."""
    with working(HOLDS, lake, slice_, run_id, *heir_of):
        yield


@contextmanager
def working(program: str, *arguments: str) -> Generator[None]:
    process = subprocess.Popen([sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None and process.stdout.readline() == b"held\n"
        yield
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()


def killed(lake: str, slice_: str, run_id: str, *heir_of: str) -> None:
    with at_work(lake, slice_, run_id, *heir_of):
        pass


def sweep(lake: str, slice_: str = "b") -> list[str]:
    with hold_and_sweep(lake, "orders", slice_, "run-now", [f"{lake}/landed"]) as notes:
        return notes


def there(lake: str, files: list[StagedFile]) -> bool:
    return all(Path(lake, "landed", file.path).exists() for file in files)


@pytest.mark.parametrize("slice_", ["a", "b"])
def test_what_a_killed_run_staged_goes_and_is_said(lake: str, slice_: str) -> None:
    dead, unnamed = stage(lake, "run-1"), stage(lake, "")
    killed(lake, "a", "run-1")
    size = dead[0].size
    assert sweep(lake, slice_) == [
        f"run run-1 was killed; the 1 files ({size:,} bytes) that it had staged, and that no "
        "commit names, are removed"
    ]
    assert not there(lake, dead) and there(lake, unnamed)
    assert left_behind(lake, "orders") == []
    assert sweep(lake) == []


def test_what_a_commit_names_stays_also_what_one_has_removed(lake: str) -> None:
    held, former = stage(lake, "run-1"), stage(lake, "run-1")
    commit(f"{lake}/landed", [*held, *former])
    commit(f"{lake}/landed", [], remove=[former[0].path])
    killed(lake, "a", "run-1")
    assert sweep(lake) == []
    assert there(lake, [*held, *former])


def test_runs_that_live_keep_what_they_stage(lake: str) -> None:
    living = stage(lake, "run-2")
    with at_work(lake, "a", "run-2"):
        assert left_behind(lake, "orders") == []
        assert sweep(lake) == []
        assert there(lake, living)
        assert [lease["run_id"] for lease in running(lake, "orders")] == ["run-2"]
    assert len(sweep(lake)) == 1


def test_a_run_that_came_to_its_end_leaves_nothing_to_look_for(lake: str) -> None:
    files = stage(lake, "run-3")
    with hold(lake, "orders", "a", "run-3"):
        pass
    assert sweep(lake) == [] and there(lake, files)


def test_a_run_that_is_killed_while_it_sweeps_passes_its_task_on(lake: str) -> None:
    files = stage(lake, "run-1")
    killed(lake, "a", "run-4", "run-1")
    assert ["run run-1 was killed" in note for note in sweep(lake, "a")] == [True]
    assert not there(lake, files)


def test_a_pipeline_of_another_name_is_none_of_ours(lake: str) -> None:
    files = stage(lake, "run-1")
    killed(lake, "a", "run-1")
    with hold_and_sweep(lake, "others", "a", "run-now", [f"{lake}/landed"]) as notes:
        assert notes == []
    assert there(lake, files)


def test_a_lease_of_a_store_tells_of_a_process_of_this_machine_that_died(lake: str) -> None:
    with working(ON_A_STORE, lake, "run-1"):
        assert store_leases.dead_leases(lake, "orders") == []
    dead = store_leases.dead_leases(lake, "orders")
    assert [lease["run_id"] for lease in dead] == ["run-1"]
    store_leases.drop_leases(lake, "orders", dead)
    assert store_leases.dead_leases(lake, "orders") == []
