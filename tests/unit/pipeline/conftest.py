"""Commands without a JVM: their tasks run in this process, one after another (`one_process`); a
project that has learned; and one registry for a module.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from registrations import Project, state_below
from spark.projects import PIPELINE, SmallProject, csv_of

from .one_process import OneProcess

PLACE_KEYED = PIPELINE.replace("  key: id\n", "")
# Rows of such a size land, and cannot be scored.
HUGE = "1e9"
_FRAGILE = PLACE_KEYED.replace(
    "train:\n", "train:\n  model: {python: 'unit.pipeline.fragile:RefusesHugeSizes'}\n"
).replace("hidden: [4], ", "")


def place_files(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Where this process, as its own executor, finds what the driver sends."""
    patch.setattr("pyspark.SparkFiles._is_running_on_worker", True)
    patch.setattr("pyspark.SparkFiles._root_directory", str(folder))


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallProject:
    """A project without data whose commands need no JVM; its records are known by file and line."""
    monkeypatch.delenv("BATCHINFER_HOME", raising=False)
    place_files(monkeypatch, tmp_path / "sent")
    project = SmallProject(tmp_path, OneProcess)
    project.write("conf/pipelines/small.yaml", PLACE_KEYED)
    return project


@pytest.fixture(scope="session")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state of a project after forty rows have landed and were learned from."""
    root = tmp_path_factory.mktemp("learned")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("BATCHINFER_HOME", raising=False)
        place_files(patch, root / "sent")
        project = SmallProject(root, OneProcess)
        project.write("conf/pipelines/small.yaml", _FRAGILE)
        project.write("in/a.csv", csv_of(range(40)))
        project.extract()
        project.train()
    return root


@pytest.fixture
def ready(local: SmallProject, learned: Path) -> SmallProject:
    """Forty rows and a model that refuses huge sizes, in a project of the test's own; rows are
    scored by tasks, not in a child beside the driver.
    """
    shutil.copytree(learned, local.root, dirs_exist_ok=True)
    local.overrides = ("model.road=direct",)
    return local


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """One registry for a whole module; every test has a model of its own in it."""
    root = tmp_path_factory.mktemp("project")
    with state_below(root):
        yield Project(root)
