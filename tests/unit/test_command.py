"""Around every command: exit codes, the JSON line, and a standard output that holds nothing
else.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
from typing import Any, NoReturn

import pytest

from batchinfer import errors
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

    assert run_command(fail, {"pipeline": "p"}) == class_.exit_code or class_ is errors.Interrupted
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


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_have_their_codes(
    number: int, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    try:
        assert run_command(lambda: os.kill(os.getpid(), number)) == code
    finally:
        signal.signal(signal.SIGINT, before[0])
        signal.signal(signal.SIGTERM, before[1])
    assert last_line(capsys)["status"] == "interrupted"


def test_an_error_in_the_wake_of_a_signal_is_an_interruption(
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)

    def masked() -> NoReturn:
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except KeyboardInterrupt:
            raise AttributeError("half a module") from None
        raise AssertionError("the signal did not arrive")

    try:
        assert run_command(masked) == 130
    finally:
        signal.signal(signal.SIGINT, before[0])
        signal.signal(signal.SIGTERM, before[1])
    assert last_line(capsys)["status"] == "interrupted"


def test_a_result_may_carry_an_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    class Absent(dict[str, Any]):
        exit_code = 3

    assert run_command(lambda: Absent(found=False)) == 3
    assert last_line(capsys) == {"found": False, "status": "ok", "errors": []}
