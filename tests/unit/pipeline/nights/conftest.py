"""Nights without a JVM: a project whose slices are days of its data, with a model, and nothing
scored yet.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from spark.projects import PIPELINE, SmallProject

from batchinfer.nights.nightly import run_nights

from ..conftest import place_files
from ..one_process import OneProcess

TODAY = "2026-11-21"
DATED = (
    PIPELINE.replace("big: string}", "big: string, at: timestamp}")
    .replace("  key: id\n", "")
    .replace("slice: ingest_date", "slice: {column: at, unit: day}")
    .replace("learn/", "in/")
)


def rows_on(day: str, numbers: range, size: str | None = None) -> str:
    colors = ("red", "blue", "green")
    return "id,color,size,big,at\n" + "".join(
        f"{n},{colors[n % 3]},{size or f'{n * 0.37:.2f}'},{'yes' if n % 7 > 3 else 'no'},"
        f"{day}T10:00:00\n"
        for n in numbers
    )


@dataclass
class NightProject(SmallProject):
    """A project whose nights run in this process."""

    def night(self, *, day: str = TODAY, **options: Any) -> int:
        return run_nights([str(self.root / "conf/pipelines/small.yaml")], day, **options)

    def land(self, day: str, numbers: range = range(5), size: str | None = None) -> None:
        self.write(f"in/{day}-{numbers.start}.csv", rows_on(day, numbers, size))


@pytest.fixture(scope="session")
def dated_and_learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("nights")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("BATCHINFER_HOME", raising=False)
        place_files(patch, root / "sent")
        project = SmallProject(root, OneProcess)
        project.write("conf/pipelines/small.yaml", DATED)
        project.write("in/first.csv", rows_on("2026-11-18", range(40)))
        project.extract(None)
        project.train()
    return root


@pytest.fixture
def nights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dated_and_learned: Path
) -> NightProject:
    """A project of the test's own: forty rows of 2026-11-18 have landed and were learned from."""
    monkeypatch.delenv("BATCHINFER_HOME", raising=False)
    place_files(monkeypatch, tmp_path / "sent")
    monkeypatch.setattr("batchinfer.api.session_of", lambda _, scores=False: OneProcess)
    shutil.copytree(dated_and_learned, tmp_path, dirs_exist_ok=True)
    return NightProject(tmp_path, OneProcess)


@pytest.fixture
def line(capsys: pytest.CaptureFixture[str]) -> Callable[[], dict[str, Any]]:
    """The last JSON line since the last call."""
    return lambda: json.loads(capsys.readouterr().out.splitlines()[-1])
