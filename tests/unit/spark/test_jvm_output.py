"""A terminal does not get the one line that Java says of Spark's own options, and gets all else."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from batchinfer.spark.jvm_output import START_LINES

SAYS = """
import subprocess, sys
from batchinfer.spark.jvm_output import without_start_lines
with without_start_lines():
    child = subprocess.Popen(["sh", "-c", {script!r}])
sys.stderr.write("ours\\n")
child.wait()
import time; time.sleep(0.3)
"""
LINE = START_LINES[0].decode().strip()


def on_terminal(script: str) -> list[str]:
    ours, theirs = pty.openpty()
    running = subprocess.Popen(
        [sys.executable, "-c", SAYS.format(script=script)], stderr=theirs, env=dict(os.environ)
    )
    os.close(theirs)
    text = b""
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        try:
            while part := terminal.read(4096):
                text += part
        except OSError:  # Linux tells so that nobody has the other end open any more
            pass
    assert running.wait() == 0
    # What this process says may stand between the child's words, or behind one that has no end.
    assert text.count(b"ours\r\n") == 1
    return text.replace(b"ours\r\n", b"").decode().splitlines()


@pytest.mark.parametrize(
    ("script", "left"),
    [
        (f"echo '{LINE}' >&2; echo 'ERROR of Spark' >&2", ["ERROR of Spark"]),
        (f"printf 'WARNING: Using ' >&2; sleep 0.2; echo '{LINE[15:]}' >&2; echo b >&2", ["b"]),
        ("echo 'WARNING: Using something else' >&2", ["WARNING: Using something else"]),
        ("printf 'WARNING: Us' >&2", ["WARNING: Us"]),
    ],
)
def test_only_that_line_is_left_out(script: str, left: list[str]) -> None:
    assert on_terminal(script) == left


def test_what_is_no_terminal_gets_every_line() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SAYS.format(script=f"echo '{LINE}' >&2")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert sorted(done.stderr.splitlines()) == sorted([LINE, "ours"])
