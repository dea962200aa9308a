"""Puts a job's spark-submit command together and runs it (`spark-submit.sh` calls this).

Owns what a job's process is given: the settings of the environment, what `shipping` packs, and what
a driver that runs on a machine of the cluster needs.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from batchinfer.command import SUBMITTED, report_failure, stdout_for_the_line, tell
from batchinfer.command_line.cli_options import asks_for_json
from batchinfer.config.project import (
    CHECKOUT,
    SETTINGS,
    State,
    checkout,
    find_project,
    pipeline_file,
    project_of,
    settings_folder,
)
from batchinfer.credentials import holds_user
from batchinfer.errors import BatchInferError, ConfigError, Interrupted
from batchinfer.report.terminal import show_line
from batchinfer.spark.session import check_master, session_conf, spark_home
from batchinfer.spark.shipping import Shipment, appended, conf_zip, shipment

if TYPE_CHECKING:
    import psutil


HOME = "BATCHINFER_HOME"
_DEPLOY_MODE = "spark.submit.deployMode"
_LISTS = {"--py-files": "spark.submit.pyFiles", "--archives": "spark.archives"}


def split_arguments(arguments: Sequence[str]) -> tuple[str, list[str], list[str]]:
    """(job file, its arguments, what follows `--spark`)."""
    job, *rest = arguments
    if not Path(job).is_file():
        beside = checkout()
        if beside is None or not (beside / job).is_file():
            raise ConfigError(
                f"job file: got {job}, which is neither below {Path.cwd()} nor below {beside}; "
                "allowed: jobs/score.py, …"
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


def project_asked(arguments: Sequence[str]) -> Path:
    """The project of the pipeline that a job's arguments name. Where they name none that can be
    found, the job says so: then that of the working folder, or the checkout.
    """
    ref = None
    for place, argument in enumerate(arguments):
        if argument in ("-p", "--pipeline") and place + 1 < len(arguments):
            ref = arguments[place + 1]
        elif argument.startswith("--pipeline="):
            ref = argument.removeprefix("--pipeline=")
    try:
        return find_project(Path.cwd()) if ref is None else project_of(pipeline_file(ref).parent)
    except ConfigError:
        return find_project(Path.cwd())


@dataclass(frozen=True)
class Submission:
    """A spark-submit command, and the variables that it needs besides those of this process."""

    command: list[str]
    variables: dict[str, str]
    away: bool


def submission(arguments: Sequence[str]) -> Submission:
    """The whole command, from the job's arguments and the environment's settings.

    Runs on: driver, or the machine that submits to one.

    Raises:
        ConfigError: no such job, environment, or kind of master.
        StorageError: no standalone master answers.
        SetupError: no usable Java; the environment cannot be packed.
    """
    from batchinfer.config.loader import load_state
    from batchinfer.java import check_java

    job, job_arguments, spark_arguments = split_arguments(arguments)
    project = project_asked(job_arguments)
    environment, home = load_state(environment_of(job_arguments), project)
    check_java()
    settings = environment.spark
    if master := os.environ.get("SPARK_MASTER"):
        settings = settings.model_copy(update={"master": master})
    if (
        master := option_of(spark_arguments, "--master", "spark.master")
        or settings.conf.get("spark.master")
        or settings.master
    ):
        # Before anything is packed, which may take minutes.
        check_master(str(master))
    if told := State(home, environment.lake, environment.registry).told_once():
        show_line(told)
    sent = shipment(settings, home / "shipped")
    away = is_away(settings.conf, spark_arguments)
    conf = session_conf(settings, driver_is_here=not away) | dict(sent.conf)
    if away:
        conf |= for_driver_away(conf, sent, project, home / "shipped")
    command = [str(spark_home() / "bin" / "spark-submit"), "--name", f"batchinfer {Path(job).stem}"]
    if properties := os.environ.get("SPARK_CONF_FILE"):
        if not Path(properties).is_file():
            raise ConfigError(
                f"SPARK_CONF_FILE: got {properties}, which is no file; allowed: a properties file "
                "of Spark"
            )
        command += ["--properties-file", properties]
    spark_arguments, conf = merged(spark_arguments, conf)
    for name, value in conf.items():
        command += ["--conf", f"{name}={value}"]
    # The executors' Python goes by what the driver finds in its variables, and the driver's is this
    # one.
    here = os.environ.get("PYSPARK_PYTHON", sys.executable)
    python = {"PYSPARK_PYTHON": sent.python or here, "PYSPARK_DRIVER_PYTHON": sys.executable}
    if away:
        python["PYSPARK_DRIVER_PYTHON"] = python["PYSPARK_PYTHON"]
    return Submission([*command, *spark_arguments, job, *job_arguments], python, away)


def merged(
    spark_arguments: Sequence[str], conf: Mapping[str, str]
) -> tuple[list[str], dict[str, str]]:
    """Lists of files that the caller's arguments name are added to ours: of an option and a
    setting, Spark takes the option.
    """
    left, lists = list(spark_arguments), dict(conf)
    for option, name in _LISTS.items():
        if option in left[:-1]:
            at = left.index(option)
            lists[name] = appended(lists.get(name), left[at + 1])
            del left[at : at + 2]
    return left, lists


def is_away(conf: Mapping[str, object], spark_arguments: Sequence[str]) -> bool:
    """Whether the driver will run on a machine of the cluster (`--deploy-mode cluster`)."""
    return (
        option_of(spark_arguments, "--deploy-mode", _DEPLOY_MODE)
        or str(conf.get(_DEPLOY_MODE, "client"))
    ) == "cluster"


def option_of(spark_arguments: Sequence[str], option: str, setting: str) -> str | None:
    """What the arguments of spark-submit say of an option, or of the setting that it stands for;
    the last one counts.
    """
    found = None
    for place, argument in enumerate(spark_arguments):
        if argument == option and place + 1 < len(spark_arguments):
            found = spark_arguments[place + 1]
        for opening in (f"{option}=", f"{setting}=", f"--conf={setting}="):
            if argument.startswith(opening):
                found = argument.removeprefix(opening)
    return found


def for_driver_away(
    conf: Mapping[str, str], sent: Shipment, project: Path, folder: Path
) -> dict[str, str]:
    """What a driver on another machine needs besides: the project's `conf/`, and the variables
    that name the places.

    Where nothing is sent, its image has the files. Variables travel as settings of Spark, which are
    no place for secrets: only those that begin with BATCHINFER_ do.

    Raises:
        ConfigError: one of them is an address with a user or a password.
    """
    own = {
        name: value
        for name, value in os.environ.items()
        if name.startswith("BATCHINFER_") and name not in (HOME, SUBMITTED, CHECKOUT, SETTINGS)
    }
    if secret := [name for name, value in own.items() if holds_user(value)]:
        raise ConfigError(
            [
                f"{name}: got an address with a user or a password; Spark shows its settings to "
                "others"
                for name in secret
            ],
            hint="unset it here, and give it to the driver as the cluster manager gives secrets",
        )
    prefixes = ("spark.yarn.appMasterEnv.", "spark.kubernetes.driverEnv.")
    more = {f"{prefix}{name}": value for prefix in prefixes for name, value in own.items()}
    if sent.conf:
        packed = conf_zip(project, folder)
        more["spark.archives"] = appended(conf.get("spark.archives"), f"{packed}#conf")
    return more


def main() -> int:
    """Runs spark-submit and waits for it; signals go to the job, whose JSON line and exit code are
    the answer. All else that Spark and the job print goes to standard error.
    """
    asked = asks_for_json(sys.argv[1:])
    with stdout_for_the_line(asked), tempfile.TemporaryDirectory(prefix="batchinfer-") as folder:
        try:
            submitted = submission(sys.argv[1:])
        except BatchInferError as error:
            return report_failure(error)
        line = Path(folder) / "line"
        line.touch()
        code, stopped = _run(submitted, line)
        told = line.read_text()
        if told:
            tell(told)
        elif code != 0 and not submitted.away:
            report_failure(_untold(code, stopped))
        return code


def _run(submitted: Submission, line: Path) -> tuple[int, int | None]:
    """(exit code, the signal that came meanwhile)."""
    own = {
        "SPARK_HOME": str(spark_home()),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        SUBMITTED: str(line),
    }
    if (beside := checkout()) is not None:
        own[CHECKOUT] = str(beside)
    if (shipped := settings_folder()) is not None:
        own[SETTINGS] = str(shipped)
    # In a session of its own: a Ctrl-C at the terminal would end the JVM before the job has
    # released what it holds.
    command, variables = submitted.command, {**os.environ, **submitted.variables, **own}
    running = subprocess.Popen(command, env=variables, start_new_session=True)
    stopped: list[int] = []

    def forward(number: int, _frame: FrameType | None) -> None:
        stopped.append(number)
        for process in _job_processes(running.pid, command):
            process.send_signal(number)

    signal.signal(signal.SIGINT, forward)
    signal.signal(signal.SIGTERM, forward)
    code = running.wait()
    return (128 - code if code < 0 else code), (stopped[-1] if stopped else None)


def _untold(code: int, stopped: int | None) -> BatchInferError | Interrupted:
    """What is known where the job wrote no JSON line: it did not begin, or was killed."""
    if stopped is not None:
        name = "Ctrl-C" if stopped == signal.SIGINT else "SIGTERM"
        return Interrupted(f"interrupted by {name}; the job told nothing", exit_code=code)
    error = BatchInferError(
        f"spark-submit ended with exit {code}; the job told nothing",
        hint="what Spark said stands on standard error",
    )
    error.exit_code = code
    return error


def _job_processes(pid: int, command: Sequence[str]) -> list[psutil.Process]:
    """The job's Python below the JVM; while that has not started it yet, the JVM itself."""
    import psutil

    try:
        jvm = psutil.Process(pid)
        below = [process for process in jvm.children(recursive=True) if "python" in process.name()]
        names = {Path(part).name for part in command if part.endswith(".py")}
        jobs = [
            process
            for process in below
            if names & {Path(part).name for part in process.cmdline()[1:2]}
        ]
    except psutil.NoSuchProcess:
        return []
    return jobs[:1] or [jvm]


if __name__ == "__main__":
    raise SystemExit(main())
