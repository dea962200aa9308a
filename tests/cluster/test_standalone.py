"""The jobs on a standalone cluster: machines that see the lake, have the packages, and neither the
checkout nor the project.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from cluster.conftest import OnCluster, predictions, rows_of
from cluster.standalone import bare_python, without
from e2e.commands import CHECKOUT, Project, new_project

DAY = "2026-11-21"
# Fixtures count: several commands, each of which starts a JVM.
pytestmark = pytest.mark.timeout(1800)
FIRST, LAST = "2015-05-17", "2015-05-20"
PLACE = ("source_file", "source_line")


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The same commands on one machine."""
    project = new_project(tmp_path_factory.mktemp("alone"))
    for command in (
        ("extract", "-p", "income", "--slice", DAY),
        ("train", "-p", "income"),
        ("score", "-p", "income", "--slice", DAY),
        ("extract", "-p", "bot_traffic"),
        ("train", "-p", "bot_traffic"),
        ("backfill", "-p", "bot_traffic", "--from", FIRST, "--to", LAST),
    ):
        result = project.run(*command)
        assert result.code == 0, result.stderr
    return project


def test_a_machine_of_the_cluster_has_the_packages_and_not_this_one(
    node: Path, hidden: list[Path]
) -> None:
    def answer(python: Path, code: str) -> str:
        command = [*without(hidden), str(python), "-c", code]
        done = subprocess.run(
            command,
            cwd="/",
            env={"PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
        )
        return (done.stdout + done.stderr).strip()

    assert answer(node, "import torch, deltalake; print('here')") == "here"
    assert "No module named 'batchinfer'" in answer(node, "import batchinfer")
    assert "No module named 'torch'" in answer(bare_python(), "import torch")
    if hidden:
        assert answer(node, f"import os; print(os.listdir('{CHECKOUT}/src'))") == "[]"


def test_extract_train_and_score_give_the_tables_of_one_machine(
    on_cluster: OnCluster, alone: Project
) -> None:
    landed = on_cluster.submit("extract", "-p", "income", "--slice", DAY)
    assert (landed.code, landed.json["rows_landed"]) == (0, 3000), landed.stderr
    assert on_cluster.submit("train", "-p", "income").code == 0
    scored = on_cluster.submit("score", "-p", "income", "--slice", DAY)
    assert (scored.code, scored.json["rows_scored"], scored.json["workers"]) == (0, 3000, 2), (
        scored.stderr
    )

    lake = on_cluster.shared / "lake"
    assert by_place(rows_of(lake, "landed/income")) == by_place(
        rows_of(alone.lake, "landed/income")
    )
    ours, theirs = (predictions(place, "income", PLACE, "score") for place in (lake, alone.lake))
    assert ours.keys() == theirs.keys()
    assert all(ours[key] == pytest.approx(theirs[key], rel=1e-4, abs=1e-6) for key in theirs)


def test_backfill_gives_the_table_of_one_machine(on_cluster: OnCluster, alone: Project) -> None:
    assert on_cluster.submit("extract", "-p", "bot_traffic").code == 0
    assert on_cluster.submit("train", "-p", "bot_traffic").code == 0
    done = on_cluster.submit("backfill", "-p", "bot_traffic", "--from", FIRST, "--to", LAST)
    assert done.code == 0, done.stderr
    assert [one["status"] for one in done.json["slices"]] == ["published"] * 4
    ours, theirs = (
        predictions(lake, "bot_traffic", PLACE, "score")
        for lake in (on_cluster.shared / "lake", alone.lake)
    )
    assert ours.keys() == theirs.keys()
    assert all(ours[key] == pytest.approx(theirs[key], rel=1e-4, abs=1e-6) for key in theirs)


def test_the_command_ships_by_itself(on_cluster: OnCluster) -> None:
    """Without spark-submit: the session builder sends the same."""
    result = on_cluster.project.run(
        "score", "-p", "income", "--slice", DAY, "--force", timeout_s=420, **on_cluster.variables()
    )
    assert (result.code, result.json["rows_scored"]) == (0, 3000), result.stderr


def test_a_project_of_ones_own_has_the_environments_of_the_checkout(on_cluster: OnCluster) -> None:
    """The job's package is a zip, which has no `conf/` beside it."""
    own = [on_cluster.project.root / "conf" / part for part in ("environments", "base")]
    for folder in own:
        folder.rename(folder.with_name(f"{folder.name} away"))
    try:
        result = on_cluster.submit("extract", "-p", "income", "--slice", DAY)
    finally:
        for folder in own:
            folder.with_name(f"{folder.name} away").rename(folder)
    assert (result.code, result.json["pipeline"]) == (0, "income"), result.stderr


def by_place(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    return sorted(rows, key=lambda row: (row["source_file"], row["source_line"]))
