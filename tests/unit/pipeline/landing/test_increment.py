"""Increments of which only their rows tell what is new: what was staged is committed or gone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from spark.projects import DAY, SmallProject, csv_of

from batchinfer.errors import InputError
from batchinfer.lake.ledger import read_mark
from batchinfer.pipeline.landing import land as landing
from batchinfer.pipeline.landing.increment import Increment, NewRecords
from batchinfer.pipeline.landing.landing_task import LandingPlan, LandingResult

BAD = "no row\n"
Settled = Callable[[NewRecords, Sequence[LandingResult]], NewRecords | None]


@pytest.fixture
def read_once(local: SmallProject, monkeypatch: pytest.MonkeyPatch) -> Callable[[Settled], None]:
    """Has the files of the project read by real tasks, and `settled` say what of them is new."""

    def decide(settled: Settled) -> None:
        real = landing.find_increment

        def found(*arguments: Any) -> Increment | None:
            increment = real(*arguments)
            assert increment is not None

            def stage(plan: LandingPlan) -> Sequence[LandingResult]:
                with increment.staging(plan, local.open_session) as staged:
                    assert staged is not None and staged.results
                    return staged.results

            records = increment.records
            return Increment.once_read(records, stage, lambda results: settled(records, results))

        monkeypatch.setattr(landing, "find_increment", found)

    return decide


def staged_files(project: SmallProject) -> list[Path]:
    """Files of rows and of bad records; those of the runs' own table are no part of it."""
    lake = project.root / "var/lake"
    return [file for kind in ("landed", "quarantine") for file in (lake / kind).rglob("*.parquet")]


def test_rows_that_are_not_new_leave_no_file(
    local: SmallProject, read_once: Callable[[Settled], None]
) -> None:
    local.write("in/a.csv", csv_of(range(10)))
    local.extract()
    before = staged_files(local)
    local.write("in/b.csv", csv_of(range(10, 20)) + BAD)
    read_once(lambda records, results: None)
    assert local.extract(DAY, "checks.max_quarantine_rate=0.5").status == "unchanged"
    assert staged_files(local) == before


def test_rows_that_are_refused_leave_no_file(
    local: SmallProject, read_once: Callable[[Settled], None]
) -> None:
    local.write("in/a.csv", csv_of(range(10)) + BAD)

    def refuse(records: NewRecords, results: Sequence[LandingResult]) -> NewRecords | None:
        assert sum(result.rows_in for result in results) == 11
        raise InputError("these keys have landed before")

    read_once(refuse)
    with pytest.raises(InputError, match="have landed before"):
        local.extract(DAY, "checks.max_quarantine_rate=0.5")
    assert staged_files(local) == []


def test_rows_that_are_new_land_under_what_they_turned_out_to_be(
    local: SmallProject, read_once: Callable[[Settled], None]
) -> None:
    local.write("in/a.csv", csv_of(range(10)) + BAD)
    read_once(lambda records, results: replace(records, marks={"until": "10"}))
    report = local.extract(DAY, "checks.max_quarantine_rate=0.5")
    assert (report.rows_in, report.rows_landed, report.rows_quarantined) == (11, 10, 1)
    assert len(staged_files(local)) == 2
    assert read_mark(local.context().landed, "until") == "10"
