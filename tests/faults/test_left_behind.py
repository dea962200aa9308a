"""What runs leave that are killed (SIGKILL) at a chosen place: between staging and the first
commit, and between the two commits of a replay. The next command puts it right, and says so.

Part of `make faults`. The place is chosen by holding the lock that the run needs next.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable

import pytest
from deltalake import DeltaTable
from e2e.commands import Project, new_project
from spark.projects import DAY, PIPELINE
from spark.refusing import NET

from batchinfer.lake.locks import TABLE_LOCK, FileLock

from .signals import started, strays
from .test_kills import ROWS, ids, trained

NEXT, LATER = "2026-11-22", "2026-11-23"


def killed_before(
    project: Project, table: str, is_there: Callable[[], bool], *arguments: str
) -> None:
    """Starts a command that cannot commit to this table, waits until it has come so far, and kills
    it with all its children.
    """
    lock = FileLock(project.lake / table / TABLE_LOCK)
    assert lock.acquire(5)
    try:
        process = started(project, *arguments)
        until = time.monotonic() + 200
        while not is_there():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < until, "it has not come so far"
            time.sleep(0.02)
        time.sleep(0.2)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    finally:
        lock.release()


def staged(project: Project, table: str) -> set[str]:
    return {path for path in strays(project) if f"lake/{table}/" in path}


def test_what_a_killed_extract_staged_goes_with_the_next_one(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    project = trained(new_project(tmp_path_factory.mktemp("orphans")), PIPELINE, "bad line\n")
    before = strays(project)
    killed_before(
        project,
        "quarantine/small",
        lambda: bool(staged(project, "landed") and staged(project, "quarantine")),
        "extract", "-p", "small", "--slice", NEXT,
    )  # fmt: skip
    left = strays(project) - before
    assert [path for path in left if path.endswith(".lease")]
    # A run of another slice, which finds nothing new of its own.
    again = project.run("extract", "-p", "small", "--slice", DAY)
    assert (again.code, again.json["status"]) == (0, "unchanged"), again.stderr
    [told] = [each for each in again.json["warnings"] if "was killed" in each]
    assert f"the {len(left) - 1} files" in told
    assert strays(project) == before
    assert project.run("extract", "-p", "small", "--slice", NEXT).json["rows_landed"] == ROWS
    assert ids(project, "landed", NEXT) == ids(project, "landed", DAY) == list(range(ROWS))
    assert strays(project) == before


@pytest.fixture(scope="module")
def refusing(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose model refuses some rows while the file `refused` says so."""
    project = new_project(tmp_path_factory.mktemp("settling"))
    text = PIPELINE.replace("hidden: [4], ", "").replace(
        "train:\n", "train:\n  model: {python: 'refusing_net:Net'}\n"
    )
    project.write("refusing_net.py", NET)
    return trained(project, text)


@pytest.mark.parametrize("command", ["score", "backfill"])
def test_rows_of_a_replay_that_was_killed_between_its_commits_are_settled(
    refusing: Project, command: str
) -> None:
    project = refusing
    project.write("refused", "1.7")
    scored = project.run("score", "-p", "small", "--slice", DAY, "--force")
    assert (scored.code, scored.json["rows_quarantined"] > 100) == (0, True), scored.stderr
    project.write("refused", "1.72")
    predictions = str(project.lake / "predictions/small")
    version = DeltaTable(predictions).version()
    killed_before(
        project,
        "quarantine/small",
        lambda: DeltaTable(predictions).version() > version,
        "replay", "-p", "small", "--slice", DAY,
    )  # fmt: skip
    both = set(ids(project, "predictions", DAY)) & set(aside(project))
    assert both, "rows stand in both tables"
    [told] = project.run("status", "-p", "small").json["warnings"]
    assert "a replay was cut off" in told
    bounds = ["--slice", DAY] if command == "score" else ["--from", DAY, "--to", DAY]
    again = project.run(command, "-p", "small", *bounds)
    assert again.code == 0, again.stderr
    said = " ".join(again.json["warnings"])
    assert f"a replay was interrupted after it had published {len(both)} rows" in said
    assert sorted([*ids(project, "predictions", DAY), *aside(project)]) == list(range(ROWS))
    assert "warnings" not in project.run("status", "-p", "small").json


def aside(project: Project) -> list[int]:
    rows = DeltaTable(str(project.lake / "quarantine/small")).to_pyarrow_table()
    return [json.loads(key)["id"] for key in rows.column("key").to_pylist()]
