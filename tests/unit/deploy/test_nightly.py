"""A night's order and its attempts; the steps themselves are other tests' business."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from batchinfer import errors, nightly
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

    def install(*ends: Exception | None) -> Calls:
        calls, left = list[tuple[str, dict[str, str]]](), list(ends)

        def score(step: Step, *_: Any) -> dict[str, Any]:
            calls.append((step.command, dict(step.options)))
            end = left.pop(0)
            if end is not None:
                raise end
            return {"status": "published"}

        monkeypatch.setattr(
            nightly, "_land", lambda step, *_: calls.append((step.command, dict(step.options)))
        )
        monkeypatch.setattr(nightly, "_score", score)
        return calls

    return install


def test_lands_then_scores_the_day(
    steps: Callable[..., Calls], capsys: pytest.CaptureFixture[str]
) -> None:
    calls = steps(None)
    assert nightly.run_night("p.yaml", "2026-11-21") == 0
    assert calls == [("extract", {"slice": "2026-11-21"}), ("score", {"slice": "2026-11-21"})]
    assert json.loads(capsys.readouterr().out)["status"] == "published"


@pytest.mark.parametrize("passing", [errors.SliceHeld("held"), errors.StorageError("down")])
def test_what_may_pass_is_tried_again(
    steps: Callable[..., Calls], passing: errors.BatchInferError, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = steps(passing, passing, None)
    assert nightly.run_night("p.yaml", "2026-11-21", tries=3, wait_s=0) == 0
    assert len(calls) == 6
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["errors"] == []


def test_tries_end(steps: Callable[..., Calls], capsys: pytest.CaptureFixture[str]) -> None:
    steps(errors.SliceHeld("a"), errors.SliceHeld("b"))
    assert nightly.run_night("p.yaml", "2026-11-21", tries=2, wait_s=0) == 6
    assert "attempt 2 of 2" in capsys.readouterr().err


@pytest.mark.parametrize(
    "staying",
    [errors.InputError("x"), errors.ChecksFailed("x"), errors.ModelError("x"), ValueError("x")],
)
def test_what_stays_is_not_tried_again(steps: Callable[..., Calls], staying: Exception) -> None:
    calls = steps(staying)
    assert nightly.run_night("p.yaml", "2026-11-21", tries=3, wait_s=0) == getattr(
        staying, "exit_code", 1
    )
    assert len(calls) == 2


def test_a_day_that_is_none(
    steps: Callable[..., Calls], capsys: pytest.CaptureFixture[str]
) -> None:
    steps()
    assert nightly.run_night("p.yaml", "21.11.2026") == 2
    assert "allowed: a day such as 2026-11-21" in capsys.readouterr().out
