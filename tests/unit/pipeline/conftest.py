"""Commands without a JVM: extraction with its tasks run in this process, one after another; and one
registry for a module.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from registrations import Project
from spark.projects import PIPELINE, SmallProject

from batchinfer.spark.tasks import Guarded, Task, Undo, Work, results_in_order

PLACE_KEYED = PIPELINE.replace("  key: id\n", "")


class OneProcess:
    """What extraction asks of a session: how many workers there are."""

    sparkContext = SimpleNamespace(  # noqa: N815 - Spark's own name
        defaultParallelism=2,
        getConf=lambda: SimpleNamespace(getAll=lambda: [("spark.master", "local[2]")]),
    )


def run_here(
    _: Any, work: Work, tasks: Sequence[Task], description: str, undo: Undo | None = None
) -> list[list[dict[str, Any]]]:
    """Tasks, results and errors travel as the text that they are between driver and executors."""
    found = [
        each
        for number, task in enumerate(tasks)
        for each in Guarded(work)((number, json.dumps(task)))
    ]
    return results_in_order(found, len(tasks), undo)


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallProject:
    """A project without data whose `extract` needs no JVM; its records are known by file and
    line.
    """
    monkeypatch.delenv("BATCHINFER_HOME", raising=False)
    monkeypatch.setattr("batchinfer.pipeline.landing.new_files.run_tasks", run_here)
    project = SmallProject(tmp_path, OneProcess)
    project.write("conf/pipelines/small.yaml", PLACE_KEYED)
    return project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """One registry for a whole module; every test has a model of its own in it."""
    root = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BATCHINFER_HOME", str(root / "var"))
        patch.chdir(root)
        yield Project(root)
