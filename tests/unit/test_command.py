"""Around every command: exit codes, the JSON line, and a standard output that holds nothing
else.
"""

from __future__ import annotations

import json
import pickle
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

import pytest

from batchinfer import __version__, errors
from batchinfer.command import run_command

ALL = [
    class_
    for class_ in vars(errors).values()
    if isinstance(class_, type) and issubclass(class_, errors.BatchInferError)
]


def made(class_: type[errors.BatchInferError]) -> errors.BatchInferError:
    problems = {3: "one", 4: "two"} if class_ is errors.UnfitRows else ["one", "two"]
    return class_(problems, "try this")  # pyright: ignore[reportArgumentType]


def last_line(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    return json.loads(capsys.readouterr().out.splitlines()[-1])


@pytest.mark.parametrize("class_", ALL)
def test_every_error_ends_with_its_code_and_its_problems(
    class_: type[errors.BatchInferError], capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> NoReturn:
        raise made(class_)

    assert run_command(fail, {"pipeline": "p"}) == class_.exit_code
    body = last_line(capsys)
    assert (body["errors"], body["hint"], body["pipeline"]) == (["one", "two"], "try this", "p")


@pytest.mark.parametrize("class_", ALL)
def test_every_error_survives_the_road_from_executor_to_driver(
    class_: type[errors.BatchInferError],
) -> None:
    before = made(class_)
    found = pickle.loads(pickle.dumps(before))
    assert (type(found), found.problems, found.hint, found.exit_code) == (
        class_,
        ("one", "two"),
        "try this",
        before.exit_code,
    )


def test_what_nobody_foresaw_ends_with_1_and_a_traceback(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_command(lambda: 1 // 0) == 1
    captured = capsys.readouterr()
    assert "Traceback" in captured.err
    assert json.loads(captured.out)["errors"] == [
        "ZeroDivisionError: integer division or modulo by zero"
    ]


def test_a_result_may_carry_an_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    class Absent(dict[str, Any]):
        exit_code = 3

    assert run_command(lambda: Absent(found=False)) == 3
    assert last_line(capsys) == {"found": False, "status": "ok", "errors": []}


LOUD = """
import ctypes, os, subprocess, sys
from batchinfer.command import leave, run_command, stdout_for_the_line

def work():
    print("of a model")
    sys.__stdout__.write("of a logger\\n")
    os.write(1, b"of the operating system\\n")
    ctypes.CDLL(None).printf(b"of a library in C\\n")
    subprocess.run(["echo", "of a child"], check=True)
    return {"rows": 3}

with stdout_for_the_line():
    leave(run_command(work))
"""


def test_what_a_command_runs_cannot_reach_standard_output() -> None:
    done = subprocess.run([sys.executable, "-c", LOUD], capture_output=True, text=True, check=True)
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        {"rows": 3, "status": "ok", "errors": []}
    ]
    # What stands in a buffer of the C library is lost with the process, as its exit is at once.
    said = {"of a model", "of a logger", "of the operating system", "of a child"}
    assert said <= set(done.stderr.splitlines())


@pytest.mark.parametrize("how", ["2>/dev/full", "2>&-"])
def test_no_command_ends_for_the_sake_of_standard_error(how: str, tmp_path: Path) -> None:
    line = f"{shlex.quote(sys.executable)} -m batchinfer ls {how}"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert told["status"] == "ok"
    lost = [one for one in told.get("warnings", []) if "standard error could not be" in one]
    assert len(lost) == (how == "2>/dev/full"), "who closes it wants to hear nothing"


def test_standard_output_is_as_before_once_the_command_is_over() -> None:
    code = """
from batchinfer.cli import main
print("before")
assert main(["--version"]) == 0
print("after")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, line, after = done.stdout.splitlines()
    assert (before, json.loads(line)["status"], after) == ("before", "ok", "after")


@pytest.mark.parametrize(
    ("arguments", "code", "body", "told"),
    [
        (["-h"], 0, {"version": __version__, "status": "ok", "errors": []}, "Commands:"),
        (["score", "--help"], 0, {"version": __version__, "status": "ok", "errors": []}, "--slice"),
        (["--version"], 0, {"version": __version__, "status": "ok", "errors": []}, __version__),
        (["scoer"], 2, None, "did you mean score?"),
        ([], 2, None, "Commands:"),
    ],
)
def test_help_and_usage_errors_are_for_people_and_the_line_for_machines(
    arguments: list[str], code: int, body: dict[str, Any] | None, told: str
) -> None:
    command = [sys.executable, "-m", "batchinfer.cli", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    [line] = done.stdout.splitlines()
    assert done.returncode == code and told in done.stderr
    assert json.loads(line) == body or json.loads(line)["exit_code"] == code


def test_a_closed_standard_output_is_no_file_of_a_table(tmp_path: Path) -> None:
    file = tmp_path / "part.parquet"
    code = f"""
import os
from batchinfer.command import leave, run_command, stdout_for_the_line

def work():
    opened = open({str(file)!r}, "wb")
    os.write(1, b"of a library")
    return {{"number": opened.fileno()}}

with stdout_for_the_line():
    leave(run_command(work))
"""
    done = subprocess.run(
        ["bash", "-c", 'exec "$0" -c "$1" >&-', sys.executable, code],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, file.read_bytes()) == (0, b""), done.stderr


def test_a_line_that_cannot_be_written_is_said_and_changes_no_exit_code() -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "batchinfer.cli", "--version"],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 0 and "the JSON line is lost" in done.stderr
