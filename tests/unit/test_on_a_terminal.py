"""What a person sees on an interactive terminal: no JSON line unless it is asked for, and every
error in words. A pseudo-terminal stands for it.
"""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest


def on_terminal(*arguments: str, cwd: Path | None = None) -> tuple[int, str, str]:
    """(exit code, what standard output got, what standard error got), both of them terminals."""
    ours, theirs = zip(*(pty.openpty() for _ in range(2)), strict=True)
    running = subprocess.Popen(
        [sys.executable, "-m", "batchinfer", *arguments],
        stdin=subprocess.DEVNULL, stdout=theirs[0], stderr=theirs[1], cwd=cwd,
        env={**os.environ, "TERM": "dumb"},
    )  # fmt: skip
    for end in theirs:
        os.close(end)
    texts = [_read_all(end) for end in ours]
    return running.wait(), texts[0], texts[1]


def _read_all(end: int) -> str:
    parts: list[bytes] = []
    with os.fdopen(end, "rb", buffering=0) as terminal:
        try:
            while part := terminal.read(4096):
                parts.append(part)
        except OSError:  # Linux tells so that nobody has the other end open any more
            pass
    return b"".join(parts).decode().replace("\r\n", "\n")


WRONG = ("status", "-p", "no/such.yaml")


def test_a_terminal_gets_the_error_in_words_and_no_json() -> None:
    code, out, err = on_terminal(*WRONG)
    assert (code, out) == (2, "")
    assert "Error: pipeline: no such file: got 'no/such.yaml'" in err


def test_a_terminal_gets_the_hint_of_a_mistyped_option() -> None:
    code, out, err = on_terminal("score", "-p", "income", "--slcie", "2026-11-21")
    assert (code, out) == (2, "")
    assert (
        "Error: No such option" in err
        and "--slcie" in err
        and "Hint:\n  batchinfer score --help\n" in err
    )


@pytest.mark.parametrize(
    ("arguments", "code"), [(WRONG, 2), (("score", "--slcie"), 2), (("--version",), 0)]
)
def test_a_terminal_gets_the_json_line_where_it_asks(arguments: tuple[str, ...], code: int) -> None:
    ended, out, _ = on_terminal(*arguments, "--json")
    assert (ended, out.count("\n")) == (code, 1)
    assert json.loads(out)["status"] == ("failed" if code else "ok")


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_elsewhere_the_line_comes_with_and_without_the_option(more: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "batchinfer", *WRONG, *more],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert json.loads(done.stdout)["exit_code"] == done.returncode == 2


def test_every_command_takes_the_option() -> None:
    from batchinfer.cli import cli

    for name, command in cli.commands.items():
        assert "--json" in [text for one in command.params for text in one.opts], name
