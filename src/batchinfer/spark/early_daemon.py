"""The daemon of the Python workers on the driver's own machine, started together with the JVM.

Spark starts that daemon with the first Python task, when the session has long been there. To import
PyTorch takes as long as the JVM takes to start: so a process does it meanwhile, and becomes the
daemon once Spark asks for one (`batchinfer.worker_daemon`).
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from batchinfer import worker_daemon
from batchinfer.scratch import process_folder

# Longest path of a socket on Linux and macOS, with the zero at its end.
_LONGEST_PLACE = 104
_EXECUTORS = "spark.executorEnv."
# What a driver of Spark gives its Python workers where nobody says it.
_HASH_SEED, _THREADS = "PYTHONHASHSEED", "OMP_NUM_THREADS"

# The driver's end of the pipe that tells the process that the driver lives.
_waiting: list[subprocess.Popen[bytes]] = []


def conf_of_imports(imports: Sequence[str]) -> dict[str, str]:
    """Settings of a session whose daemons import these modules before they fork workers."""
    return {_EXECUTORS + worker_daemon.IMPORTS: ",".join(imports)} if imports else {}


def start_early(conf: Mapping[str, str]) -> dict[str, str]:
    """Starts the process that imports what the settings name; the settings by which Spark's daemon
    finds it; none where workers run another Python, or the path of a socket would be too long.

    Args:
        conf: of the session that starts next, `local[…]`.

    Runs on: driver.
    """
    if os.environ.get("PYSPARK_PYTHON", sys.executable) != sys.executable:
        return {}
    place = str(process_folder("daemon") / "daemon.sock")
    if len(os.fsencode(place)) >= _LONGEST_PLACE:
        return {}
    own = {
        name.removeprefix(_EXECUTORS): value
        for name, value in conf.items()
        if name.startswith(_EXECUTORS)
    }
    environment = {
        **os.environ,
        _HASH_SEED: os.environ.get(_HASH_SEED, "0"),
        _THREADS: conf.get("spark.task.cpus", "1"),
        **own,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "batchinfer.worker_daemon", "--early", place],
        env=environment,
        stdin=subprocess.PIPE,
        # Nothing of it is output of a command.
        stdout=subprocess.DEVNULL,
        cwd=Path.cwd(),
    )
    _waiting.append(process)
    return {_EXECUTORS + worker_daemon.EARLY: place}


def end_early() -> None:
    """Ends the process that waits, if it still does: the session that it was started for is gone.
    One that is a daemon ends with its JVM.
    """
    while _waiting:
        process = _waiting.pop()
        assert process.stdin is not None
        process.stdin.close()
        process.poll()
