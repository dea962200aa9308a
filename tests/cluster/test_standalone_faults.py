"""Faults of machines on a standalone cluster: executors that die, leave, come, run a task twice, or
never come.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cluster.conftest import OnCluster, predictions
from cluster.standalone import Cluster, can_hide, kill_tree
from e2e.commands import Result, as_result
from spark.projects import PIPELINE

from batchinfer.config.environment import ModelTask, SparkSettings
from batchinfer.errors import StorageError
from batchinfer.spark import capacity
from batchinfer.spark.capacity import check_capacity
from batchinfer.spark.session import open_session

DAY = "2026-11-21"
# Two tasks: fewer rows would be one.
ROWS = 80_000
Start = Callable[..., "subprocess.Popen[str]"]
pytestmark = pytest.mark.timeout(1800)

# A network of a user's own, beside conf/: it has to travel too. Its first attempt at a task waits
# while a file says so, and leaves a mark; a second one, in a child of the worker, does not wait.
# While another file says so, it refuses some rows.
NET = """\
import os
import time
from collections.abc import Callable, Iterator

import torch


class Net(torch.nn.Module):
    def __init__(self, features: int, outputs: int) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(features, outputs)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        from pyspark import TaskContext

        refuses = not self.training and os.path.exists("{marks}/refuse")
        if refuses and bool((features[:, 0] > 1.72).any()):
            raise ValueError("this size is too large for me")
        task = TaskContext.get()
        if not self.training and task is not None:
            name = f"{{task.partitionId()}}-{{task.attemptNumber()}}-{{os.getpid()}}"
            open(f"{marks}/began-{{name}}", "w").close()
            while os.path.exists(f"{marks}/wait-{{task.partitionId()}}"):
                time.sleep(0.1)
        return self.layer(features)
"""


@pytest.fixture(scope="module")
def trained(on_cluster: OnCluster) -> OnCluster:
    project, shared = on_cluster.project, on_cluster.shared
    marks = shared / "marks"
    marks.mkdir()
    project.write("own_net.py", NET.format(marks=marks))
    text = PIPELINE.replace("in/*.csv", f"{shared}/in/*.csv").replace("hidden: [4], ", "")
    text = text.replace("train:\n", "train:\n  model: {python: 'own_net:Net'}\n")
    project.write("conf/pipelines/small.yaml", text)
    rows = "".join(
        f"{n},{('red', 'blue')[n % 2]},{n * 0.01:.2f},{('no', 'yes')[n % 7 > 3]}\n"
        for n in range(ROWS)
    )
    (shared / "in").mkdir()
    (shared / "in" / "a.csv").write_text(f"id,color,size,big\n{rows}")
    for command in (("extract", "-p", "small", "--slice", DAY), ("train", "-p", "small")):
        result = on_cluster.submit(*command)
        assert result.code == 0, result.stderr
    return on_cluster


@pytest.fixture
def marks(trained: OnCluster, undisturbed: dict[tuple[object, ...], float]) -> Path:
    """The folder in which tasks say that they have begun, and are told to wait."""
    folder = trained.shared / "marks"
    for file in folder.iterdir():
        file.unlink()
    return folder


@pytest.fixture(scope="module")
def undisturbed(trained: OnCluster) -> dict[tuple[object, ...], float]:
    """What the slice's predictions are when nothing goes wrong."""
    result = trained.submit("score", "-p", "small", "--slice", DAY)
    assert (result.code, result.json["rows_scored"]) == (0, ROWS), result.stderr
    return scores(trained)


def scores(on_cluster: OnCluster) -> dict[tuple[object, ...], float]:
    return predictions(on_cluster.shared / "lake", "small", ("id",), "score")


