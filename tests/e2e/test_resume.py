"""A run of real processes that is killed, and what the next one makes of what it had finished."""

from __future__ import annotations

import os
import random
import signal
import string
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable
from e2e.commands import DAY, Project, new_project

FILES, ROWS = 6, 5_000
NET = """
import time
from pathlib import Path

import torch

SLOW = Path(__file__).with_name("slow")


class Net(torch.nn.Module):
    def __init__(self, features, outputs):
        super().__init__()
        self.layer = torch.nn.Linear(features, outputs)

    def forward(self, features):
        if SLOW.exists() and not self.training:
            time.sleep(float(SLOW.read_text()))
        return self.layer(features)
"""
PIPELINE = """\
name: small
source:
  kind: csv
  path: in/*.csv
  schema: {id: int, words: string, size: double, big: string}
  slice: ingest_date
  on_changed: replace
features:
  - standardize: {columns: size}
train:
  model: {python: "slow_net:Net"}
  target: {column: big, positive: ["yes"]}
  params: {epochs: 1, seed: 1}
model: {uri: "models:/small@champion", batch: {rows: 2500}}
sink: {table: predictions/small, carry: [words]}
"""
SCORE = ("score", "-p", "small", "--slice", DAY)


def rows_of(number: int, seed: int = 0) -> str:
    """Rows that no compression makes small, so that they are several tasks."""
    random_ = random.Random(100 * seed + number)
    lines = (
        f"{number * ROWS + row},{''.join(random_.choices(string.ascii_letters, k=120))},"
        f"{random_.random():.3f},{('no', 'yes')[row % 2]}\n"
        for row in range(ROWS)
    )
    return "id,words,size,big\n" + "".join(lines)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = new_project(tmp_path_factory.mktemp("resume"))
    project.write("slow_net.py", NET)
    project.write("conf/pipelines/small.yaml", PIPELINE)
    for number in range(FILES):
        project.write(f"in/{number}.csv", rows_of(number))
        # Each file lands by itself, as one file of the table.
        assert project.run("extract", "-p", "small", "--slice", DAY).code == 0
    assert project.run("train", "-p", "small").code == 0
    return project


@pytest.fixture(scope="module")
def whole(project: Project) -> pa.Table:
    """What a run publishes that nothing has happened to."""
    assert project.run(*SCORE, "--force").code == 0
    return published(project)


def notes(project: Project) -> list[Path]:
    return list(project.lake.glob("predictions/small/_finished/**/*.json"))


def ended(project: Project, number: signal.Signals, finished: int, *arguments: str) -> int:
    """A run that gets a signal once so many of its tasks have done their part; its exit code."""
    project.write("slow", "1")
    process = subprocess.Popen(
        [sys.executable, "-m", "batchinfer", *SCORE, *arguments], cwd=project.root,
        env=project.environment(), start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    until = time.monotonic() + 200
    while len(notes(project)) < finished:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until, "its tasks do not come to an end"
        time.sleep(0.02)
    if number == signal.SIGKILL:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    process.communicate(timeout=60)
    project.write("slow", "0")
    return process.returncode


def published(project: Project) -> pa.Table:
    rows = DeltaTable(str(project.lake / "predictions/small")).to_pyarrow_table()
    columns = ["source_file", "source_line", "words", "score", "label", "input_fingerprint"]
    # The last digit of a score depends on the place that its row has in a batch.
    score = pc.round(rows["score"], 12)
    rows = rows.set_column(rows.column_names.index("score"), "score", score)
    return rows.select(columns).sort_by(
        [("source_file", "ascending"), ("source_line", "ascending")]
    )


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_next_run_scores_only_what_was_not_finished(
    project: Project, whole: pa.Table, number: signal.Signals
) -> None:
    code = ended(project, number, 2, "--force")
    assert code == (-signal.SIGKILL if number == signal.SIGKILL else 143)
    assert 2 <= len(notes(project)) < 4
    leases = list(project.lake.glob("_leases/**/*.lease"))
    assert len(leases) == (number == signal.SIGKILL)
    # What lands in between leaves it alone, though it sweeps.
    assert project.run("extract", "-p", "small", "--slice", DAY).json["status"] == "unchanged"
    assert notes(project)
    again = project.run(*SCORE, "--force")
    assert again.code == 0, again.stderr
    told = again.json
    assert (told["status"], told["rows_in"]) == ("published", FILES * ROWS)
    assert 0 < told["rows_resumed"] < FILES * ROWS
    assert told["rows_in"] == told["rows_scored"] + told["rows_reused"] + told["rows_quarantined"]
    assert any("are taken over" in warning for warning in told["warnings"])
    assert notes(project) == [] and not list(project.lake.glob("_leases/**/*.lease"))
    assert published(project) == whole


def damage(project: Project) -> None:
    path = max(project.lake.glob("predictions/small/slice=*/*.parquet"), key=os.path.getmtime)
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 16
    path.write_bytes(data)


def test_a_damaged_file_is_scored_anew(project: Project, whole: pa.Table) -> None:
    ended(project, signal.SIGKILL, 2, "--force")
    damage(project)
    again = project.run(*SCORE, "--force")
    assert again.code == 0, again.stderr
    assert any("files of theirs are not what was written" in one for one in again.json["warnings"])
    assert notes(project) == [] and published(project) == whole


def test_a_second_kill_loses_nothing_of_the_first(project: Project, whole: pa.Table) -> None:
    ended(project, signal.SIGKILL, 1, "--force")
    first = len(notes(project))
    ended(project, signal.SIGKILL, first + 1, "--force")
    again = project.run(*SCORE, "--force")
    assert again.code == 0, again.stderr
    taken = [one for one in again.json["warnings"] if "are taken over" in one]
    assert len(taken) == 2 and published(project) == whole


@pytest.mark.usefixtures("whole")
def test_files_of_sources_that_did_not_change_stay(project: Project) -> None:
    table = DeltaTable(str(project.lake / "predictions/small"))
    files = set(table.get_add_actions()["path"].to_pylist())
    project.write("in/3.csv", rows_of(3, seed=1))
    assert project.run("extract", "-p", "small", "--slice", DAY).code == 0
    again = project.run(*SCORE)
    assert again.code == 0, again.stderr
    assert 0 < again.json["rows_kept"] <= again.json["rows_reused"]
    table.update_incremental()
    assert files & set(table.get_add_actions()["path"].to_pylist())
    after = published(project)
    forced = project.run(*SCORE, "--force")
    assert forced.json["rows_kept"] == 0 and published(project) == after
