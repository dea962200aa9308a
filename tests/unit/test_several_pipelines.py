"""One command on several pipelines: each is tried, and the smallest exit code is the end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from batchinfer.command_line.several_pipelines import run_each
from batchinfer.errors import ChecksFailed, ModelError


class Late(dict[str, Any]):
    exit_code = 5


def test_one_pipeline_is_answered_as_ever() -> None:
    assert run_each(["a"], lambda ref: {"pipeline": ref}) == {"pipeline": "a"}
    with pytest.raises(ModelError):
        run_each(["a"], fails)


def fails(ref: str) -> dict[str, Any]:
    if ref == "b":
        return Late(pipeline="b", status="late", errors=["b is late"])
    if ref == "c":
        raise ChecksFailed("c is wrong", "look at it")
    if ref == "d":
        return {"pipeline": "d", "status": "ok"}
    raise ModelError(f"no model of {ref}")


def test_all_are_tried_and_the_smallest_exit_code_is_the_end() -> None:
    found = run_each(["a", "b", "c", "d"], fails)
    assert found["exit_code"] == found.exit_code == 4
    assert [(one["pipeline"], one["exit_code"]) for one in found["pipelines"]] == [
        ("a", 7), ("b", 5), ("c", 4), ("d", 0),
    ]  # fmt: skip
    assert (found.exit_code, found["status"]) == (4, "failed")
    assert found["errors"] == ["a: no model of a", "b: b is late", "c: c is wrong"]
    assert found["pipelines"][2]["hint"] == "look at it"
    assert run_each(["d", "d"], fails).exit_code == 0


def test_people_see_a_line_for_each(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "150")
    slices = [{"slice": day, "status": how} for day, how in zip("123", "xyx", strict=True)]

    def work(ref: str) -> dict[str, Any]:
        return {"slices": slices} if ref == "e" else fails(ref)

    run_each(["a", "b", "e"], work)
    told = [" ".join(line.split()) for line in capsys.readouterr().err.splitlines()]
    assert [line for line in told if line.startswith(("a ", "b ", "e "))] == [
        "a failed 7 – no model of a",
        "b late 5 – b is late",
        "e ok 0 2 x, 1 y –",
    ]


def test_what_nobody_foresaw_is_one_pipeline_s_and_ends_with_1(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = run_each(["a", "zero"], lambda ref: fails(ref) if ref == "a" else {"x": 1 // 0})
    assert [one["exit_code"] for one in found["pipelines"]] == [7, 1] and found.exit_code == 1
    assert "ZeroDivisionError" in found["errors"][1]
    assert "Traceback" in capsys.readouterr().err


def test_the_command_line_takes_several(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "batchinfer", "status", "-p", "no", "-p", "none.yaml"],
        capture_output=True, text=True, check=False, cwd=tmp_path, env=dict(os.environ),
    )  # fmt: skip
    body = json.loads(done.stdout)
    assert (done.returncode, len(body["pipelines"])) == (2, 2)
    assert [one["pipeline"] for one in body["pipelines"]] == ["no", "none.yaml"]
