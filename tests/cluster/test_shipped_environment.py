"""Executors whose machine has a bare Python: the packages come as an archive, the package as a zip,
by Spark alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cluster.standalone import Cluster

from batchinfer.config.environment import SparkSettings
from batchinfer.spark import shipping
from batchinfer.spark.session import open_session
from batchinfer.spark.tasks import Work, run_tasks

pytestmark = pytest.mark.timeout(900)
# Five of the six gigabytes; tasks that land rows need none of them.
LARGE = re.compile(r"nvidia-|torch$|triton$|cuda-")


@pytest.fixture
def without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    needed = shipping.needed_distributions
    found = {name: one for name, one in needed().items() if not LARGE.match(name)}
    monkeypatch.setattr(shipping, "needed_distributions", lambda: found)


@pytest.mark.usefixtures("without_torch")
def test_tasks_run_from_what_was_sent(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look(_: dict[str, Any]) -> Iterator[dict[str, Any]]:
        import os
        import sys
        from pathlib import Path

        import deltalake

        import batchinfer
        from batchinfer.lake.staging import StagedWriter

        yield {
            "folder": os.getcwd(),
            "prefix": sys.prefix,
            "packages": deltalake.__file__,
            "package": batchinfer.__file__,
            "writer": StagedWriter.__module__,
            "daemon": Path(f"/proc/{os.getppid()}/cmdline").read_text().split("\0")[1:3],
        }

    # Opening the session sets it; it must not reach other tests.
    monkeypatch.setenv("PYSPARK_PYTHON", "nothing that could run")
    conf = {
        "spark.ui.enabled": False,
        "spark.executor.memory": "900m",
        "spark.driver.host": "127.0.0.1",
    }
    settings = SparkSettings(master=cluster.master, ship="environment", conf=conf)
    session = open_session(settings, "shipped", packed=tmp_path)
    try:
        work = Work(look, dict[str, Any], dict[str, Any])
        found = [one for of_task in run_tasks(session, work, [{}, {}], "look") for one in of_task]
    finally:
        session.stop()
    for one in found:
        folder = one["folder"]
        assert any(Path(folder).is_relative_to(worker.folder) for worker in cluster.workers)
        assert one["prefix"] == f"{folder}/environment"
        assert one["packages"].startswith(f"{folder}/environment/lib/")
        assert one["package"] == f"{folder}/batchinfer.zip/batchinfer/__init__.py"
        assert one["daemon"] == ["-m", "batchinfer.worker_daemon"]
