"""The DAG file in a real Airflow: what it imports as, and what becomes of a run at each exit code
of the command.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from batchinfer.errors import POINTLESS, WORTH_A_RETRY

CHECKOUT = Path(__file__).parents[2]
PYTHON = Path(
    os.environ.get("AIRFLOW_PYTHON")
    or Path(sys.prefix) / "share" / "batchinfer" / "airflow" / "bin" / "python"
)
PROBE = Path(__file__).with_name("airflow_probe.py")
NIGHT = "nightly --pipeline income --env cluster --slice 2026-11-21"

pytestmark = [
    pytest.mark.skipif(
        not PYTHON.is_file(), reason=f"{PYTHON} is not there; `make deploy` installs it"
    ),
    pytest.mark.timeout(280),
]


class Airflow:
    """Airflow with a database of its own, and a command in batchinfer's place that writes down how
    it was called.
    """

    def __init__(self, home: Path) -> None:
        self.home, self.calls, self.code = home, home / "calls", home / "code"
        command = home / "batchinfer"
        command.write_text(
            f'#!/bin/bash\necho "$@" >> {self.calls}\necho \'{{"status": "x"}}\'\nexit "$(cat '
            f'{self.code})"\n'
        )
        command.chmod(0o755)
        self.environment = {
            **{
                name: value
                for name, value in os.environ.items()
                if not name.startswith(("AIRFLOW", "BATCHINFER", "PYTHON"))
            },
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(CHECKOUT / "deploy" / "airflow"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "BATCHINFER_COMMAND": str(command),
            "BATCHINFER_ENV": "cluster",
        }
        self._run(str(PYTHON.with_name("airflow")), "db", "migrate")

    def probe(self, *arguments: str, code: int = 0, **environment: str) -> dict[str, Any]:
        self.calls.unlink(missing_ok=True)
        self.code.write_text(str(code))
        return json.loads(
            self._run(str(PYTHON), str(PROBE), *arguments, **environment).splitlines()[-1]
        )

    def called(self) -> list[str]:
        return self.calls.read_text().splitlines()

    def _run(self, *command: str, **more: str) -> str:
        done = subprocess.run(
            command,
            env={**self.environment, **more},
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
            cwd=self.home,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Airflow:
    return Airflow(tmp_path_factory.mktemp("airflow"))


def test_each_scheduled_pipeline_is_a_dag_that_imports_without_spark(airflow: Airflow) -> None:
    said = airflow.probe()
    assert said["import_errors"] == {} and said["heavy"] == []
    assert said["import_s"] < 20, "Airflow's own limit for a DAG file is 30 s"
    files = [
        yaml.safe_load(path.read_text())
        for path in (CHECKOUT / "conf" / "pipelines").glob("*.yaml")
    ]
    assert {name: dag["schedule"] for name, dag in said["dags"].items()} == {
        f"batchinfer_{file['name']}": file["schedule"] for file in files if "schedule" in file
    }
    for dag in said["dags"].values():
        assert (dag["timezone"], dag["catchup"], dag["max_active_runs"]) == ("UTC", False, 1)
        assert (dag["retries"], dag["retry_delay_s"]) == ([3], [600])
        assert dag["tasks"] == {"nightly": []}


def test_a_run_lands_and_scores_its_logical_day(airflow: Airflow) -> None:
    said = airflow.probe("batchinfer_income")
    assert (said["state"], set(said["tasks"].values())) == ("success", {"success"})
    assert airflow.called() == [NIGHT]


@pytest.mark.parametrize("code", [WORTH_A_RETRY[-1], 1])
def test_what_may_pass_is_tried_again(airflow: Airflow, code: int) -> None:
    said = airflow.probe("batchinfer_income", code=code)
    assert (said["state"], said["tasks"]) == ("failed", {"nightly": "failed"})
    assert airflow.called() == [NIGHT, NIGHT]


@pytest.mark.parametrize("code", [POINTLESS[0], POINTLESS[-1]])
def test_what_stays_fails_at_once(airflow: Airflow, code: int) -> None:
    said = airflow.probe("batchinfer_income", code=code)
    assert (said["state"], said["tasks"]["nightly"]) == ("failed", "failed")
    assert airflow.called() == [NIGHT], "no second attempt, whatever the retries"


def test_a_wrong_schedule_is_an_import_error_that_says_why(
    airflow: Airflow, tmp_path: Path
) -> None:
    (tmp_path / "src").symlink_to(CHECKOUT / "src")
    pipelines = tmp_path / "conf" / "pipelines"
    pipelines.mkdir(parents=True)
    (pipelines / "p.yaml").write_text('name: p\nsource: {kind: csv}\nschedule: "61 2 * * *"\n')
    said = airflow.probe(BATCHINFER_CHECKOUT=str(tmp_path))
    [error] = said["import_errors"].values()
    assert "minute: got '61'; allowed: 0 to 59" in error
