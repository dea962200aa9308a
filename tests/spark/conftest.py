"""One shared session for all Spark tests, started as quickly as a session can be."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from postgres import Postgres, postgres_server
from spark.lakes import LAKE, LakeProject
from spark.projects import PIPELINE, SmallProject, csv_of
from spark.shops import ORDERS

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    from batchinfer.config.environment import SparkSettings
    from batchinfer.spark.session import open_session

    # Models of the tests' own are imported by the workers too.
    known = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = os.pathsep.join(
        part for part in (known, str(Path(__file__).parents[1])) if part
    )
    settings = SparkSettings(
        master="local[2,4]",
        conf={
            "spark.ui.enabled": False,  # nobody looks
            # two cores; the default of 200 is 200 tasks for ten rows
            "spark.sql.shuffle.partitions": 2,
            # the default of 50 costs seconds a table
            "spark.databricks.delta.snapshotPartitions": 2,
            "spark.sql.codegen.wholeStage": False,  # compiling takes longer than the rows do
            # five calls of the JVM for each word about a column, to name its line in errors
            "spark.python.sql.dataFrameDebugging.enabled": False,
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
def trained(tmp_path_factory: pytest.TempPathFactory, spark: SparkSession) -> Path:
    """The state of a project after the CSV rows were landed, learned from and scored."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("BATCHINFER_HOME", raising=False)
        project = SmallProject(tmp_path_factory.mktemp("trained"), lambda: spark)
        project.write("conf/pipelines/small.yaml", PIPELINE)
        project.write("in/a.csv", csv_of(range(40)))
        project.extract()
        project.train()
        project.score()
    return project.root


@pytest.fixture
def lake(
    tmp_path: Path, trained: Path, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> LakeProject:
    """A project whose model has been trained, with no table yet."""
    monkeypatch.delenv("BATCHINFER_HOME", raising=False)
    project = LakeProject(tmp_path, lambda: spark, spark=spark)
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    project.write("conf/pipelines/lake.yaml", LAKE)
    return project


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A real PostgreSQL server."""
    with postgres_server() as server:
        yield server


@pytest.fixture
def shop(
    tmp_path: Path, spark: SparkSession, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> SmallProject:
    """A project whose source is the table `orders`, which every test makes for itself."""
    monkeypatch.delenv("BATCHINFER_HOME", raising=False)
    for name, value in postgres.variables().items():
        monkeypatch.setenv(name, value)
    postgres.sql("drop schema public cascade; create schema public")
    project = SmallProject(tmp_path, lambda: spark)
    project.write("conf/pipelines/small.yaml", ORDERS)
    return project
