"""What is shown on stderr: nothing on stdout, nothing that data can turn into commands."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import threading

import pytest

from batchinfer.errors import ConfigError, InputError
from batchinfer.report.terminal import ProgressLines, progress, show_error, show_table


def test_a_table_keeps_markup_and_numbers_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    show_table(
        "Slices [bold]",
        ["slice", "rows", "ok"],
        [["[red]x[/red]\x1b[31m", 12345, True], [None, 1, False]],
    )
    out, err = capsys.readouterr()
    assert out == ""
    assert "Slices [bold]" in err and "[red]x[/red]\ufffd[31m" in err and "\x1b" not in err
    assert "12,345" in err and "yes" in err and "–" in err


def test_an_empty_table_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    show_table("Slices", ["slice"], [])
    assert "none" in capsys.readouterr().err


def test_every_problem_and_the_hint_are_shown_unbroken(capsys: pytest.CaptureFixture[str]) -> None:
    place = "conf/pipelines/" + "deep/" * 60 + "a.yaml:3:5: unknown field [name]"
    show_error(ConfigError([place, "second\x07"], hint="run [make setup]"))
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "2 problems:",
        f"- {place}",
        "- second\ufffd",
        "Hint: run [make setup]",
    ]
    show_error(InputError("no such file"))
    assert capsys.readouterr().err == "Error: no such file\n"


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_plain_progress_is_a_line_now_and_then() -> None:
    clock, lines = Clock(), []
    shown = ProgressLines("scoring", 1000, "rows", lines.append, clock)
    for _ in range(5):
        clock.now += 4
        shown.advance(100)
    assert lines == ["scoring: 300 of 1,000 rows (30%), 25/s, about 28.0 s left"]
    clock.now = 50
    shown.advance(500)
    shown.finish()
    assert lines[1:] == [
        "scoring: 1,000 of 1,000 rows (100%), 20/s",
        "scoring: 1,000 of 1,000 rows in 50.0 s, 20/s",
    ]


def test_plain_progress_of_an_unknown_total() -> None:
    clock, lines = Clock(), []
    shown = ProgressLines("reading", None, "rows", lines.append, clock)
    clock.now = 12
    shown.advance(6)
    assert lines == ["reading: 6 rows, 0.5/s"]


def test_quick_work_shows_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("quick", 3) as advance:
        for _ in range(3):
            advance()
    assert capsys.readouterr() == ("", "")


def test_threads_are_counted_together() -> None:
    shown = ProgressLines("scoring", None, "", lambda line: None)
    threads = [
        threading.Thread(target=lambda: [shown.advance() for _ in range(500)]) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert shown.done == 4000


def test_the_error_of_the_work_passes_through_progress() -> None:
    with pytest.raises(InputError), progress("scoring", 3):
        raise InputError("no")


def test_on_a_terminal_there_is_a_bar_and_stdout_stays_clean() -> None:
    code = (
        "from batchinfer.report.terminal import progress\n"
        "with progress('score [red]', 4, 'rows') as advance:\n    advance(2)\n    "
        "advance(2)\nprint('{}')"
    )
    leader, follower = pty.openpty()
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=follower, env=env, check=True
    )
    os.close(follower)
    shown = os.read(leader, 100_000).decode()
    os.close(leader)
    assert done.stdout == b"{}\n"
    assert "score [red]" in shown and "4/4 rows" in shown


# Prints to a terminal what a step shows, a bar and a step behind it, each longer than a moment.
STEPS = """
import time
from batchinfer.report import terminal
terminal._MOMENT_S, terminal._LONG_S = 0.0, {long}
with terminal.step("registering"):
    time.sleep(0.3)
with terminal.progress("scoring", 4, "rows") as advance:
    for _ in range(4):
        advance()
    with terminal.step("in the middle of a bar"):
        time.sleep(0.3)
try:
    with terminal.step("that fails"):
        time.sleep(0.3)
        raise ValueError("wrong")
except ValueError:
    pass
"""


def lines_on_a_terminal(script: str, term: str) -> tuple[str, str]:
    """(standard output, what a terminal got on standard error)."""
    ours, theirs = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE, stderr=theirs, text=True, check=True,
        env=os.environ | {"TERM": term, "COLUMNS": "100"},
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 4096):
            shown += part
    except OSError:  # Linux tells so that nobody has the other end open any more
        pass
    os.close(ours)
    return done.stdout, shown.decode()


def test_a_step_that_takes_long_has_its_duration() -> None:
    out, shown = lines_on_a_terminal(STEPS.format(long=0.2), "xterm")
    assert out == ""
    assert "registering…" in shown and re.search(r"registering: 0\.\d\d s", shown)
    assert re.search(r"scoring: 4 of 4 rows in \d\.\d\d s", shown), "the bar is gone, and is told"
    assert "in the middle of a bar…" not in shown
    assert "that fails…" in shown and "that fails:" not in shown


def test_a_step_that_is_quick_has_none() -> None:
    _, shown = lines_on_a_terminal(STEPS.format(long=60), "xterm")
    assert "registering…" in shown and "registering:" not in shown
    assert "4 of 4 rows in" not in shown


def test_a_log_has_no_steps() -> None:
    done = subprocess.run(
        [sys.executable, "-c", STEPS.format(long=0.2)], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("", "")


def test_rich_is_imported_only_when_something_is_shown() -> None:
    heavy = "{'rich', 'jinja2', 'matplotlib'}"
    code = (
        f"import sys, batchinfer.report.terminal, batchinfer.report.html; print(sorted({heavy} "
        "& set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
