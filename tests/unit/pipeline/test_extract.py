"""`extract`: what is asked of a slice's name before anything is opened, and one run at a time."""

from __future__ import annotations

import datetime as dt

import pytest
from spark.projects import DAY, SmallProject, csv_of

from batchinfer.errors import ConfigError, InputMissing, SliceHeld
from batchinfer.hints import commands_of
from batchinfer.lake.leases import hold
from batchinfer.pipeline.extract import extract_source


def no_session() -> None:
    raise AssertionError("a session was opened")


@pytest.mark.parametrize(
    ("rule", "slice_", "said"),
    [
        ("ingest_date", None, "got no --slice; allowed: --slice with a day"),
        ("ingest_date", "21/11/2026", "21/11/2026"),
        ("ingest_date", "../2026-11-21", "2026-11-21"),
        ("color", DAY, "cuts slices from column color; allowed: extract without --slice"),
    ],
)
def test_a_slice_that_cannot_be_is_refused_and_nothing_is_made(
    local: SmallProject, rule: str, slice_: str | None, said: str
) -> None:
    local.edit("slice: ingest_date", f"slice: {rule}")
    local.write("in/a.csv", csv_of(range(3)))
    with pytest.raises(ConfigError, match=said) as caught:
        extract_source(local.context(), slice_, no_session)  # type: ignore[arg-type]
    assert caught.value.exit_code == 2
    assert [path.name for path in (local.root / "var/lake").iterdir()] == ["runs"], (
        "but for the record of the run"
    )


def test_without_a_slice_the_command_with_todays_is_told(local: SmallProject) -> None:
    with pytest.raises(ConfigError) as caught:
        local.extract(None)
    today = dt.datetime.now(dt.timezone.utc).date().isoformat()
    assert commands_of(caught.value.hint) == [f"batchinfer extract {local.named} --slice {today}"]


def test_no_file_is_an_error_and_no_empty_slice(local: SmallProject) -> None:
    with pytest.raises(InputMissing, match=r"in/\*\.csv"):
        local.extract()
    assert local.states() == {}


def test_a_file_without_records_lands_as_a_slice_of_no_rows(local: SmallProject) -> None:
    local.write("in/a.csv", csv_of(range(0)))
    report = local.extract()
    assert (report.status, report.slices, report.rows_in) == ("landed", [DAY], 0)
    assert report.warnings == ["all input files are empty: a.csv"]
    assert local.states() == {DAY: "missing"}, "it can be scored, and says that it has no rows"


@pytest.mark.parametrize(("rule", "slice_"), [("ingest_date", DAY), ("color", None)])
def test_one_run_at_a_time_lands_a_source(
    local: SmallProject, rule: str, slice_: str | None
) -> None:
    local.edit("slice: ingest_date", f"slice: {rule}")
    local.write("in/a.csv", csv_of(range(3)))
    lake = local.context().environment.lake
    with (
        hold(lake, "small", f"extract {slice_ or '*'}", "another"),
        pytest.raises(SliceHeld, match="run another"),
    ):
        local.extract(slice_)
    assert local.extract(slice_).rows_landed == 3
