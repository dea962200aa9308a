"""A standalone cluster for all tests here, and projects that share a folder with its machines, and
nothing else.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cluster.standalone import Cluster, can_hide, node_python, start
from deltalake import DeltaTable
from e2e.commands import CHECKOUT, Project, Result, as_result, new_project

# What this machine has room for, beside a driver.
MEMORY = ("--driver-memory", "1g", "--executor-memory", "900m")


@dataclass(frozen=True)
class OnCluster:
    """A project whose lake is in the folder that all machines see; the project itself is on the
    driver's machine alone.
    """

    project: Project
    shared: Path
    cluster: Cluster
    python: Path

    def submit(
        self,
        job: str,
        *arguments: str,
        spark: tuple[str, ...] = (),
        timeout_s: float = 420,
        **variables: str,
    ) -> Result:
        """A job by the project's own spark-submit.sh."""
        running = self.start(job, *arguments, spark=spark, **variables)
        stdout, stderr = running.communicate(timeout=timeout_s)
        return as_result(running.returncode, stdout, stderr)

    def start(
        self, job: str, *arguments: str, spark: tuple[str, ...] = (), **variables: str
    ) -> Any:
        command = [
            str(CHECKOUT / "spark-submit.sh"),
            f"jobs/{job}.py",
            *arguments,
            "--spark",
            *MEMORY,
            *spark,
        ]
        return start(self.project, *command, **(self.variables() | variables))

    def variables(self) -> dict[str, str]:
        return {
            "BATCHINFER_ENV": "cluster",
            "BATCHINFER_SHIP": "package",
            "BATCHINFER_LAKE": str(self.shared / "lake"),
            "BATCHINFER_REGISTRY": f"sqlite:///{self.project.root}/mlflow.db",
            "BATCHINFER_ARTIFACTS": str(self.project.root / "artifacts"),
            "BATCHINFER_STAGING": str(self.shared / "staging"),
            "BATCHINFER_REPORTS": str(self.shared / "reports"),
            "DATA_DIR": str(self.shared / "data"),
            "PYSPARK_PYTHON": str(self.python),
            "SPARK_MASTER": self.cluster.master,
        }


def rows_of(lake: Path, table: str) -> list[dict[str, Any]]:
    """All rows of a table."""
    return DeltaTable(str(lake / table)).to_pyarrow_table().to_pylist()


def predictions(
    lake: Path, pipeline: str, key: tuple[str, ...], column: str
) -> dict[tuple[Any, ...], Any]:
    """A predicted column by slice and key; a key that stands twice in a slice is an error."""
    rows = rows_of(lake, f"predictions/{pipeline}")
    found = {(row["slice"], *(row[name] for name in key)): row[column] for row in rows}
    assert len(found) == len(rows), f"{len(rows)} rows have {len(found)} keys"
    return found


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of the cluster's machines."""
    return node_python(tmp_path_factory.mktemp("machine") / "python")


@pytest.fixture(scope="session")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the folders of all machines are: `driver` is seen by no worker."""
    folder = tmp_path_factory.mktemp("machines")
    (folder / "driver").mkdir()
    return folder


@pytest.fixture(scope="session")
def hidden(machines: Path) -> list[Path]:
    """Folders of the driver's machine that workers do not have."""
    return [machines / "driver", CHECKOUT / "src", CHECKOUT / "tests"] if can_hide() else []


@pytest.fixture(scope="session")
def cluster(machines: Path, hidden: list[Path]) -> Iterator[Cluster]:
    with Cluster(machines / "cluster") as started:
        for _ in range(2):
            started.join(hidden=hidden)
        yield started


@pytest.fixture(scope="module")
def on_cluster(
    machines: Path, cluster: Cluster, node: Path, request: pytest.FixtureRequest
) -> OnCluster:
    """A project of the module's own."""
    name = request.module.__name__.rpartition(".")[2]
    shared = machines / "shared" / name
    shutil.copytree(CHECKOUT / "examples" / "data", shared / "data")
    return OnCluster(new_project(machines / "driver" / name), shared, cluster, node)
