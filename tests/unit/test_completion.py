"""What a shell is told while someone types, by the script that `completion` prints."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def batchinfer(*arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "batchinfer", *arguments],
        capture_output=True, text=True, check=True, cwd=cwd, env={**os.environ, **variables},
    )  # fmt: skip


def completed(line: str, cwd: Path) -> list[str]:
    """What bash would offer for the last word of a line."""
    words = line.split(" ")
    done = batchinfer(
        cwd=cwd, _BATCHINFER_COMPLETE="bash_complete", COMP_WORDS=line,
        COMP_CWORD=str(len(words) - 1),
    )  # fmt: skip
    assert done.stderr == ""
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "conf" / "pipelines"
    place.mkdir(parents=True)
    for name in ("churn.yaml", "income.yml", "notes.txt"):
        (place / name).write_text("name: x\n")
    return tmp_path


def test_pipelines_of_the_project_are_offered(folder: Path) -> None:
    assert completed("batchinfer score -p ", folder) == ["churn", "income"]
    assert completed("batchinfer status -p churn -p i", folder) == ["income"]
    assert "backfill" in completed("batchinfer b", folder)


def test_a_pipeline_file_that_is_wrong_offers_no_slices_and_says_nothing(folder: Path) -> None:
    assert completed("batchinfer score -p churn --slice ", folder) == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_standard_output_is_the_script_alone(shell: str, tmp_path: Path) -> None:
    done = batchinfer("completion", shell, cwd=tmp_path)
    assert "_BATCHINFER_COMPLETE" in done.stdout and '"status"' not in done.stdout
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=done.stdout, text=True, check=True)
