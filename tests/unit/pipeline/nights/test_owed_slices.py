"""Nights score what landed, whatever its date: their own, and what a night before them left."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from batchinfer.errors import StorageError
from batchinfer.pipeline import backfill

from .conftest import NightProject

Line = Callable[[], dict[str, Any]]
OLD, OLDER, FUTURE, SEEN = "2024-02-29", "2024-01-01", "2027-01-01", "2026-11-18"
ROAD = ("model.road=direct",)


def outcomes(line: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["slice"], one["status"]) for one in line["slices"]]


def test_what_landed_is_scored_whatever_its_date(nights: NightProject, line: Line) -> None:
    assert nights.night() == 0
    first = line()
    assert (first["landed"], first["scored"], first["left"]) == ([], [SEEN], [])
    for day in (OLD, FUTURE, "2026-11-20"):
        nights.land(day)
    assert nights.night() == 0
    said = line()
    assert said["landed"] == said["scored"] == sorted([OLD, FUTURE, "2026-11-20"])
    assert outcomes(said) == [
        (FUTURE, "published"),
        (OLD, "published"),
        (SEEN, "unchanged"),
        ("2026-11-20", "published"),
    ], "outside of the window first, the newest of them first"
    assert set(nights.states().values()) == {"published"}
    assert said["rows_scored"] == 15 and said["exit_code"] == 0 and said["no_data"] != []


def test_a_slice_that_got_stale_is_scored_again(nights: NightProject, line: Line) -> None:
    nights.land(OLD)
    assert nights.night() == 0
    nights.land(OLD, range(5, 9))
    line()
    assert nights.night() == 0
    said = line()
    assert said["scored"] == [OLD] and said["rows_in"] == 9 + 40


def test_what_a_killed_night_landed_is_found_by_the_next(
    nights: NightProject, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert nights.night() == 0
    nights.land(OLD)
    with monkeypatch.context() as patch:
        # As after `kill -9`: what landed is committed, and nothing else is known of that night.
        patch.setattr("batchinfer.nights.one_night.append_attempt", lambda *_: None)
        patch.setattr(backfill, "score_slice", _dies)
        with pytest.raises(SystemExit):
            nights.night()
    assert nights.states()[OLD] == "missing"
    assert nights.night() == 0
    said = line()
    assert (said["landed"], said["scored"]) == ([], [OLD])


def _dies(*_: object, **__: object) -> None:
    raise SystemExit("killed")


def test_most_bounds_a_night_and_the_next_ones_go_on(nights: NightProject, line: Line) -> None:
    assert nights.night() == 0
    days = [f"2024-01-0{n}" for n in range(1, 6)]
    for day in days:
        nights.land(day)
    assert nights.night(most=2) == 0
    said = line()
    assert said["landed"] == days
    assert (said["scored"], said["left"]) == (days[3:], days[:3])
    [warning] = [text for text in said["warnings"] if "--most" in text]
    assert "3 slices that landed are not scored" in warning
    assert "backfill -p" in warning and "--from 2024-01-01 --to 2024-01-03" in warning
    assert nights.night(most=2) == 0
    said = line()
    assert said["scored"] == days[1:3] and said["left"] == days[:1]


def test_history_that_was_there_before_the_first_night_is_not_scored_for_good(
    nights: NightProject, line: Line
) -> None:
    days = [f"2024-01-0{n}" for n in range(1, 6)]
    for day in days:
        nights.land(day)
    nights.extract(None)
    assert nights.night(most=1) == 0
    said = line()
    assert said["scored"] == ["2024-01-05", SEEN] and said["left"] == days[:4]
    assert nights.night(most=1) == 0
    said = line()
    assert said["scored"] == [] and said["left"] == []
    assert nights.states()[days[0]] == "missing"


def test_a_slice_that_fails_keeps_no_other_from_being_tried(
    nights: NightProject, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert nights.night() == 0
    nights.land(OLD)
    nights.land(OLDER)
    scored = backfill.score_slice

    def fails(context: Any, slice_: str, *more: Any, **named: Any) -> Any:
        if slice_ == OLD:
            raise StorageError("the disk is full")
        return scored(context, slice_, *more, **named)

    with monkeypatch.context() as patch:
        patch.setattr(backfill, "score_slice", fails)
        assert nights.night() == 8
    said = line()
    assert said["scored"] == [OLDER] and said["errors"] == [f"slice {OLD}: the disk is full"]
    nights.land("2023-01-01")
    assert nights.night() == 0
    assert outcomes(line())[:2] == [("2023-01-01", "published"), (OLD, "published")], (
        "what failed before comes last"
    )


def test_another_model_makes_a_night_score_no_history(nights: NightProject, line: Line) -> None:
    nights.land(OLD)
    assert nights.night() == 0
    nights.train("train.params.seed=5")
    assert nights.states() == {OLD: "stale", SEEN: "stale"}
    line()
    assert nights.night() == 0
    assert line()["scored"] == [SEEN], "the window, and no other"


def test_attempts_of_one_night_share_its_bound(
    nights: NightProject, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert nights.night() == 0
    for day in ("2024-01-01", "2024-01-02", "2024-01-03"):
        nights.land(day)
    scored, broken = backfill.score_slice, [StorageError("not now")]

    def fails_once(context: Any, slice_: str, *more: Any, **named: Any) -> Any:
        if slice_ == SEEN and broken:
            raise broken.pop()
        return scored(context, slice_, *more, **named)

    monkeypatch.setattr(backfill, "score_slice", fails_once)
    assert nights.night(most=2, tries=3, wait_s=0) == 0
    said = line()
    assert said["landed"] == ["2024-01-01", "2024-01-02", "2024-01-03"]
    assert said["scored"] == ["2024-01-02", "2024-01-03"] and said["left"] == ["2024-01-01"]
