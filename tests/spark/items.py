"""A project whose source is a table of a SQLite file, as tests of databases fill it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from spark.projects import SmallProject

PIPELINE = """\
name: small
source:
  kind: jdbc
  url_env: ITEMS_URL
  table: items
  key: id
  slice: ingest_date
model: {uri: "models:/small@champion"}
checks: {max_quarantine_rate: 1}
sink: {table: predictions/small}
"""


def items_project(
    folder: Path, spark: SparkSession, monkeypatch: pytest.MonkeyPatch, pipeline: str = PIPELINE
) -> SmallProject:
    """A project whose source is the table `items` of a SQLite file."""
    monkeypatch.delenv("BATCHINFER_HOME", raising=False)
    monkeypatch.setenv("ITEMS_URL", f"sqlite:///{folder}/items.db")
    project = SmallProject(folder, lambda: spark)
    project.write("conf/pipelines/small.yaml", pipeline)
    return project


def run(project: SmallProject, *statements: str) -> None:
    """Runs SQL on the project's database."""
    with sqlite3.connect(project.root / "items.db") as connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()
