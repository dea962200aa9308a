"""Airflow: one DAG for each pipeline that has a `schedule:`, with one task, its night.

Put it (or a link to it) into the DAGs folder. It reads `conf/pipelines/*.yaml` of the checkout that
it stands in, or of BATCHINFER_CHECKOUT; imports neither Spark nor anything else of the package that
is heavy. The commands run on the worker.

BATCHINFER_CHECKOUT  the folder with conf/ and .venv/ (default: the checkout of this file)
BATCHINFER_COMMAND   the command, as a shell would split it (default: .venv/bin/batchinfer there)
BATCHINFER_ENV       the environment of conf/environments (default: local)
"""

from __future__ import annotations

import datetime as dt
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from airflow.exceptions import AirflowException, AirflowFailException
from airflow.sdk import DAG, task

CHECKOUT = Path(os.environ.get("BATCHINFER_CHECKOUT") or Path(__file__).resolve().parents[2])
sys.path.append(str(CHECKOUT / "src"))

from batchinfer.errors import POINTLESS  # noqa: E402
from batchinfer.schedule import Step, night_command, night_steps, read_schedule  # noqa: E402

# What a run of an exit code that may pass is worth: an hour of waiting, in four attempts.
RETRIES = {"retries": 3, "retry_delay": dt.timedelta(minutes=10), "retry_exponential_backoff": True}


def run_step(pipeline: str, step: Step) -> None:
    """Runs one command and waits for it; what it says goes to the task's log, its JSON line too.

    Raises:
        AirflowFailException: an exit code that no retry will change.
        AirflowException: any other but 0.
    """
    told = os.environ.get("BATCHINFER_COMMAND")
    command = shlex.split(told) if told else [str(CHECKOUT / ".venv" / "bin" / "batchinfer")]
    name, *options = step.arguments
    arguments = [
        name,
        "--pipeline",
        pipeline,
        "--env",
        os.environ.get("BATCHINFER_ENV", "local"),
        *options,
    ]
    # stderr into stdout: Airflow shows one stream.
    process = subprocess.Popen(
        [*command, *arguments],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        for line in process.stdout or ():
            print(line, end="", flush=True)
        code = process.wait()
    finally:
        # A task that is cleared or timed out: the command releases its slice on SIGTERM.
        process.terminate()
        process.wait()
    if code:
        failure = AirflowFailException if code in POINTLESS else AirflowException
        raise failure(
            f"batchinfer {shlex.join(arguments)}: exit {code}; docs/operations.md says what to do"
        )


def day_of_run(context: dict[str, Any]) -> dt.date:
    """The day of a run in UTC; runs that were triggered by hand have no logical date unless they
    are given one.
    """
    moment = context.get("logical_date") or context["dag_run"].run_after
    return moment.astimezone(dt.timezone.utc).date()


def make_dag(document: dict[str, Any]) -> DAG:
    """The DAG of a pipeline file that has a schedule.

    Raises:
        ConfigError: a schedule or slices that cannot be scheduled; Airflow shows it as an import
            error.
    """
    pipeline, rule = document["name"], document["source"].get("slice")
    with DAG(
        dag_id=f"batchinfer_{pipeline}",
        description=document.get("description"),
        schedule=read_schedule(document["schedule"]).text,
        start_date=dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc),
        # Days before today are a backfill's, where that is wanted.
        catchup=False,
        max_active_runs=1,
        default_args=RETRIES,
        tags=["batchinfer"],
    ) as dag:
        # Slices that no night can score are told when the file is read.
        night_steps(rule, dt.date.today())

        @task(task_id="nightly")
        def run(**context: Any) -> None:
            run_step(pipeline, night_command(day_of_run(context)))

        run()
    return dag


for _file in sorted((CHECKOUT / "conf" / "pipelines").glob("*.yaml")):
    _document = yaml.safe_load(_file.read_text(encoding="utf-8"))
    if isinstance(_document, dict) and _document.get("schedule"):
        globals()[f"batchinfer_{_document['name']}"] = make_dag(_document)
