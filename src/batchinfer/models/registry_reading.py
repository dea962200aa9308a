"""The two ways to read what a registry knows of its models.

Owns reading. MLflow's client takes seconds to load, and every run resolves a model; so where the
registry is an SQLite file whose schema is one that was checked, it is read directly. Any other
registry, and any other schema, is read by the client.
"""

from __future__ import annotations

import contextlib
import sqlite3
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchinfer.models.registered import RegisteredModel, Version

if TYPE_CHECKING:
    from mlflow.tracking.client import MlflowClient

# Revisions of MLflow's schema whose tables were compared with what the queries below expect (mlflow
# 3.17).
_KNOWN_REVISIONS = {"dc11669786a5"}
_DELETED = "Deleted_Internal"


def read_by_client(client: MlflowClient, name: str | None = None) -> dict[str, RegisteredModel]:
    """Registered models by name, all or that one if there is one, read by MLflow's client.

    Runs on: driver.
    """
    # A shared server may hold thousands of versions. A quote cannot be written in a filter.
    only = f"name = '{name}'" if name is not None and "'" not in name else None
    found: dict[str, list[Version]] = {}
    for one in _pages(client.search_model_versions, only):
        version = Version(
            one.name,
            str(one.version),
            one.source or "",
            int(one.creation_timestamp or 0),
            dict(one.tags),
        )
        found.setdefault(one.name, []).append(version)
    return {
        model.name: RegisteredModel(
            model.name,
            tuple(sorted(found.get(model.name, []), key=lambda version: int(version.version))),
            {alias: str(version) for alias, version in model.aliases.items()},
            dict(model.tags),
        )
        for model in _pages(client.search_registered_models, only)
    }


def _pages(search: Any, only: str | None) -> Iterator[Any]:
    token = None
    while True:
        page = search(filter_string=only, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def read_by_sqlite(path: Path) -> dict[str, RegisteredModel] | None:
    """All registered models by name, read from the database file; None where its schema is not a
    known one.

    Runs on: driver.
    """
    if not path.exists():
        return {}
    try:
        address = f"file:{urllib.parse.quote(str(path.absolute()))}?mode=ro"
        with contextlib.closing(sqlite3.connect(address, uri=True, timeout=10)) as connection:
            connection.execute("BEGIN")  # one snapshot for all the queries
            return _read_tables(connection)
    except sqlite3.Error:
        return None  # the client tells what is wrong with the file


def _read_tables(connection: sqlite3.Connection) -> dict[str, RegisteredModel] | None:
    revisions = {row[0] for row in connection.execute("SELECT version_num FROM alembic_version")}
    if not revisions or not revisions <= _KNOWN_REVISIONS:
        return None
    version_tags = _grouped(
        connection.execute(
            "SELECT name || '/' || version, key, value FROM model_version_tags WHERE workspace = "
            "'default'"
        )
    )
    tags = _grouped(
        connection.execute(
            "SELECT name, key, value FROM registered_model_tags WHERE workspace = 'default'"
        )
    )
    aliases = _grouped(
        connection.execute(
            "SELECT name, alias, version FROM registered_model_aliases WHERE workspace = 'default'"
        )
    )
    versions: dict[str, list[Version]] = {}
    rows = connection.execute(
        "SELECT name, version, source, creation_time FROM model_versions"
        " WHERE workspace = 'default' AND current_stage IS NOT ? ORDER BY version",
        (_DELETED,),
    )
    for name, number, source, created in rows:
        version = Version(
            name,
            str(number),
            source or "",
            int(created or 0),
            version_tags.get(f"{name}/{number}", {}),
        )
        versions.setdefault(name, []).append(version)
    names = [
        row[0]
        for row in connection.execute(
            "SELECT name FROM registered_models WHERE workspace = 'default' ORDER BY name"
        )
    ]
    return {
        name: RegisteredModel(
            name, tuple(versions.get(name, [])), aliases.get(name, {}), tags.get(name, {})
        )
        for name in names
    }


def _grouped(rows: Any) -> dict[str, dict[str, str]]:
    groups: dict[str, dict[str, str]] = {}
    for group, key, value in rows:
        groups.setdefault(group, {})[key] = str(value)
    return groups
