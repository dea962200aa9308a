"""Puts a job's spark-submit command together and becomes it (`spark-submit.sh` calls this).

Owns what travels: the settings of the environment, the package itself as a zip for executors without the checkout.
"""

from __future__ import annotations

import os
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

from batchinfer.errors import BatchInferError, ConfigError


def split_arguments(arguments: Sequence[str]) -> tuple[str, list[str], list[str]]:
    """(job file, its arguments, what follows `--spark`)."""
    job, *rest = arguments
    if not Path(job).is_file():
        jobs = sorted(str(path) for path in Path("jobs").glob("*.py"))
        raise ConfigError(f"job file: got {job}; allowed: a file that is there, such as {', '.join(jobs) or 'jobs/score.py'}")
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
    from batchinfer.session import session_conf, spark_home

    job, job_arguments, spark_arguments = split_arguments(arguments)
    environment, home = load_state(environment_of(job_arguments))
    check_java()
    settings = environment.spark
    if master := os.environ.get("SPARK_MASTER"):
        settings = settings.model_copy(update={"master": master})
    command = [str(spark_home() / "bin" / "spark-submit"), "--name", f"batchinfer {Path(job).stem}"]
    if properties := os.environ.get("SPARK_CONF_FILE"):
        command += ["--properties-file", properties]
    for name, value in session_conf(settings).items():
        command += ["--conf", f"{name}={value}"]
    if settings.master is None or not settings.master.startswith("local["):
        command += ["--py-files", str(package_zip(home / "staging"))]
    return [*command, *spark_arguments, job, *job_arguments]


def main() -> int:
    """Replaces this process by spark-submit, so that signals and the exit code are its own."""
    try:
        command = submit_command(sys.argv[1:])
    except BatchInferError as error:
        from batchinfer.command import report_failure

        return report_failure(error)
    from batchinfer.session import spark_home

    os.environ |= {"SPARK_HOME": str(spark_home()), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("PYSPARK_DRIVER_PYTHON", sys.executable)
    return os.execv(command[0], command)


if __name__ == "__main__":
    raise SystemExit(main())
