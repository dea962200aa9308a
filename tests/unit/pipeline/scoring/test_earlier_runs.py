"""What earlier runs of a bundle tell: read from the runs table, by bundle and device."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from registrations import Project

from batchinfer.lake.runs import LatestRun, append_run
from batchinfer.pipeline.scoring.earlier_runs import (
    estimated_seconds,
    known_rates,
    model_seconds,
    runs_of_bundle,
    worker_bytes,
)
from batchinfer.pipeline.scoring.task_result import Rates

START = dt.datetime(2026, 11, 21, tzinfo=dt.timezone.utc)


def add_run(
    context: Any, number: int, digest: str, rates: dict[str, dict[str, float]], exit_code: int = 0
) -> None:
    row = {
        "run_id": f"run-{number}",
        "pipeline": context.name,
        "command": "score",
        "slice": f"day-{number}",
        "exit_code": exit_code,
        "started_at": START + dt.timedelta(hours=number),
        "seconds": 10.0 * number,
        "bundle_digest": digest,
        "rows_in": 1000 * number,
        "report": json.dumps({"batch_rates": rates}),
    }
    append_run(context.runs, row)


def test_rates_are_those_of_the_bundle_by_device_the_latest_first(project: Project) -> None:
    context = project.context("earlier")
    assert (
        runs_of_bundle(context.runs, context.name, "a") == []
        and known_rates([]) == Rates()
        and estimated_seconds([], 5) is None
    )
    add_run(context, 1, "a", {"cpu, 1 thread": {"256": 10.0, "512": 30.0}})
    add_run(
        context, 2, "a", {"cpu, 1 thread": {"512": 20.0, "1024": 15.0}, "H100": {"4096": 900.0}}
    )
    add_run(context, 3, "b", {"cpu, 1 thread": {"16384": 99.0}})
    add_run(context, 4, "a", {"cpu, 1 thread": {"2048": 99.0}}, exit_code=5)
    add_run(context, 5, "a", {})  # too few rows to measure anything
    runs = runs_of_bundle(context.runs, context.name, "a")
    rates = known_rates(runs)
    assert rates == Rates({"cpu, 1 thread": {512: 20.0, 1024: 15.0}, "H100": {4096: 900.0}})
    assert rates.best_rows() == {"cpu, 1 thread": 512, "H100": 4096}
    assert rates.greatest_rate() == 900.0
    assert estimated_seconds(runs, 10_000) == 100.0, (
        "all of it grows with the rows where no stage was timed"
    )


def test_the_estimate_has_a_part_that_does_not_grow_with_the_rows() -> None:
    def run(seconds: float, inference: float, rows: int) -> LatestRun:
        report = {"stage_seconds": {"inference": inference}, "worker_bytes": int(seconds)}
        return LatestRun("a", START, "published", 0, seconds, rows, report)

    long_ago = [run(1000.0, 10.0, 10)] * 3
    lately = [
        run(12.0, 2.0, 1000),
        run(11.0, 1.0, 500),
        run(13.0, 2.0, 1000),
        run(12.0, 1.0, 500),
        run(15.0, 4.0, 2000),
    ]
    assert estimated_seconds([*long_ago, *lately], 100_000) == 11.0 + 200.0
    assert estimated_seconds([with_start(one, 20.0) for one in lately], 100_000) == 231.0
    opened = [lately[0], with_start(lately[1], 4.0), *lately[2:]]
    assert estimated_seconds(opened, 100_000) == 11.0 + 4.0 + 200.0, "others found it open"
    assert estimated_seconds(opened, 100_000, starts_spark=False) == 211.0
    assert (
        worker_bytes([*long_ago, *lately]) == 15
        and worker_bytes([LatestRun("a", START, "published", 0, 1.0, 1, {})]) is None
    )


def timed(seconds: float, rows: int, **stages: float) -> LatestRun:
    return LatestRun("a", START, "published", 0, seconds, rows, {"stage_seconds": stages})


def test_the_load_of_the_model_does_not_grow_with_the_rows() -> None:
    run = timed(4.5, 1200, inference=4.0, load=3.5, forward=0.25, write=0.125, idle=0.125)
    assert estimated_seconds([run], 12) == 4.1, "4.125, and 0.375 s of 1,200 rows"
    assert estimated_seconds([run], 12_000) == round(4.125 + 3.75, 1)
    compiled = timed(4.5, 1200, inference=4.0, load=0.5, compile=3.0, forward=0.375, idle=0.125)
    assert estimated_seconds([compiled], 12_000) == round(4.125 + 3.75, 1)


def test_workers_at_the_same_time_share_the_rows() -> None:
    even = timed(11.0, 1000, inference=10.0, load=8.0, forward=32.0, idle=0.0)
    assert estimated_seconds([even], 2000) == 1.0 + 2.0 + 16.0, "four at a time"
    one_of_four = timed(11.0, 1000, inference=10.0, load=2.0, forward=8.0, idle=30.0)
    assert estimated_seconds([one_of_four], 2000) == 1.0 + 2.0 + 16.0


def test_runs_of_this_process_tell_what_does_not_grow() -> None:
    earlier = [timed(30.0, 1000, inference=20.0, load=10.0, forward=10.0)]
    now = [timed(5.0, 10, inference=2.0, load=1.0, forward=1.0)]
    assert estimated_seconds(earlier, 10, just_now=now) == 4.0 + 1.0
    assert estimated_seconds(earlier, 100, just_now=now) == 4.0 + 10.0, "near what was measured"
    far = 4.0 + 1010 * 11 / 1010
    assert estimated_seconds(earlier, 1010, just_now=now) == far, "both tell it"


def test_runs_that_carried_rows_over_tell_little_of_the_next_one() -> None:
    whole = timed(30.0, 1000, inference=20.0, load=10.0, forward=10.0)
    few = timed(5.0, 1000, inference=2.0, load=1.0, forward=1.0)
    carried = replace(few, report={**few.report, "rows_carried": 990})
    assert estimated_seconds([whole, carried], 2000) == estimated_seconds([whole], 2000)
    assert estimated_seconds([carried], 1000) == estimated_seconds([few], 1000), "there is no other"


def test_the_run_that_scored_most_rows_tells_how_long_the_model_takes() -> None:
    def scored(rows: int, **stages: float) -> LatestRun:
        told = {"rows_scored": rows, "stage_seconds": stages}
        return LatestRun("a", START, "published", 0, 1.0, rows, told)

    long_ago = scored(10**6, forward=1.0)
    many = scored(1000, encode=1.0, forward=6.0, decode=1.0, read=9.0, write=9.0)
    assert model_seconds([long_ago, many, scored(10, forward=5.0), *[scored(0)] * 3]) == 8 / 1000
    resumed = replace(many, report={**many.report, "rows_resumed": 900})
    assert model_seconds([resumed]) == 8 / 100
    assert model_seconds([]) is None
    assert model_seconds([scored(0, forward=1.0)]) is None
    assert model_seconds([LatestRun("a", START, "published", 0, 1.0, 1, {})]) is None


@pytest.mark.parametrize("count", ["rows_resumed", "rows_kept"])
def test_a_run_that_scored_a_part_of_its_rows_tells_no_time(count: str) -> None:
    whole = LatestRun("a", START, "published", 0, 100.0, 10**6, {})
    part = LatestRun("b", START, "published", 0, 1.0, 10**6, {count: 900_000})
    alone = estimated_seconds([whole], 10**6)
    assert estimated_seconds([whole, part], 10**6) == alone
    assert estimated_seconds([part], 10**6) is None
    assert estimated_seconds([whole], 10**6, just_now=[part]) == alone


def test_a_runs_table_that_cannot_be_read_is_said_and_stops_nothing(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    context = project.context("damaged")
    add_run(context, 1, "a", {})
    for log in (Path(context.runs) / "_delta_log").glob("*.json"):
        log.write_text("no log")
    assert runs_of_bundle(context.runs, context.name, "a") == []
    assert "earlier runs cannot be read" in capsys.readouterr().err


def with_start(run: LatestRun, seconds: float) -> LatestRun:
    """The run, had it started Spark, which took so long."""
    report = {"stage_seconds": {**run.report["stage_seconds"], "session": seconds}}
    return replace(run, seconds=run.seconds + seconds, report=report)
