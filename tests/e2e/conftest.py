"""Projects to run commands in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.commands import SMALL_PIPELINE, SMALL_ROWS, Project, new_project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return new_project(tmp_path)


@pytest.fixture(scope="session")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project after extract, train and score of `income`, each on a session of its own; tests
    read it and leave it as it is.
    """
    project = new_project(tmp_path_factory.mktemp("scored"))
    for arguments in (
        ("extract", "-p", "income", "--slice", "2026-11-21"),
        ("train", "-p", "income"),
    ):
        result = project.run(*arguments, "--env", "session")
        assert result.code == 0, result.stderr
        assert result.json["session"] == "spark.small_runs: session"
    result = project.run("score", "-p", "income", "--slice", "2026-11-21", "--env", "session")
    assert result.code == 0, result.stderr
    yield project


@pytest.fixture
def small(project: Project) -> Project:
    """A project with a pipeline `small` and twenty rows for it."""
    project.write("conf/pipelines/small.yaml", SMALL_PIPELINE)
    project.write("in/a.csv", SMALL_ROWS)
    return project
