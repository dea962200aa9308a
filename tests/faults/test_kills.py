"""SIGKILL at random times, over many seeds; then the same command again: the table must be right,
with nothing twice.

A command of its own (`make faults`): it takes minutes. SEEDS=20 runs more of them.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time

import pytest
from deltalake import DeltaTable
from e2e.commands import BATCHINFER, Project, new_project
from spark.projects import DAY, PIPELINE
from spark.refusing import NET

SEEDS = range(int(os.environ.get("SEEDS", "6")))
ROWS = 20_000


def trained(project: Project, pipeline: str, more: str = "") -> Project:
    """The project with rows that have landed, `more` lines behind them, and a model."""
    project.write("conf/pipelines/small.yaml", pipeline)
    rows = "".join(
        f"{n},{('red', 'blue')[n % 2]},{n * 0.1:.1f},{('no', 'yes')[n % 3 == 0]}\n"
        for n in range(ROWS)
    )
    project.write("in/a.csv", f"id,color,size,big\n{rows}{more}")
    assert project.run("extract", "-p", "small", "--slice", DAY).code == 0
    assert project.run("train", "-p", "small").code == 0
    return project


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return trained(new_project(tmp_path_factory.mktemp("faults")), PIPELINE, "bad line\n")


def killed_after(project: Project, seconds: float, *arguments: str) -> None:
    process = subprocess.Popen(
        [str(BATCHINFER), *arguments], cwd=project.root, env=project.environment(),
        start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    time.sleep(seconds)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def ids(project: Project, table: str, slice_: str) -> list[int]:
    rows = DeltaTable(str(project.lake / table / "small")).to_pyarrow_table(
        filters=[("slice", "=", slice_)]
    )
    return sorted(rows.column("id").to_pylist())


@pytest.mark.parametrize("seed", SEEDS)
def test_extract_killed_anywhere_lands_each_row_once(small: Project, seed: int) -> None:
    slice_ = f"2026-10-{seed + 1:02d}"
    env, least_s, most_s = (("local", 0.3, 3), ("session", 1.5, 9))[seed % 2]
    seconds = random.Random(seed).uniform(least_s, most_s)
    killed_after(small, seconds, "extract", "-p", "small", "--slice", slice_, "--env", env)
    again = small.run("extract", "-p", "small", "--slice", slice_)
    assert again.code == 0, again.stderr
    assert ids(small, "landed", slice_) == list(range(ROWS))
    aside = DeltaTable(str(small.lake / "quarantine/small")).to_pyarrow_table(
        filters=[("slice", "=", slice_)]
    )
    assert aside.column("source_line").to_pylist() == [ROWS + 2]


@pytest.mark.parametrize("seed", SEEDS)
def test_score_killed_anywhere_publishes_each_row_once(small: Project, seed: int) -> None:
    killed_after(
        small, random.Random(seed).uniform(2, 14), "score", "-p", "small", "--slice", DAY, "--force"
    )
    again = small.run("score", "-p", "small", "--slice", DAY)
    assert again.code == 0, again.stderr
    assert ids(small, "predictions", DAY) == list(range(ROWS))
    assert (
        again.json["rows_in"]
        == again.json["rows_scored"] + again.json["rows_reused"] + again.json["rows_quarantined"]
        == ROWS
    )
    [row] = [
        row for row in small.run("status", "-p", "small").json["slices"] if row["slice"] == DAY
    ]
    assert row["status"] == "published"


@pytest.fixture(scope="module")
def refusing(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose model refuses some rows while the file `refused` says so."""
    project = new_project(tmp_path_factory.mktemp("replays"))
    text = PIPELINE.replace("hidden: [4], ", "").replace(
        "train:\n", "train:\n  model: {python: 'refusing_net:Net'}\n"
    )
    project.write("refusing_net.py", NET)
    return trained(project, text)


@pytest.mark.parametrize("seed", SEEDS)
def test_replay_killed_anywhere_leaves_each_row_once(refusing: Project, seed: int) -> None:
    project = refusing
    project.write("refused", "1.7")
    scored = project.run("score", "-p", "small", "--slice", DAY, "--force")
    assert (scored.code, scored.json["rows_quarantined"] > 100) == (0, True), scored.stderr
    # Some of the rows pass now, some do not.
    project.write("refused", "1.72")
    killed_after(
        project, random.Random(seed).uniform(6, 16), "replay", "-p", "small", "--slice", DAY
    )
    again = project.run("replay", "-p", "small", "--slice", DAY)
    assert again.code == 0, again.stderr
    aside = DeltaTable(str(project.lake / "quarantine/small")).to_pyarrow_table()
    left = [json.loads(key)["id"] for key in aside.column("key").to_pylist()]
    assert left
    assert sorted([*ids(project, "predictions", DAY), *left]) == list(range(ROWS))
