"""`schedule:` as cron, systemd and the Spark operator read it, and what a night does."""

from __future__ import annotations

import datetime as dt
import shutil
import subprocess

import pytest

from batchinfer.errors import ConfigError
from batchinfer.pipeline.definition.slice_names import check_slice
from batchinfer.schedule import night_steps, read_schedule


@pytest.mark.parametrize(
    ("cron", "calendars"),
    [
        ("15 2 * * *", ["*-*-* 02:15:00 UTC"]),
        ("*/20 0-6/3 * * *", ["*-*-* 00,03,06:00,20,40:00 UTC"]),
        ("0 3 1 * *", ["*-*-01 03:00:00 UTC"]),
        ("5 4 * jan-mar MON,fri", ["Mon,Fri *-01,02,03-* 04:05:00 UTC"]),
        ("0 0 * * 0", ["Sun *-*-* 00:00:00 UTC"]),
        # Either of the two days will do, in cron; systemd asks for both, so it gets two calendars.
        ("30 1 1,15 * 1", ["Mon *-*-* 01:30:00 UTC", "*-*-01,15 01:30:00 UTC"]),
        ("* * * * *", ["*-*-* *:*:00 UTC"]),
    ],
)
def test_systemd_is_told_the_same_times(cron: str, calendars: list[str]) -> None:
    assert list(read_schedule(cron).on_calendar()) == calendars


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not there")
@pytest.mark.parametrize(
    "cron",
    ["15 2 * * *", "30 1 1,15 * 1", "5 4 * jan-mar MON,fri", "*/20 0-6/3 * * *", "* * * * *"],
)
def test_systemd_itself_reads_them(cron: str) -> None:
    for calendar in read_schedule(cron).on_calendar():
        subprocess.run(["systemd-analyze", "calendar", calendar], check=True, capture_output=True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("15 24 * * *", "hour: got '24'; allowed: 0 to 23"),
        ("60 2 * * *", "minute: got '60'"),
        ("0 2 0 * *", "day of month: got '0'"),
        ("0 2 * foo *", "month: got 'foo'; allowed: 1 to 12 or jan to dec"),
        ("0 2 * * 7", "day of week: got '7'; allowed: 0 to 6"),
        ("0 5-2 * * *", "hour: got '5-2'"),
        ("*/0 2 * * *", "minute: got '*/0'"),
        ("0 2/3 * * *", "hour: got '2/3'"),
        ("0 2,, * * *", "hour: got '2,,'"),
        ("0 2 */2 * 1", "cron and the Spark operator read differently"),
        ("2 * * *", "got '2 * * *'; allowed: five fields of cron"),
        ("@daily", "allowed: five fields of cron"),
        (215, "got 215; allowed: five fields of cron"),
    ],
)
def test_what_no_scheduler_could_run(text: object, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_schedule(text)
    assert said in str(caught.value)


def test_a_night_of_ingest_dates_scores_its_own_day() -> None:
    steps = night_steps("ingest_date", dt.date(2026, 11, 21))
    assert [step.arguments for step in steps] == [
        ["extract", "--slice", "2026-11-21"],
        ["score", "--slice", "2026-11-21"],
    ]


@pytest.mark.parametrize(
    ("unit", "first", "last"),
    [
        ("day", "2026-11-24", "2026-11-30"),
        ("month", "2026-11", "2026-11"),
        ("hour", "2026-11-24T00", "2026-11-30T23"),
    ],
)
def test_a_night_of_slices_from_the_data_scores_what_is_over(
    unit: str, first: str, last: str
) -> None:
    from batchinfer.config.shapes.source_columns import SliceColumn

    rule = {"column": "at", "unit": unit}
    land, score = night_steps(rule, dt.date(2026, 12, 1))
    assert (land.arguments, score.arguments) == (
        ["extract"],
        ["backfill", "--from", first, "--to", last],
    )
    for bound in (first, last):
        check_slice(SliceColumn.model_validate(rule), bound, "--from")


@pytest.mark.parametrize("rule", [{"column": "city"}, "city"])
def test_slices_that_no_calendar_knows(rule: object) -> None:
    with pytest.raises(
        ConfigError,
        match="allowed with a schedule: ingest_date, or a column of times with its unit",
    ):
        night_steps(rule, dt.date(2026, 11, 21))
