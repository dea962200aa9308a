"""Two executors in JVMs of their own: bundles travel, results equal those of one process, a lost
executor costs a retry.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time

import psutil
import pytest
from deltalake import DeltaTable
from e2e.commands import BATCHINFER, Project, as_result, new_project

DAY = "2026-11-21"


@pytest.fixture(scope="module")
def clustered(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = new_project(tmp_path_factory.mktemp("cluster"))
    project.edit("conf/environments/local.yaml", "local[*,4]", "local-cluster[2,1,1024]")
    for arguments in (("extract", "-p", "income", "--slice", DAY), ("train", "-p", "income")):
        result = project.run(*arguments)
        assert result.code == 0, result.stderr
    return project


def scores(project: Project) -> dict[tuple[str, int], float]:
    rows = DeltaTable(str(project.lake / "predictions/income")).to_pyarrow_table().to_pylist()
    return {(row["source_file"], row["source_line"]): row["score"] for row in rows}


def test_two_executors_give_the_table_of_one_process(clustered: Project) -> None:
    result = clustered.run("score", "-p", "income", "--slice", DAY)
    assert (result.code, result.json["rows_scored"] + result.json["rows_reused"]) == (0, 3000), (
        result.stderr
    )
    on_two = scores(clustered)
    text = (clustered.root / "conf/environments/local.yaml").read_text()
    clustered.edit("conf/environments/local.yaml", "local-cluster[2,1,1024]", "local[1,4]")
    assert clustered.run("score", "-p", "income", "--slice", DAY, "--force").code == 0
    clustered.write("conf/environments/local.yaml", text)
    alone = scores(clustered)
    assert on_two.keys() == alone.keys()
    assert all(on_two[key] == pytest.approx(alone[key], rel=1e-5, abs=1e-6) for key in alone)


def test_an_executor_that_is_killed_costs_a_retry(clustered: Project) -> None:
    command = [str(BATCHINFER), "score", "-p", "income", "--slice", DAY, "--force"]
    running = subprocess.Popen(
        command,
        cwd=clustered.root,
        env=clustered.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    killed = _kill_one_executor(running.pid, deadline=time.monotonic() + 90)
    stdout, stderr = running.communicate(timeout=240)
    result = as_result(running.returncode, stdout, stderr)
    assert killed, stderr
    assert result.code == 0, stderr
    assert len(scores(clustered)) == 3000


def _kill_one_executor(driver: int, deadline: float) -> bool:
    """Waits for an executor's Python worker, so that a task is on its way, and kills the executor's
    JVM.
    """
    while time.monotonic() < deadline and psutil.pid_exists(driver):
        for process in psutil.Process(driver).children(recursive=True):
            try:
                line = " ".join(process.cmdline())
            except psutil.Error:
                continue
            if "CoarseGrainedExecutorBackend" in line and process.children():
                os.kill(process.pid, signal.SIGKILL)
                return True
        time.sleep(0.05)
    return False