def wait_for(marks: Path, pattern: str, running: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 240
    while not list(marks.glob(pattern)):
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < end, (
            f"no {pattern} in {sorted(path.name for path in marks.iterdir())}"
        )
        time.sleep(0.05)


@pytest.fixture
def start(trained: OnCluster) -> Iterator[Start]:
    """Starts a scoring job; whatever a test leaves running would hold the slice."""
    begun: list[subprocess.Popen[str]] = []

    def score(*spark: str) -> subprocess.Popen[str]:
        begun.append(trained.start("score", "-p", "small", "--slice", DAY, "--force", spark=spark))
        return begun[-1]

    yield score
    for one in begun:
        kill_tree(one)


def ended(running: subprocess.Popen[str]) -> Result:
    stdout, stderr = running.communicate(timeout=600)
    return as_result(running.returncode, stdout, stderr)


def assert_as_undisturbed(
    on_cluster: OnCluster, result: Result, undisturbed: dict[tuple[object, ...], float]
) -> None:
    assert (result.code, result.json["rows_in"], result.json["rows_scored"]) == (0, ROWS, ROWS), (
        result.stderr
    )
    assert_same(scores(on_cluster), undisturbed)


def assert_same(
    found: dict[tuple[object, ...], float], expected: dict[tuple[object, ...], float]
) -> None:
    assert found.keys() == expected.keys()
    assert all(found[key] == pytest.approx(expected[key], rel=1e-6) for key in found)


def test_an_executor_that_is_killed_in_the_middle_costs_a_retry(
    trained: OnCluster, undisturbed: dict[tuple[object, ...], float], marks: Path, start: Start
) -> None:
    (marks / "wait-0").touch()
    running = start()
    wait_for(marks, "began-0-0-*", running)
    holder = int(next(marks.glob("began-0-0-*")).name.rpartition("-")[2])
    executors = [one for worker in trained.cluster.workers for one in worker.executors()]
    [victim] = [one for one in executors if is_below(holder, one.pid)]
    victim.kill()
    (marks / "wait-0").unlink()
    assert_as_undisturbed(trained, ended(running), undisturbed)


def is_below(pid: int, parent: int) -> bool:
    import psutil

    return parent in {one.pid for one in psutil.Process(pid).parents()}


def test_a_slow_task_that_runs_twice_is_published_once(
    trained: OnCluster, undisturbed: dict[tuple[object, ...], float], marks: Path, start: Start
) -> None:
    (marks / "wait-0").touch()
    speculation = {
        "spark.speculation": "true", "spark.speculation.interval": "100ms",
        "spark.speculation.quantile": "0.3",
        "spark.speculation.multiplier": "1.1", "spark.speculation.minTaskRuntime": "100ms",
    }  # fmt: skip
    spark = tuple(
        part for name, value in speculation.items() for part in ("--conf", f"{name}={value}")
    )
    running = start(*spark)
    wait_for(marks, "began-0-0-*", running)
    # It waits for ever: only a second copy of it, beside the first, can end the run.
    assert_as_undisturbed(trained, ended(running), undisturbed)
    assert (marks / "wait-0").exists()


def test_replay_makes_the_table_of_an_undisturbed_run(
    trained: OnCluster, undisturbed: dict[tuple[object, ...], float], marks: Path
) -> None:
    (marks / "refuse").touch()
    scored = trained.submit("score", "-p", "small", "--slice", DAY, "--force")
    assert scored.code == 0, scored.stderr
    refused = scored.json["rows_quarantined"]
    assert 0 < refused == ROWS - len(scores(trained))
    (marks / "refuse").unlink()
    replayed = trained.submit("replay", "-p", "small", "--slice", DAY)
    assert (replayed.code, replayed.json["rows_scored"]) == (0, refused), replayed.stderr
    assert_same(scores(trained), undisturbed)


def test_a_machine_that_leaves_and_one_that_joins(
    trained: OnCluster,
    undisturbed: dict[tuple[object, ...], float],
    marks: Path,
    start: Start,
    hidden: list[Path],
) -> None:
    """Dynamic allocation with shuffle tracking: the machine that runs a task is gone at once, and
    another comes.
    """
    # Both tasks wait: with one left, Spark would want no second executor.
    for task in (0, 1):
        (marks / f"wait-{task}").touch()
    dynamic = {
        "spark.dynamicAllocation.enabled": "true",
        "spark.dynamicAllocation.shuffleTracking.enabled": "true",
        "spark.dynamicAllocation.minExecutors": "1", "spark.dynamicAllocation.maxExecutors": "2",
    }  # fmt: skip
    spark = tuple(part for name, value in dynamic.items() for part in ("--conf", f"{name}={value}"))
    running = start(*spark)
    wait_for(marks, "began-0-0-*", running)
    wait_for(marks, "began-1-0-*", running)
    holder = int(next(marks.glob("began-0-0-*")).name.rpartition("-")[2])
    [gone] = [worker for worker in trained.cluster.workers if is_below(holder, worker.process.pid)]
    gone.leave()
    trained.cluster.workers.remove(gone)
    joined = trained.cluster.join(hidden=hidden)
    # It is given an executor: until then, the run goes on waiting for its other task.
    wait_for(joined.folder, "app-*", running)
    for task in (0, 1):
        (marks / f"wait-{task}").unlink()
    assert_as_undisturbed(trained, ended(running), undisturbed)
    assert list(joined.folder.glob("app-*")), "the machine that joined was given an executor"


@pytest.mark.skipif(not can_hide(), reason="this machine lets no process have mounts of its own")
def test_a_lake_that_a_machine_does_not_see_is_told_before_the_run(
    trained: OnCluster, tmp_path: Path
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    with Cluster(tmp_path / "cluster") as apart:
        apart.join(hidden=[shared])
        alike = OnCluster(trained.project, shared, apart, trained.python)
        shutil.copytree(trained.shared / "in", shared / "in")
        result = alike.submit("extract", "-p", "small", "--slice", DAY)
    assert result.code == 2, result.stderr
    assert [problem.split(";")[0] for problem in result.json["errors"]] == [
        f"lake: got {shared}/lake", f"staging: got {shared}/staging",
    ]  # fmt: skip
    assert (
        "has no such folder" in result.json["errors"][0]
        and "allowed: a place that all machines reach" in result.stderr
    )
    assert not list((shared / "lake").glob(".probe*")), "nothing is left behind"
    assert not (shared / "lake" / "landed").exists()


def test_executors_that_never_come_are_told_and_not_waited_for_in_silence(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(capacity, "PATIENCE_S", 4.0)
    monkeypatch.setattr(capacity, "_FIRST_WORD_S", 1.0)
    conf = {
        "spark.ui.enabled": False,
        "spark.executor.memory": "64g",
        "spark.driver.host": "127.0.0.1",
    }
    session = open_session(SparkSettings(master=cluster.master, conf=conf), "too large")
    try:
        began = time.monotonic()
        with pytest.raises(
            StorageError,
            match=r"no executor in \d+ s: each executor asks spark://\S+ for all cores of .* 64g",
        ):
            check_capacity(session, ModelTask())
        assert time.monotonic() - began < 60
        assert (
            "batchinfer: no executor after 1 s, waiting: each executor asks"
            in capsys.readouterr().err
        )
    finally:
        session.stop()
