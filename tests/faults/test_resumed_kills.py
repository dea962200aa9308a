"""SIGKILL at random times, several times in a row, of a run with many tasks; then the same command:
what is published is what a whole run publishes, and nothing is left behind.
"""

from __future__ import annotations

import os
import random

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from e2e.commands import DAY, Project, new_project
from e2e.test_resume import FILES, PIPELINE, ROWS, SCORE, published, rows_of

from .signals import strays
from .test_kills import killed_after

SEEDS = range(int(os.environ.get("SEEDS", "6")))
# Now and then a row goes to quarantine, once the model is registered.
NET = """
import time
from pathlib import Path

import torch

STRICT = Path(__file__).with_name("strict")


class Net(torch.nn.Module):
    def __init__(self, features, outputs):
        super().__init__()
        self.layer = torch.nn.Linear(features, outputs)

    def forward(self, features):
        if STRICT.exists():
            time.sleep(0.2)
            if bool((features[:, 0] > 1.73).any()):
                raise ValueError("too large for me")
        return self.layer(features)
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = new_project(tmp_path_factory.mktemp("resumed"))
    project.write("slow_net.py", NET)
    project.write("conf/pipelines/small.yaml", PIPELINE)
    for number in range(FILES):
        project.write(f"in/{number}.csv", rows_of(number))
        assert project.run("extract", "-p", "small", "--slice", DAY).code == 0
    assert project.run("train", "-p", "small").code == 0
    project.write("strict", "")
    return project


def aside(project: Project) -> list[str]:
    rows = DeltaTable(str(project.lake / "quarantine/small")).to_pyarrow_table()
    return sorted(rows["key"].to_pylist())


@pytest.fixture(scope="module")
def whole(project: Project) -> tuple[pa.Table, list[str]]:
    done = project.run(*SCORE)
    assert done.code == 0 and done.json["rows_quarantined"], done.stderr
    return published(project), aside(project)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", SEEDS)
def test_runs_killed_anywhere_are_gone_on_with(
    project: Project, whole: tuple[pa.Table, list[str]], seed: int
) -> None:
    before = strays(project)
    chance = random.Random(seed)
    for _ in range(chance.randint(1, 3)):
        killed_after(project, chance.uniform(4, 20), *SCORE, "--force")
    again = project.run(*SCORE, "--force")
    assert again.code == 0, again.stderr
    told = again.json
    assert told["rows_in"] == FILES * ROWS
    assert told["rows_in"] == told["rows_scored"] + told["rows_reused"] + told["rows_quarantined"]
    assert (published(project), aside(project)) == whole
    assert strays(project) == before
    assert not list(project.lake.glob("predictions/small/_finished/**/*.json"))
