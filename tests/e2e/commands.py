"""The real commands, typed as a user would, in a temporary copy of what a project has: conf/ and
examples/.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).parents[2]
BATCHINFER = Path(sys.executable).parent / "batchinfer"


@dataclass(frozen=True)
class Result:
    """One command: its exit code, its last line of stdout as JSON, everything it said to people."""

    code: int
    json: dict[str, Any]
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Project:
    """A project folder of its own, with its own state."""

    root: Path

    @property
    def lake(self) -> Path:
        return self.root / "var" / "lake"

    def environment(self, **extra: str) -> dict[str, str]:
        own = {"BATCHINFER_HOME": str(self.root / "var"), "COLUMNS": "200", "NO_COLOR": "1"}
        return (
            {name: value for name, value in os.environ.items() if name != "DATA_DIR"} | own | extra
        )

    def run(self, *arguments: str, timeout_s: float = 240, **extra: str) -> Result:
        return self.execute([str(BATCHINFER), *arguments], timeout_s, **extra)

    def execute(self, command: list[str], timeout_s: float = 240, **extra: str) -> Result:
        done = subprocess.run(
            command,
            cwd=self.root,
            env=self.environment(**extra),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        return as_result(done.returncode, done.stdout, done.stderr)

    def write(self, path: str, text: str | bytes) -> Path:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(text.encode() if isinstance(text, str) else text)
        return target

    def edit(self, path: str, old: str, new: str) -> None:
        text = (self.root / path).read_text()
        assert old in text, f"{path} has no {old!r}"
        self.write(path, text.replace(old, new))


def as_result(code: int, stdout: str, stderr: str) -> Result:
    lines = stdout.splitlines()
    assert lines, f"no line on stdout, exit {code}:\n{stderr}"
    # Nothing but JSON lines: one of each attempt.
    *_, last = [json.loads(line) for line in lines]
    return Result(code, last, stdout, stderr)


def new_project(folder: Path) -> Project:
    """A project with the environments of the checkout, and with `session`: there small data, too,
    are worked on by a session.
    """
    for part in ("conf", "examples", "jobs"):
        shutil.copytree(CHECKOUT / part, folder / part)
    project = Project(folder)
    local = (folder / "conf/environments/local.yaml").read_text()
    of_session = local.replace("spark:\n", "spark:\n  small_runs: session\n", 1)
    project.write("conf/environments/session.yaml", of_session)
    return project


SMALL_PIPELINE = """\
name: small
source:
  kind: csv
  path: in/*.csv
  schema: {id: int, color: string, size: double, big: string}
  slice: ingest_date
features:
  - standardize: {columns: size}
  - one_hot: {columns: color}
train:
  target: {column: big, positive: ["yes"]}
  params: {hidden: [4], epochs: 2, seed: 1}
model: {uri: "models:/small@champion"}
checks: {max_quarantine_rate: 0.5}
sink: {table: predictions/small}
"""
SMALL_ROWS = "id,color,size,big\n" + "".join(
    f"{n},{('red', 'blue')[n % 2]},{n}.5,{('no', 'yes')[n > 10]}\n" for n in range(20)
)
DAY = "2026-11-21"


def extract_small(project: Project, *more: str, slice_: str = DAY) -> Result:
    return project.run("extract", "-p", "small", "--slice", slice_, *more)


def tables(project: Project) -> set[str]:
    """Tables of the lake that have a log, as paths below it."""
    return {
        str(path.parent.relative_to(project.lake)) for path in project.lake.glob("**/_delta_log")
    }


def quarantined(project: Project) -> list[dict[str, Any]]:
    from deltalake import DeltaTable

    return DeltaTable(str(project.lake / "quarantine" / "small")).to_pyarrow_table().to_pylist()
