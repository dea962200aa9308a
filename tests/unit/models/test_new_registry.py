"""A registry that is a new file: it begins with the tables that set-up has made."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from batchinfer.models import mlflow_client
from batchinfer.models.mlflow_client import make_empty_registry, open_client


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where set-up of this test's environment puts the empty registry."""
    place = tmp_path / "share/registry.db"
    monkeypatch.setattr(mlflow_client, "empty_registry", lambda: place)
    return place


def content(path: Path) -> tuple[list[list[str]], dict[str, list[tuple[object, ...]]]]:
    """The lines of the statements that make the tables, and the rows without times. MLflow writes
    the constraints of a table in another order each time.
    """
    with contextlib.closing(sqlite3.connect(path)) as database:
        made = database.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
        statements = sorted(
            sorted(line.strip(" ,\t") for line in statement.splitlines()) for (statement,) in made
        )
        names = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        rows = {
            name: [
                tuple(value for value in row if not isinstance(value, int) or value < 10**12)
                for row in database.execute(f'SELECT * FROM "{name}"').fetchall()
            ]
            for (name,) in names
        }
    return statements, rows


def test_a_new_registry_is_as_the_one_that_mlflow_makes(tmp_path: Path, empty: Path) -> None:
    by_mlflow = tmp_path / "by_mlflow.db"
    open_client(f"sqlite:///{by_mlflow}")
    assert not empty.exists()
    assert make_empty_registry()
    ours = tmp_path / "ours.db"
    open_client(f"sqlite:///{ours}")
    assert content(ours) == content(by_mlflow)


def test_a_new_registry_takes_the_tables_of_set_up(tmp_path: Path, empty: Path) -> None:
    assert make_empty_registry()
    with contextlib.closing(sqlite3.connect(empty)) as database:
        database.execute("CREATE TABLE told (word TEXT)")
    registry = tmp_path / "registry.db"
    open_client(f"sqlite:///{registry}")
    assert "told" in content(registry)[1]
    assert list(tmp_path.glob("*.new")) == []


def test_set_up_makes_it_once(empty: Path) -> None:
    assert make_empty_registry()
    before = empty.stat()
    assert not make_empty_registry()
    assert empty.stat().st_mtime_ns == before.st_mtime_ns
    assert content(empty)[1]["experiments"] == []


def test_a_registry_that_is_there_stays_as_it_is(tmp_path: Path, empty: Path) -> None:
    registry = tmp_path / "registry.db"
    client = open_client(f"sqlite:///{registry}")
    client.create_registered_model("kept")
    assert make_empty_registry()
    again = open_client(f"sqlite:///{registry}")
    assert [model.name for model in again.search_registered_models()] == ["kept"]


def test_without_set_up_mlflow_makes_the_tables(tmp_path: Path, empty: Path) -> None:
    registry = tmp_path / "registry.db"
    open_client(f"sqlite:///{registry}")
    assert content(registry)[1]["alembic_version"]
    assert not empty.exists()
