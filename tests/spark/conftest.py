"""One shared session for all Spark tests, started as quickly as a session can be."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from postgres import Postgres, postgres_server
from spark.projects import PIPELINE, SmallProject, csv_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    from batchinfer.config.environment import SparkSettings
    from batchinfer.session import open_session

    # Models of the tests' own are imported by the workers too.
    known = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = os.pathsep.join(part for part in (known, str(Path(__file__).parents[1])) if part)
    settings = SparkSettings(
        master="local[2,4]",
        conf={
            "spark.ui.enabled": False,  # nobody looks
            "spark.sql.shuffle.partitions": 2,  # two cores; the default of 200 is 200 tasks for ten rows
            "spark.databricks.delta.snapshotPartitions": 2,  # the default of 50 costs seconds a table
            "spark.sql.codegen.wholeStage": False,  # compiling takes longer than the rows do
            "spark.log.level": "ERROR",
        },
        java_options=("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"),
    )
    session = open_session(settings, "tests")
    yield session
    session.stop()


@pytest.fixture
def small(tmp_path: Path, spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> SmallProject:
    """A project with forty rows in one file."""
    monkeypatch.delenv("BATCHINFER_HOME", raising=False)
    project = SmallProject(tmp_path, lambda: spark)
    project.write("conf/pipelines/small.yaml", PIPELINE)
    project.write("in/a.csv", csv_of(range(40)))
    return project


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A real PostgreSQL server."""
    with postgres_server() as server:
        yield server
