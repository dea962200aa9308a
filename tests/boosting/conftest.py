"""These tests need the extra `boosting`, which `make models` installs in an environment of its own;
anywhere else they skip.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from registrations import Project, state_below

LIBRARIES = ("xgboost", "lightgbm", "catboost")
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    absent = [name for name in LIBRARIES if find_spec(name) is None]
    skip = pytest.mark.skip(reason=f"not installed: {', '.join(absent)}; `make models` has them")
    for item in items:
        if absent and HERE in item.path.parents:
            item.add_marker(skip)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """One registry for a whole module; every test has a model of its own in it."""
    root = tmp_path_factory.mktemp("project")
    with state_below(root):
        yield Project(root)
