"""Slices of the public functions: a day may be given as a date, and what is no slice is refused as
in a command.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from spark.projects import DAY, SmallProject

import batchinfer
from batchinfer.errors import ConfigError

from .one_process import OneProcess

DATE, TIME = dt.date.fromisoformat(DAY), dt.datetime.fromisoformat(f"{DAY}T07:00:00")
Call = Callable[[str, Any], Any]
CALLS: dict[str, Call] = {
    "extract": lambda file, day: batchinfer.extract(file, slice=day, force=True).slices,
    "score": lambda file, day: [batchinfer.score(file, slice=day, overrides=DIRECT).slice],
    "replay": lambda file, day: [batchinfer.replay(file, slice=day, overrides=DIRECT).slice],
    "backfill": lambda file, day: [
        run.slice for run in batchinfer.backfill(file, start=day, end=day, overrides=DIRECT)
    ],
    "plan": lambda file, day: [batchinfer.plan(file, slice=day)["slice"]],
    "plan of a span": lambda file, day: [batchinfer.plan(file, start=day, end=day)["from"]],
    "status": lambda file, day: [
        row["slice"] for row in batchinfer.status(file, start=day, end=day)["slices"]
    ],
    "quarantine": lambda file, day: [batchinfer.quarantine(file, slice=day).slice],
    "lookup": lambda file, day: [(batchinfer.lookup(file, KEY, as_of=day) or {})["slice"]],
}
DIRECT = ["model.road=direct"]
KEY = {"source_file": "a.csv", "source_line": 2}


@pytest.fixture
def file(ready: SmallProject, monkeypatch: pytest.MonkeyPatch) -> str:
    """The pipeline file of a project with a published slice."""
    monkeypatch.setattr("batchinfer.api.session_of", lambda _, scores=False: OneProcess)
    ready.score()
    return str(ready.root / "conf/pipelines/small.yaml")


@pytest.mark.parametrize("name", CALLS)
def test_a_date_is_the_day_that_it_names(file: str, name: str) -> None:
    assert CALLS[name](file, DATE) == CALLS[name](file, DAY) == [DAY]


@pytest.mark.parametrize("name", sorted(CALLS.keys() - {"plan"}))
def test_what_is_no_slice_is_refused_with_one_that_is(file: str, name: str) -> None:
    with pytest.raises(ConfigError, match=f"got '{TIME}'; allowed: a day such as 2026-11-21"):
        CALLS[name](file, TIME)


def test_a_plan_has_it_among_its_problems(file: str) -> None:
    assert "allowed: a day such as" in batchinfer.plan(file, slice=TIME)["problems"][0]


def test_training_takes_one_slice_or_several(file: str) -> None:
    for slices in (DATE, DAY, [DATE, DAY]):
        assert batchinfer.train(file, slices).rows_train > 0
    assert batchinfer.train(file, start=DATE, end=DATE).rows_train > 0
    with pytest.raises(ConfigError, match="allowed: a day such as"):
        batchinfer.train(file, TIME)
