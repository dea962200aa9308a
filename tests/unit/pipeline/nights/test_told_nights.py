"""A night is a run of its own: its steps name it as their parent, and it has figures of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from collector import Taken, closed_port, collecting
from lineage_reader import check_event

from batchinfer.errors import StorageError
from batchinfer.lake.runs import newest_attempts
from batchinfer.observability.lineage_events import lineage_id
from batchinfer.pipeline import backfill

from ..observed.conftest import watch
from .conftest import NightProject

OLD = "2024-02-29"


@pytest.fixture
def taken() -> Iterator[Taken]:
    with collecting(Taken()) as served:
        yield served


def _parents(taken: Taken) -> dict[str, str | None]:
    """The job that began each job."""
    return {
        event["job"]["name"].removeprefix("small."): (
            event["run"]["facets"].get("parent", {}).get("job", {}).get("name")
        )
        for event in taken.events
    }


def test_the_steps_of_a_night_name_it_and_the_night_comes_first_and_last(
    nights: NightProject, taken: Taken
) -> None:
    watch(nights, taken.url)
    nights.land(OLD)
    assert nights.night() == 0
    for event in taken.events:
        check_event(event)
    assert _parents(taken) == {
        "nightly": None,
        "extract": "small.nightly",
        "backfill": "small.nightly",
        "score": "small.backfill",
    }
    assert (taken.kinds[0], taken.kinds[-1]) == ("small.nightly START", "small.nightly COMPLETE")
    night = taken.events[0]["run"]["runId"]
    [row] = newest_attempts(nights.context().runs, "small", "nightly", 5)
    assert night == lineage_id(row.run_id), "the run of the runs table"
    scores = [event for event in taken.events if event["job"]["name"] == "small.score"]
    assert {one["run"]["facets"]["parent"]["root"]["run"]["runId"] for one in scores} == {night}
    ids = [event["run"]["runId"] for event in taken.events]
    assert all(ids.count(one) == 2 for one in ids), "each run begins and ends once"
    figures = taken.figures()
    assert figures["batchinfer_last_run_exit_code", "small", "nightly"] == 0
    assert figures["batchinfer_last_run_exit_code", "small", "extract"] == 0


def test_a_night_that_fails_says_so(
    nights: NightProject, taken: Taken, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch(nights, taken.url)
    assert nights.night() == 0
    nights.land(OLD)
    taken.events.clear()

    def fails(*_: Any, **__: Any) -> Any:
        raise StorageError("the disk is full")

    monkeypatch.setattr(backfill, "score_slice", fails)
    assert nights.night() == 8
    assert taken.kinds[-2:] == ["small.backfill FAIL", "small.nightly FAIL"]
    for event in taken.events:
        check_event(event)
    assert "the disk is full" in taken.events[-2]["run"]["facets"]["errorMessage"]["message"]
    assert taken.figures()["batchinfer_last_run_exit_code", "small", "nightly"] == 8


def test_what_did_not_arrive_stands_in_the_nights_line(
    nights: NightProject, capsys: pytest.CaptureFixture[str]
) -> None:
    watch(nights, closed_port())
    assert nights.night() == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert said["status"] == "done"
    mine = [each for each in said["warnings"] if each.startswith("observability.")]
    assert len(mine) == 4, "of the backfill and of the night, for two collectors each"
