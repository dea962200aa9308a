"""From an empty folder and one's own CSV to a prediction: four commands, and no file edited."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from e2e.commands import BATCHINFER, CHECKOUT, Project, Result
from sklearn import datasets


def _irises(file: Path) -> None:
    datasets.load_iris(as_frame=True).frame.to_csv(file, index=False)


def _patients(file: Path) -> None:
    """Amounts to learn, with European delimiters, missing words and a line that is no record."""
    frame = datasets.load_diabetes(as_frame=True, scaled=False).frame.rename(columns=str.upper)
    frame.insert(0, "patient_id", range(1000, 1000 + len(frame)))
    frame.loc[frame.index % 50 == 3, "BMI"] = None
    text = frame.to_csv(index=False, sep=";", na_rep="NA")
    file.write_text(text + "1;2\n", encoding="utf-8")


def _next(project: Project, done: Result, place: int) -> Result:
    """The command that `init` shows, typed as it stands there."""
    program, *words = shlex.split(done.json["next"][place])
    assert Path(program).name == "batchinfer"
    result = project.run(*words)
    assert result.code == 0, result.stderr
    return result


# Three of the commands start what takes seconds; it is minutes where others compute, too.
@pytest.mark.timeout(900)
def test_the_commands_that_init_shows_lead_to_a_prediction(tmp_path: Path) -> None:
    _patients(tmp_path / "patients.csv")
    project = Project(tmp_path)
    made = project.run("init", "patients", "--from", "patients.csv", "--target", "TARGET")
    assert made.code == 0, made.stderr
    last = made.stderr.rstrip().splitlines()[-1]
    assert last == f"next: {' && '.join(made.json['next'])}"
    assert made.json["created"][-1] == "conf/pipelines/patients.yaml"

    trained = _next(project, made, 0).json
    landed = trained["landed_first"]
    assert (landed["rows_landed"], landed["rows_quarantined"]) == (442, 1)
    assert trained["metrics"]["r2"] > 0.1, "better than naming the mean"
    scored = _next(project, made, 1).json
    assert ([scored["slice"]], scored["rows_scored"]) == (landed["slices"], 442)
    assert shlex.split(made.json["next"][2])[-1] == "patient_id=1000"
    found = _next(project, made, 2).json
    assert found["found"] is True
    assert 25 < found["prediction"]["prediction"] < 346, "within what was learned from"


def tutorial_commands() -> list[str]:
    """The lines of the tutorial's fenced blocks, in their order."""
    text = (CHECKOUT / "docs/tutorial.md").read_text()
    blocks = re.findall(r"^```\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


@pytest.mark.timeout(900)
def test_every_command_of_the_tutorial_does_what_the_page_says(tmp_path: Path) -> None:
    project, path = Project(tmp_path), f"{BATCHINFER.parent}:{os.environ['PATH']}"
    lines = tutorial_commands()
    results: dict[str, Result] = {}
    for line in lines:
        words = shlex.split(line)
        if words[0] != "batchinfer":
            done = subprocess.run(
                ["bash", "-c", line], cwd=tmp_path, env=project.environment(PATH=path), check=False
            )
            assert done.returncode == 0, line
            continue
        result = project.execute(["bash", "-c", line], PATH=path)
        assert result.code == 0, f"{line}\n{result.stderr}"
        results[words[1]] = result
    assert [*results] == ["init", "train", "score", "lookup", "nightly", "status"]
    shown = [shlex.split(line) for line in results["init"].json["next"]]
    assert [shlex.split(line) for line in lines if "batchinfer" in line][1:4] == shown
    assert "it lands first" in results["train"].stderr
    assert results["train"].json["metrics"]["accuracy"] > 0.8, "growers are told apart"
    assert results["score"].json["rows_scored"] == 178
    assert results["lookup"].json["prediction"]["label"] == "0"
    assert results["nightly"].json["landed"] == results["nightly"].json["scored"] == ["2026-11-22"]
    states = {one["slice"]: one["status"] for one in results["status"].json["slices"]}
    assert len(states) == 2 and set(states.values()) == {"published"}


def test_a_pipeline_that_is_there_is_never_overwritten(tmp_path: Path) -> None:
    project = Project(tmp_path)
    _irises(tmp_path / "irises.csv")
    assert project.run("init", "irises", "--from", "irises.csv").code == 0
    file = tmp_path / "conf/pipelines/irises.yaml"
    file.write_text("# mine\n")
    again = project.run("init", "irises", "--from", "irises.csv", "--target", "target")
    assert (again.code, file.read_text()) == (2, "# mine\n")
    assert "conf/pipelines/irises.yaml is there already" in again.json["errors"][0]
    missing = project.run("init", "other", "--from", "irisis.csv")
    assert missing.code == 3
    assert "irises.csv" in missing.stderr, "the near name is told"
