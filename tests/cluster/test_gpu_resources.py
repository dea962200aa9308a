"""GPUs as Spark's resources, without one: a discovery script announces two addresses to executors
of this machine.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from e2e.commands import new_project

from batchinfer.config.environment import ModelTask, SparkSettings
from batchinfer.errors import ConfigError
from batchinfer.spark.capacity import check_capacity, model_workers, profile_of, workers
from batchinfer.spark.session import open_session
from batchinfer.spark.tasks import Work, run_batches, run_tasks

DAY = "2026-11-21"
HALF = ModelTask(gpus=0.5)
MASTER = "local-cluster[1,4,1024]"
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def discovery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What Spark runs on each machine to learn which GPUs it has."""
    script = tmp_path_factory.mktemp("discovery") / "gpus.sh"
    script.write_text('#!/bin/sh\necho \'{"name": "gpu", "addresses": ["0", "1"]}\'\n')
    script.chmod(0o755)
    return script


def gpu_conf(script: Path) -> dict[str, str | int]:
    return {
        "spark.worker.resource.gpu.amount": 2,
        "spark.worker.resource.gpu.discoveryScript": str(script),
        "spark.executor.resource.gpu.amount": 2,
        "spark.executor.resource.gpu.discoveryScript": str(script),
    }


def opened(master: str, **conf: str | int) -> Any:
    common = {
        "spark.ui.enabled": False,
        "spark.executor.memory": "1g",
        "spark.driver.host": "127.0.0.1",
    }
    return open_session(SparkSettings(master=master, conf={**common, **conf}), "tests")


@pytest.fixture(scope="module")
def spark(discovery: Path) -> Iterator[Any]:
    session = opened(MASTER, **gpu_conf(discovery))
    check_capacity(session, HALF)
    yield session
    session.stop()


def owning() -> Any:
    """A task's work: the GPUs that Spark gave to it, and when it ran. Made here, so that it travels
    by value.
    """

    def owned(task: dict[str, Any]) -> Iterator[dict[str, Any]]:
        import time

        from pyspark import TaskContext

        context = TaskContext.get()
        assert context is not None
        began = time.time()
        time.sleep(task["seconds"])
        yield {
            "gpus": [a for r in context.resources().values() for a in r.addresses],
            "from": began,
            "to": time.time(),
        }

    return owned


def work(do: Any) -> Work[Any, Any]:
    return Work(do, dict[str, Any], dict[str, Any])


def test_tasks_of_the_model_own_a_share_of_a_gpu_and_no_gpu_has_more_owners_than_shares(
    spark: Any,
) -> None:
    tasks = [{"seconds": 0.7} for _ in range(10)]
    found = [
        one
        for of_task in run_tasks(
            spark, work(owning()), tasks, "model", profile=profile_of(spark, HALF)
        )
        for one in of_task
    ]
    by_gpu = defaultdict(list)
    for one in found:
        [address] = one["gpus"]
        by_gpu[address].append(one)
    assert by_gpu.keys() == {"0", "1"}
    at_once = {
        address: max(
            sum(other["from"] <= one["from"] < other["to"] for other in ones) for one in ones
        )
        for address, ones in by_gpu.items()
    }
    assert max(at_once.values()) == 2, found


def test_other_stages_run_on_cores_and_own_no_gpu(spark: Any) -> None:
    found = [
        one
        for of_task in run_tasks(spark, work(owning()), [{"seconds": 0.1}] * 4, "files")
        for one in of_task
    ]
    assert [one["gpus"] for one in found] == [[]] * 4
    assert (
        workers(spark),
        model_workers(spark, HALF),
        model_workers(spark, ModelTask(gpus=2)),
    ) == (4, 4, 1)
    assert model_workers(spark, ModelTask(cpus=2)) == 2


@pytest.mark.parametrize("through", ["mapInArrow", "mapInPandas"])
def test_frames_take_the_same_profile(spark: Any, through: Any) -> None:
    def told(batches: Any) -> Iterator[Any]:
        import json

        import pandas as pd
        import pyarrow as pa
        from pyspark import TaskContext

        for _ in batches:
            pass
        context = TaskContext.get()
        assert context is not None
        rows = pd.DataFrame(
            {"result": [json.dumps({"gpus": context.resources()["gpu"].addresses})]}
        )
        yield rows if through == "mapInPandas" else pa.RecordBatch.from_pandas(rows)

    frame = spark.range(8).repartition(4)
    found = run_batches(
        frame, told, dict[str, Any], "model", 4, through=through, profile=profile_of(spark, HALF)
    )
    assert sorted(one["gpus"][0] for one in found) == ["0", "0", "1", "1"]


def test_what_could_never_be_scheduled_is_told_before_a_task(spark: Any) -> None:
    with pytest.raises(ConfigError, match=r"spark\.model_task\.gpus: got 3; allowed: up to 2"):
        check_capacity(spark, ModelTask(gpus=3))


def test_a_daemon_forks_workers_that_have_not_touched_cuda(spark: Any) -> None:
    def look(_: dict[str, Any]) -> Iterator[dict[str, Any]]:
        import os
        import sys
        from pathlib import Path

        yield {
            "torch": "torch" in sys.modules,
            "parent": Path(f"/proc/{os.getppid()}/cmdline").read_text().split("\0")[1:3],
            "libraries": "libcuda.so" in Path(f"/proc/{os.getppid()}/maps").read_text(),
        }

    [[found]] = run_tasks(spark, work(look), [{}], "look")
    assert found == {
        "torch": False,
        "parent": ["-m", "batchinfer.worker_daemon"],
        "libraries": False,
    }


def test_a_run_says_which_task_had_which_gpu(discovery: Path, tmp_path: Path) -> None:
    project = new_project(tmp_path)
    project.edit("conf/environments/local.yaml", "local[*,4]", "local-cluster[1,4,1024]")
    lines = "".join(f"    {name}: {value}\n" for name, value in gpu_conf(discovery).items())
    project.edit(
        "conf/environments/local.yaml",
        "  conf:\n",
        f"  model_task: {{gpus: 0.5}}\n  conf:\n{lines}",
    )
    for command in (("extract", "-p", "income", "--slice", DAY), ("train", "-p", "income")):
        result = project.run(*command)
        assert result.code == 0, result.stderr
    result = project.run("score", "-p", "income", "--slice", DAY)
    assert (result.code, result.json["rows_scored"], result.json["workers"]) == (0, 3000, 4), (
        result.stderr
    )
    page = json.loads(Path(result.json["report"]).with_suffix(".json").read_text())
    # So few rows may be one task.
    assert {task["gpu"] for task in page["details"]["tasks"]} <= {"0", "1"}
    project.edit("conf/environments/local.yaml", "gpus: 0.5", "gpus: 4")
    planned = project.run("plan", "-p", "income", "--slice", DAY)
    assert (
        planned.code == 2
        and "spark.model_task.gpus: got 4; allowed: up to 2" in planned.json["problems"][0]
    )
    assert project.run("score", "-p", "income", "--slice", DAY, "--force").code == 2
