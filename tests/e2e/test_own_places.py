"""A pipeline file in a folder without `conf/`: its state lies beside it, and every command says
where.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from e2e.commands import CHECKOUT, DAY, SMALL_PIPELINE, SMALL_ROWS, Project, Result

NAME = "small_and_alone"


@pytest.fixture
def alone(tmp_path: Path) -> Project:
    project = Project(tmp_path / "alone")
    text = SMALL_PIPELINE.replace("name: small", f"name: {NAME}")
    project.write("small.yaml", text.replace("models:/small@", f"models:/{NAME}@"))
    project.write("in/a.csv", SMALL_ROWS)
    return project


def run(project: Project, *arguments: str) -> Result:
    return project.run(*arguments, BATCHINFER_HOME="")


def states(result: Result) -> list[tuple[str, str]]:
    return [(one["slice"], one["status"]) for one in result.json["slices"]]


def test_state_lies_beside_the_file_and_where_it_was_is_told(alone: Project) -> None:
    home = alone.root / "var"
    state = {"home": str(home), "lake": f"{home}/lake", "registry": f"sqlite:///{home}/mlflow.db"}
    nothing = run(alone, "status", "-p", "small.yaml")
    assert (nothing.code, nothing.json["slices"], nothing.json["state"]) == (0, [], state)
    assert not home.exists(), "asking writes nothing"
    landed = run(alone, "extract", "-p", "small.yaml", "--slice", DAY)
    assert (landed.code, landed.json["rows_landed"]) == (0, 20), landed.stderr
    assert f"makes the state folder {home}" in landed.stderr
    assert (alone.lake / "landed" / NAME / "_delta_log").is_dir()
    assert not (CHECKOUT / "var" / "lake" / "landed" / NAME).exists()
    known = run(alone, "status", "-p", "small.yaml")
    assert states(known) == [(DAY, "missing")]
    assert str(home) in known.stderr and "makes the state folder" not in known.stderr
    doctor = run(alone, "doctor")
    assert doctor.json["state"] == state and str(home) in doctor.stderr
    # From another folder it is the same state, and a conf/ that comes later changes nothing.
    elsewhere = Project(alone.root.parent)
    assert states(run(elsewhere, "status", "-p", "alone/small.yaml")) == [(DAY, "missing")]
    (alone.root / "conf").mkdir()
    assert states(run(alone, "status", "-p", "small.yaml")) == [(DAY, "missing")]
    # As it was: the working folder's project had the state of a file that stands elsewhere.
    working = Project(alone.root.parent / "working")
    (working.root / "conf").mkdir(parents=True)
    (alone.root / "var").rename(working.root / "var")
    told = run(working, "status", "-p", "../alone/small.yaml")
    assert told.code == 0 and told.json["slices"] == []
    [said] = [text for text in told.json["warnings"] if "earlier builds" in text]
    assert f"batchinfer: {said}" in told.stderr
    advice = said.partition("export BATCHINFER_HOME=")[2].partition(";")[0]
    followed = working.run("status", "-p", "../alone/small.yaml", BATCHINFER_HOME=advice)
    assert states(followed) == [(DAY, "missing")] and "earlier builds" not in followed.stderr
