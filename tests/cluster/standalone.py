"""A standalone Spark cluster of processes: a master, and workers that see neither the checkout nor
what is installed beside it.

Each worker has a working folder, a home and variables of its own, and the Python of a machine that
has the packages (`node_python`) or of one that has nothing (`bare_python`).
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from e2e.commands import Project, Result, as_result

from batchinfer.spark.session import spark_home
from batchinfer.spark.shipping import installed_files, needed_distributions

_START_S = 60
HOST = "127.0.0.1"
_UNSHARE = (
    ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]
)


def bare_python() -> Path:
    """The Python that the virtual environment was made from: it has no packages of ours."""
    return Path(sys.executable).resolve()


def node_python(folder: Path) -> Path:
    """The Python of a machine on which the needed packages are installed, and batchinfer is not."""
    for source, name in installed_files(needed_distributions().values()):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, target)
        except OSError:  # another disk
            shutil.copyfile(source, target)
    (folder / "bin").mkdir()
    (folder / "bin" / "python").symlink_to(bare_python())
    return folder / "bin" / "python"


def without(folders: Sequence[Path]) -> list[str]:
    """What to put before a command so that it sees empty folders in place of these."""
    if not folders:
        return []
    script = (
        'while [ "$1" != -- ]; do mount -t tmpfs none "$1" || exit 1; shift; done; shift; exec "$@"'
    )
    return [*_UNSHARE, "sh", "-c", script, "sh", *map(str, folders), "--"]


def can_hide() -> bool:
    """Whether this machine lets processes have mounts of their own."""
    return subprocess.run([*_UNSHARE, "true"], capture_output=True, check=False).returncode == 0


@dataclass
class Worker:
    """A worker process, and the folder that it and its executors work in."""

    process: subprocess.Popen[bytes]
    folder: Path

    def executors(self) -> list[psutil.Process]:
        """The JVMs of its executors."""
        return [
            one
            for one in psutil.Process(self.process.pid).children(recursive=True)
            if _is_executor(one)
        ]

    def leave(self) -> None:
        """The machine is gone at once, with all that runs on it."""
        kill_tree(self.process)

    def logs(self) -> str:
        """What its executors said."""
        return "\n".join(
            path.read_text(errors="replace") for path in sorted(self.folder.glob("app-*/*/stderr"))
        )


def _is_executor(process: psutil.Process) -> bool:
    try:
        return "CoarseGrainedExecutorBackend" in " ".join(process.cmdline())
    except psutil.Error:  # it ended meanwhile, and its parent has not looked yet
        return False


@dataclass
class Cluster:
    """A master with its workers; use as a context."""

    folder: Path
    master: str = ""
    workers: list[Worker] = field(default_factory=list)
    _joined: int = 0
    _stack: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Cluster:
        process = self._start(
            "master",
            "org.apache.spark.deploy.master.Master",
            "--host",
            HOST,
            "--port",
            "0",
            "--webui-port",
            "0",
        )
        log = self.folder / "master" / "log"
        self.master = _wait_for(log, process, r"Starting Spark master at (spark://\S+)")
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def join(self, cores: int = 1, memory: str = "1500m", hidden: Sequence[Path] = ()) -> Worker:
        """A machine that joins; returns when the master knows it.

        Args:
            hidden: folders that it does not see: it has an empty one of its own in place of each.
        """
        self._joined += 1
        name = f"worker-{self._joined}"
        options = [
            "--host",
            HOST,
            "--port",
            "0",
            "--webui-port",
            "0",
            "--cores",
            str(cores),
            "--memory",
            memory,
        ]
        folder = self.folder / name
        options += ["--work-dir", str(folder), self.master]
        process = self._start(
            name, "org.apache.spark.deploy.worker.Worker", *options, hidden=hidden
        )
        _wait_for(folder / "log", process, "(Successfully registered with master)")
        self.workers.append(Worker(process, folder))
        return self.workers[-1]

    def _start(
        self, name: str, class_: str, *options: str, hidden: Sequence[Path] = ()
    ) -> subprocess.Popen[bytes]:
        folder = self.folder / name
        (folder / "home").mkdir(parents=True)
        own = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(folder / "home"),
            "SPARK_HOME": str(spark_home()),
            "SPARK_LOCAL_DIRS": str(folder / "scratch"),
            "SPARK_DAEMON_MEMORY": "256m",
            **{name: os.environ[name] for name in ("JAVA_HOME",) if name in os.environ},
        }
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [*without(hidden), str(spark_home() / "bin" / "spark-class"), class_, *options],
                cwd=folder, env=own, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self._stack.callback(kill_tree, process)
        return process


def _wait_for(log: Path, process: subprocess.Popen[bytes], pattern: str) -> str:
    end = time.monotonic() + _START_S
    while time.monotonic() < end and process.poll() is None:
        found = re.search(pattern, log.read_text(errors="replace"))
        if found:
            return next(group for group in found.groups() if group)
        time.sleep(0.1)
    raise AssertionError(
        f"no {pattern!r} in {log}, exit "
        f"{process.poll()}:\n{log.read_text(errors='replace')[-3000:]}"
    )


def kill_tree(process: subprocess.Popen[Any]) -> None:
    """Kills a process and all below it, and waits for its end."""
    try:
        below = psutil.Process(process.pid).children(recursive=True)
    except psutil.Error:
        below = []
    for one in [*below, process]:
        try:
            os.kill(one.pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    process.wait(timeout=30)


def submit(project: Project, *arguments: str, timeout_s: float = 420, **variables: str) -> Result:
    """A job by the project's own spark-submit.sh, whose stdout ends in the job's JSON."""
    script = Path(__file__).parents[2] / "spark-submit.sh"
    running = start(project, str(script), *arguments, **variables)
    stdout, stderr = running.communicate(timeout=timeout_s)
    return as_result(running.returncode, stdout, stderr)


def start(project: Project, *command: str, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command,
        cwd=project.root,
        env=project.environment(**variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
