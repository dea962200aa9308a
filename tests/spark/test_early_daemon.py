"""The daemon of the workers that starts beside the JVM: its workers have what they need when they
are forked, and nothing of it outlives the driver.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

import psutil

SESSION = """
import json, os, sys
from batchinfer.config.environment import SparkSettings
from batchinfer.spark.session import open_session

conf = {"spark.ui.enabled": False, "spark.log.level": "ERROR"}
spark = open_session(SparkSettings(master="local[2]", conf=conf), "early", imports=IMPORTS)

def look(_):
    import os, sys
    from pathlib import Path

    modules = {name: name in sys.modules for name in ("torch", "pyarrow")}
    cuda = modules["torch"] and sys.modules["torch"].cuda.is_initialized()
    parent = Path(f"/proc/{os.getppid()}/cmdline").read_text().split("\\0")
    yield {"modules": modules, "cuda": cuda, "daemon": parent[2:4], "parent": os.getppid(),
           "seed": hash("a word"), "threads": os.environ["OMP_NUM_THREADS"],
           "folder": os.getcwd(), "worker": os.getpid()}

def looked():
    return spark.sparkContext.parallelize(range(2), 2).mapPartitions(look).collect()
"""
ONCE = """
print(json.dumps(looked()))
"""
TWICE = """
first = looked()
spark.sparkContext.environment["ANOTHER"] = "variable"
print(json.dumps([*first, *looked()]))
"""
WAITS = """
print(json.dumps(looked()), flush=True)
sys.stdin.read()
"""


def script(body: str, imports: tuple[str, ...]) -> list[str]:
    return [sys.executable, "-c", SESSION.replace("IMPORTS", repr(imports)) + body]


def environment() -> dict[str, str]:
    own = ("PYSPARK", "SPARK", "OMP_")
    return {name: value for name, value in os.environ.items() if not name.startswith(own)}


def ran(body: str, imports: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        script(body, imports),
        env=environment(),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def looked(body: str, imports: tuple[str, ...]) -> list[dict[str, Any]]:
    done = ran(body, imports)
    assert "batchinfer:" not in done.stderr, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_workers_are_forked_from_a_process_that_has_imported_for_them() -> None:
    found = looked(ONCE, ("torch",))
    for one in found:
        assert one["modules"]["torch"]
        assert not one["cuda"], "a CUDA context does not survive a fork"
        assert one["daemon"] == ["batchinfer.worker_daemon", "--early"]
        assert one["threads"] == "1"
        assert one["folder"] == os.getcwd()
    assert len({one["parent"] for one in found}) == 1
    assert len({one["seed"] for one in found}) == 1


def test_workers_hash_and_compute_as_those_of_sparks_own_daemon() -> None:
    [early, *_], [late, *_] = looked(ONCE, ("torch",)), looked(ONCE, ())
    assert late["daemon"] == ["batchinfer.worker_daemon", "pyspark.worker"]
    assert not late["modules"]["torch"]
    for word in ("seed", "threads", "folder"):
        assert early[word] == late[word], word


def test_a_second_daemon_of_the_session_imports_by_itself() -> None:
    found = looked(TWICE, ("torch",))
    daemons = [one["daemon"][1] for one in found]
    assert daemons == ["--early", "--early", "pyspark.worker", "pyspark.worker"]
    assert all(one["modules"]["torch"] for one in found)


def test_a_module_that_is_not_there_is_told_and_costs_no_run() -> None:
    done = ran(ONCE, ("no_such_module",))
    told = "batchinfer: workers start without no_such_module: No module named 'no_such_module'"
    assert told in done.stderr


def test_nothing_outlives_a_driver_that_is_killed() -> None:
    with subprocess.Popen(
        script(WAITS, ("torch",)),
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as driver:
        assert driver.stdout is not None
        found = json.loads(driver.stdout.readline())
        others = psutil.Process(driver.pid).children(recursive=True)
        known = {one.pid for one in others}
        assert {one[word] for one in found for word in ("parent", "worker")} <= known
        driver.send_signal(signal.SIGKILL)
        _, alive = psutil.wait_procs(others, timeout=60)
    assert not alive


def test_a_process_that_no_daemon_came_to_ends_with_the_driver() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SESSION.replace("IMPORTS", "('torch',)") + "sys.stdin.read()"],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as driver:
        waiting: list[psutil.Process] = []
        until = time.monotonic() + 120
        while not waiting and time.monotonic() < until:
            time.sleep(0.2)
            children = psutil.Process(driver.pid).children(recursive=True)
            waiting = [one for one in children if "--early" in one.cmdline()]
        assert waiting
        driver.send_signal(signal.SIGKILL)
        _, alive = psutil.wait_procs(waiting, timeout=60)
    assert not alive
