"""One command, one signal at one instant, and what is to be seen afterwards."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

import psutil
from deltalake import DeltaTable
from e2e.commands import Project

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
ENDS_S, GONE_S = 20.0, 5.0


@dataclass
class Aftermath:
    """What is wrong after a signal; nothing is where the list is empty.

    Attributes:
        ended: the command had told its own end before.
        seconds: from the signal to the end of the process.
    """

    ended: bool
    seconds: float
    faults: list[str] = field(default_factory=list)


def started(project: Project, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    """A command at work, the leader of a session of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "batchinfer", *arguments], cwd=project.root,
        env=project.environment(**variables), start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def signalled(
    project: Project, number: signal.Signals, after_s: float, *arguments: str
) -> Aftermath:
    """Starts a command, sends it a signal so many seconds later, and looks at all that it left."""
    scratch = project.root / "tmp"
    scratch.mkdir(exist_ok=True)
    before = strays(project)
    process = started(project, *arguments, TMPDIR=str(scratch))
    time.sleep(after_s)
    # Its line is the last thing that it does: what comes behind it finds a process that goes.
    ended = bool(select.select([process.stdout], [], [], 0)[0])
    process.send_signal(number)
    sent = time.perf_counter()
    try:
        stdout, stderr = process.communicate(timeout=ENDS_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return Aftermath(False, ENDS_S, [f"it went on for more than {ENDS_S:g} s"])
    found = Aftermath(ended, time.perf_counter() - sent)
    expected = 0 if ended else CODES[number]
    if process.returncode != expected:
        found.faults.append(f"exit {process.returncode}, not {expected}")
    found.faults += _lines(stdout, expected)
    if "Traceback" in stderr or "Exception ignored" in stderr:
        found.faults.append(f"a traceback: {stderr[-3000:]}")
    if left := _processes(process.pid):
        found.faults.append(f"processes left: {left}")
    if more := strays(project) - before:
        found.faults.append(f"files left: {sorted(more)}")
    return found


def _lines(stdout: str, expected: int) -> list[str]:
    lines = stdout.splitlines()
    if len(lines) != 1:
        return [f"{len(lines)} lines on stdout: {lines}"]
    body = json.loads(lines[0])
    told = body["status"] == "interrupted" and body["exit_code"] == expected
    return [] if not expected or told else [f"the line says {body}"]


def _processes(session: int) -> list[str]:
    """What still runs of the session that the command led, once it had its time to go."""
    until = time.perf_counter() + GONE_S
    while True:
        left = [
            process
            for process in psutil.process_iter()
            if _session_of(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE
        ]
        if not left or time.perf_counter() > until:
            return [" ".join(process.cmdline()[:3]) for process in left]
        time.sleep(0.05)


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


def strays(project: Project) -> set[str]:
    """Files of tables that no log has ever named, leases, and whatever stands in the temporary
    folder; but for what tasks have finished, which the next run of their slice takes over.

    A run that has committed before the signal came has replaced files, which readers of older
    versions still read.
    """
    lake = project.lake
    held: set[Path] = set()
    for log in lake.glob("**/_delta_log"):
        table = DeltaTable(str(log.parent))
        held |= {log.parent / path for path in table.get_add_actions()["path"].to_pylist()}
        lines = (line for each in log.glob("*.json") for line in each.read_text().splitlines())
        added = (json.loads(line).get("add") for line in lines)
        held |= {log.parent / unquote(add["path"]) for add in added if add}
    for note in lake.glob("**/_finished/**/*.json"):
        told = json.loads(note.read_bytes().partition(b"\n")[2])
        held |= {Path(file["table"]) / file["path"] for file in told["files"]}
    files = {path for path in lake.glob("**/*.parquet") if "_delta_log" not in path.parts}
    files |= set(lake.glob("**/_finished/**/*.new"))
    files |= set(lake.glob("_leases/**/*.lease"))
    files |= {path for path in (project.root / "tmp").glob("**/*") if path.is_file()}
    return {str(path.relative_to(project.root)) for path in files - held}
