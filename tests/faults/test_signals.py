"""Signals at every instant of every command, to a slow slice, and Spark's JVM killed from outside.

A command of its own (`make faults`): the sweep takes half an hour. STEP_S=0.05 is its first step.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from e2e.commands import Project, Result, as_result, new_project
from spark.projects import DAY, PIPELINE

from .signals import signalled, started
from .test_kills import trained

STEP_S = float(os.environ.get("STEP_S", "0.05"))
NEXT = "2026-11-22"
COMMANDS = {
    "plan": ["--slice", DAY],
    "status": [],
    "models": [],
    "doctor": [],
    "lookup": ["--key", "id=7"],
    "score": ["--slice", DAY, "--force"],
    "backfill": ["--from", DAY, "--to", DAY, "--force"],
    "replay": ["--slice", DAY],
    "train": [],
    "register": ["--artifact", "net.pt2"],
    "extract": ["--slice", "{new}"],
    "nightly": ["--slice", "{new}"],
}
SLOW_NET = """
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
            SLOW.with_name("at_work").touch()
            time.sleep(float(SLOW.read_text()))
        return self.layer(features)
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = trained(new_project(tmp_path_factory.mktemp("signals")), PIPELINE, "bad line\n")
    assert project.run("score", "-p", "small", "--slice", DAY).code == 0
    make = (
        "import torch\n"
        "class Net(torch.nn.Module):\n"
        "    def forward(self, features): return features.sum(dim=1)\n"
        "batch = torch.export.Dim('batch')\n"
        "net = torch.export.export(Net(), (torch.ones(4, 3),), dynamic_shapes=({0: batch},))\n"
        "torch.export.save(net, 'net.pt2')\n"
    )
    subprocess.run([sys.executable, "-c", make], cwd=project.root, check=True)
    return project


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_signal_at_any_instant_ends_the_command_and_leaves_nothing(
    small: Project, command: str
) -> None:
    """From the first line of ours to the end; both signals take turns."""
    faults: list[str] = []
    instant, tried, ended = 0.15, 0, False
    while not ended:
        number = (signal.SIGTERM, signal.SIGINT)[tried % 2]
        new = f"2025-{tried // 28 + 1:02d}-{tried % 28 + 1:02d}"
        pipeline = [] if command == "doctor" else ["-p", "small"]
        options = [option.format(new=new) for option in COMMANDS[command]]
        found = signalled(small, number, instant, command, *pipeline, *options)
        faults += [f"{instant:.2f} s, {number.name}: {fault}" for fault in found.faults]
        ended, tried = found.ended, tried + 1
        instant += STEP_S if instant < 2 else 0.5
    assert not faults, "\n".join(faults)
    print(f"{command}: {tried} signals", file=sys.stderr)


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Two landed slices, and a model that takes as long as the file `slow` says."""
    project = new_project(tmp_path_factory.mktemp("slow"))
    project.write("slow_net.py", SLOW_NET)
    text = PIPELINE.replace("hidden: [4], ", "").replace(
        "train:\n", "train:\n  model: {python: 'slow_net:Net'}\n"
    )
    trained(project, text)
    assert (
        project.run(
            "extract", "-p", "small", "--slice", NEXT, "--set", "source.on_changed=append"
        ).code
        == 0
    )
    return project


def begun(project: Project, *arguments: str) -> subprocess.Popen[str]:
    """A command whose model is at work."""
    (project.root / "at_work").unlink(missing_ok=True)
    process = started(project, *arguments)
    until = time.monotonic() + 120
    while not (project.root / "at_work").exists() and time.monotonic() < until:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    return process


def finished(process: subprocess.Popen[str], timeout_s: float) -> Result:
    stdout, stderr = process.communicate(timeout=timeout_s)
    return as_result(process.returncode, stdout, stderr)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("parallel", ["1", "2"])
def test_backfill_breaks_a_slow_slice_off(slow: Project, parallel: str, number: int) -> None:
    """Its model would take ten minutes for a batch."""
    slow.write("slow", "600")
    range_ = ["--from", DAY, "--to", NEXT, "--force"]
    process = begun(slow, "backfill", "-p", "small", *range_, "--parallel", parallel)
    process.send_signal(number)
    result = finished(process, 30)
    assert (result.code, result.json["status"]) == (128 + number, "interrupted"), result.stderr
    assert "Traceback" not in result.stderr
    assert not list(slow.lake.glob("_leases/**/*.lease"))
    assert {row["status"] for row in slow.run("status", "-p", "small").json["slices"]} == {
        "missing"
    }


def test_a_jvm_that_dies_costs_its_slice_alone(slow: Project) -> None:
    """As under the kernel's out-of-memory killer."""
    slow.write("slow", "600")
    process = begun(slow, "backfill", "-p", "small", "--from", DAY, "--to", NEXT, "--force")
    slow.write("slow", "0")
    below = psutil.Process(process.pid).children(recursive=True)
    [jvm] = [child for child in below if "java" in child.name()]
    jvm.kill()
    result = finished(process, 120)
    assert result.code == 8, result.stderr
    first, second = result.json["slices"]
    assert (first["exit_code"], second["status"]) == (8, "published"), result.stderr
    [told] = first["errors"]
    assert told == "Spark's JVM ended while it was at work (killed by SIGKILL)"
    assert "Traceback" not in result.stderr
    again = slow.run("backfill", "-p", "small", "--from", DAY, "--to", NEXT)
    assert [one["status"] for one in again.json["slices"]] == ["published", "unchanged"]


def test_a_jvm_that_dies_is_told_with_the_run(slow: Project, tmp_path: Path) -> None:
    slow.write("slow", "600")
    process = begun(slow, "score", "-p", "small", "--slice", DAY, "--force")
    slow.write("slow", "0")
    for child in psutil.Process(process.pid).children(recursive=True):
        if "java" in child.name():
            child.kill()
    result = finished(process, 60)
    assert (result.code, len(result.json["errors"])) == (8, 1), result.stderr
    assert result.json["run_id"] and result.json["hint"]
    assert "Traceback" not in result.stderr
