"""A night's order and its attempts; the steps themselves are other tests' business."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from batchinfer import errors
from batchinfer.command_reports import RunReport
from batchinfer.nights.nightly import run_nights
from batchinfer.nights.one_night import Night
from batchinfer.schedule import Step

Calls = list[tuple[str, dict[str, str]]]


@pytest.fixture
def steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Calls]:
    """Puts steps in place of extract and score that end as told, one try after the other; returns
    what was called.
    """
    (tmp_path / "conf").mkdir()
    pipeline = "name: p\nsource: {kind: csv, path: 'x/*.csv', schema: {a: int}}\n"
    (tmp_path / "p.yaml").write_text(
        pipeline + "model: {uri: 'models:/p@champion'}\nsink: {table: predictions/p}\n"
    )
    monkeypatch.chdir(tmp_path)

    def install(*ends: BaseException | None) -> Calls:
        calls, left = list[tuple[str, dict[str, str]]](), list(ends)

        def land(_: Night, step: Step, *__: Any) -> None:
            calls.append((step.command, dict(step.options)))

        def score(_: Night, step: Step, *__: Any) -> RunReport:
            calls.append((step.command, dict(step.options)))
            end = left.pop(0)
            if end is not None:
                raise end
            return RunReport("run", "p", "published")

        monkeypatch.setattr(Night, "_land", land)
        monkeypatch.setattr(Night, "_score_day", score)
        return calls

    return install


def test_lands_then_scores_the_day(
    steps: Callable[..., Calls], capsys: pytest.CaptureFixture[str]
) -> None:
    calls = steps(None)
    assert run_nights(["p.yaml"], "2026-11-21") == 0
    assert calls == [("extract", {"slice": "2026-11-21"}), ("score", {"slice": "2026-11-21"})]
    assert json.loads(capsys.readouterr().out)["status"] == "published"


@pytest.mark.parametrize("passing", [errors.SliceHeld("held"), errors.StorageError("down")])
def test_what_may_pass_is_tried_again(
    steps: Callable[..., Calls], passing: errors.BatchInferError, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = steps(passing, passing, None)
    assert run_nights(["p.yaml"], "2026-11-21", tries=3, wait_s=0) == 0
    assert len(calls) == 6
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["errors"] == []


def test_tries_end(steps: Callable[..., Calls], capsys: pytest.CaptureFixture[str]) -> None:
    steps(errors.SliceHeld("a"), errors.SliceHeld("b"))
    assert run_nights(["p.yaml"], "2026-11-21", tries=2, wait_s=0) == 6
    assert "attempt 2 of 2" in capsys.readouterr().err


@pytest.mark.parametrize(
    "staying",
    [errors.InputError("x"), errors.ChecksFailed("x"), errors.ModelError("x"), ValueError("x")],
)
def test_what_stays_is_not_tried_again(steps: Callable[..., Calls], staying: Exception) -> None:
    calls = steps(staying)
    assert run_nights(["p.yaml"], "2026-11-21", tries=3, wait_s=0) == getattr(
        staying, "exit_code", 1
    )
    assert len(calls) == 2


def test_a_day_that_is_none(
    steps: Callable[..., Calls], capsys: pytest.CaptureFixture[str]
) -> None:
    steps()
    assert run_nights(["p.yaml"], "21.11.2026") == 2
    assert "allowed: a day such as 2026-11-21" in capsys.readouterr().out


def test_the_lines_of_several_pipelines_stand_in_one(
    steps: Callable[..., Calls], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (tmp_path / "p.yaml").read_text()
    for name in ("q", "r"):
        (tmp_path / f"{name}.yaml").write_text(text.replace("name: p", f"name: {name}"))
    calls = steps(errors.ModelError("no model"), errors.StorageError("full"), None, None)
    refs = ["q.yaml", "p.yaml", "r.yaml", "q.yaml"]
    assert run_nights(refs, "2026-11-21", tries=2, wait_s=0) == 7, "the smallest that is not 0"
    assert len(calls) == 8, "only what may pass is tried again, and a name given twice runs once"
    said = capsys.readouterr()
    first, last = map(json.loads, said.out.splitlines())
    people = [" ".join(line.split()) for line in said.err.splitlines()]
    assert "q.yaml failed 7 2026-11-21 no model" in people, "a line for each"
    assert [body["status"] for body in first["pipelines"]] == ["failed", "failed", "published"]
    assert [body.get("exit_code", 0) for body in last["pipelines"]] == [7, 0, 0]
    assert (last["status"], last["exit_code"]) == ("failed", 7)
    assert last["errors"] == ["pipeline q.yaml: no model"]


def test_a_signal_ends_all_pipelines(
    steps: Callable[..., Calls], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "q.yaml").write_text(
        (tmp_path / "p.yaml").read_text().replace("name: p", "name: q")
    )
    calls = steps(errors.Interrupted("interrupted by SIGTERM", 143))
    assert run_nights(["p.yaml", "q.yaml"], "2026-11-21", tries=2, wait_s=0) == 143
    assert len(calls) == 2
    said = json.loads(capsys.readouterr().out)
    assert said["status"] == "interrupted"
    assert [body["pipeline"] for body in said["pipelines"]] == ["p.yaml"]
