"""Puts a job's spark-submit command together and runs it (`spark-submit.sh` calls this).

Owns what travels: the settings of the environment, the package itself as a zip for executors without the checkout.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from batchinfer.errors import BatchInferError, ConfigError
from batchinfer.session import spark_home

if TYPE_CHECKING:
    import psutil


def checkout() -> Path | None:
    """The folder that the jobs stand in, where the package runs from a checkout."""
    from batchinfer.config import project

    return project.checkout()


def split_arguments(arguments: Sequence[str]) -> tuple[str, list[str], list[str]]:
    """(job file, its arguments, what follows `--spark`)."""
    job, *rest = arguments
    if not Path(job).is_file():
        beside = checkout()
        if beside is None or not (beside / job).is_file():
            raise ConfigError(
                f"job file: got {job}, which is neither below {Path.cwd()} nor below {beside}; allowed: jobs/score.py, …"
            )
        job = str(beside / job)
    if "--spark" not in rest:
        return job, rest, []
    at = rest.index("--spark")
    return job, rest[:at], rest[at + 1 :]


def environment_of(arguments: Sequence[str]) -> str:
    """The value of `--env` among a job's arguments, else BATCHINFER_ENV, else local."""
    for place, argument in enumerate(arguments):
        if argument.startswith("--env="):
            return argument.removeprefix("--env=")
        if argument == "--env" and place + 1 < len(arguments):
            return arguments[place + 1]
    return os.environ.get("BATCHINFER_ENV", "local")


def package_zip(folder: Path) -> Path:
    """The package as a zip that `--py-files` ships: executors then need no checkout."""
    import batchinfer

    package = Path(batchinfer.__file__).parent
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / "batchinfer.zip"
    partial = target.with_suffix(f".{os.getpid()}")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(package.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                archive.write(path, Path("batchinfer") / path.relative_to(package))
    partial.rename(target)
    return target


def submit_command(arguments: Sequence[str]) -> list[str]:
    """The whole command line, from the job's arguments and the environment's settings.

    Runs on: driver.

    Raises:
        ConfigError: no such job or environment.
        SetupError: no usable Java.
    """
    from batchinfer.config.loader import load_state
    from batchinfer.java import check_java
    from batchinfer.session import session_conf

    job, job_arguments, spark_arguments = split_arguments(arguments)
    environment, home = load_state(environment_of(job_arguments))
    check_java()
    settings = environment.spark
    if master := os.environ.get("SPARK_MASTER"):
        settings = settings.model_copy(update={"master": master})
    command = [str(spark_home() / "bin" / "spark-submit"), "--name", f"batchinfer {Path(job).stem}"]
    if properties := os.environ.get("SPARK_CONF_FILE"):
        if not Path(properties).is_file():
            raise ConfigError(f"SPARK_CONF_FILE: got {properties}, which is no file; allowed: a properties file of Spark")
        command += ["--properties-file", properties]
    for name, value in session_conf(settings).items():
        command += ["--conf", f"{name}={value}"]
    if settings.master is None or not settings.master.startswith("local["):
        command += ["--py-files", str(package_zip(home / "staging"))]
    return [*command, *spark_arguments, job, *job_arguments]


def main() -> int:
    """Runs spark-submit and waits for it; signals go to the job, whose JSON line and exit code are the answer."""
    from batchinfer.command import SUBMITTED, report_failure

    try:
        command = submit_command(sys.argv[1:])
    except BatchInferError as error:
        return report_failure(error)
    own = {"SPARK_HOME": str(spark_home()), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", SUBMITTED: "1"}
    python = {"PYSPARK_PYTHON": sys.executable, "PYSPARK_DRIVER_PYTHON": sys.executable}
    # In a session of its own: a Ctrl-C at the terminal would end the JVM before the job has released what it holds.
    running = subprocess.Popen(command, env={**python, **os.environ, **own}, start_new_session=True)

    def forward(number: int, _frame: FrameType | None) -> None:
        for process in _job_processes(running.pid, command):
            process.send_signal(number)

    signal.signal(signal.SIGINT, forward)
    signal.signal(signal.SIGTERM, forward)
    return running.wait()


def _job_processes(pid: int, command: Sequence[str]) -> list[psutil.Process]:
    """The job's Python below the JVM; while that has not started it yet, the JVM itself."""
    import psutil

    try:
        jvm = psutil.Process(pid)
        below = [process for process in jvm.children(recursive=True) if "python" in process.name()]
        names = {Path(part).name for part in command if part.endswith(".py")}
        jobs = [process for process in below if names & {Path(part).name for part in process.cmdline()[1:2]}]
    except psutil.NoSuchProcess:
        return []
    return jobs[:1] or [jvm]


if __name__ == "__main__":
    raise SystemExit(main())
