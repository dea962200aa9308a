"""One service for all tests that only ask it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from service.scored_project import scored_project
from service.served_project import Served, new_project, publish, rows, serving, write_generation


@pytest.fixture(scope="session")
def asked_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`churn` is loaded, and its table has an older slice too; `fresh` is published, not loaded;
    `later` has nothing.
    """
    project = new_project(tmp_path_factory.mktemp("asked"), "churn", "fresh", "later")
    write_generation(project, "churn", "g1", rows(1_000))
    publish(project, "churn", rows(100, "older", "2026-11-20"))
    publish(project, "churn", rows(1_000))
    publish(project, "fresh", rows(10, "table"))
    return project


@pytest.fixture(scope="session")
def asked(asked_project: Path) -> Iterator[Served]:
    """Two workers, no keys."""
    with serving(asked_project, "--workers", "2") as served:
        yield served


@pytest.fixture(scope="session")
def scoring_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows have landed, and a model is registered."""
    return scored_project(tmp_path_factory.mktemp("scored"))
