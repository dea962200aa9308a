"""Slices as a user names them."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.config.shapes.source_columns import SliceColumn
from batchinfer.errors import ConfigError
from batchinfer.pipeline.definition.slice_names import (
    MOST_LISTED,
    check_slice,
    names_slice,
    slices_between,
    span_note,
)
from batchinfer.pipeline.slices.slice_frames import _bounds
from batchinfer.schedule import night_steps
from batchinfer.sources.slice_values import slice_values

DAYS = SliceColumn(column="ts", unit="day")
HOURS = SliceColumn(column="ts", unit="hour")
MONTHS = SliceColumn(column="ts", unit="month")
PLAIN = SliceColumn(column="region")


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ("ingest_date", "2026-11-21"),
        (DAYS, "2015-05-18"),
        (HOURS, "2015-05-18T07"),
        (MONTHS, "2015-05"),
        (PLAIN, "a b"),
    ],
)
def test_names_that_a_pipeline_can_have(rule: object, text: str) -> None:
    assert check_slice(rule, text) == text  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ("ingest_date", "2026-13-01"), ("ingest_date", "2026-1-1"), ("ingest_date", ""),
        (DAYS, "2015-05-18T07"),
        (HOURS, "2015-05-18"), (MONTHS, "2015-5"), (PLAIN, "../x"), (PLAIN, ".."),
        (PLAIN, "a/b"), (PLAIN, "a\\b"), (PLAIN, ""), (PLAIN, "a\nb"),
    ],
)  # fmt: skip
def test_names_that_it_cannot_have(rule: object, text: str) -> None:
    with pytest.raises(ConfigError, match="allowed: a"):
        check_slice(rule, text)  # type: ignore[arg-type]


def test_a_range_has_both_ends_and_the_days_without_data() -> None:
    assert slices_between(DAYS, ["2015-05-18", "2015-05-21"], "2015-05-17", "2015-05-19") == [
        "2015-05-17",
        "2015-05-18",
        "2015-05-19",
    ]
    hours = slices_between(HOURS, [], "2015-05-17T22", "2015-05-18T01")
    assert hours == [f"2015-05-{hour}" for hour in ("17T22", "17T23", "18T00", "18T01")]
    assert slices_between(MONTHS, [], "2015-11", "2016-02") == [
        "2015-11",
        "2015-12",
        "2016-01",
        "2016-02",
    ]
    assert slices_between(PLAIN, ["b", "c", "z"], "a", "d") == ["b", "c"]


def test_a_range_the_wrong_way_round() -> None:
    with pytest.raises(ConfigError, match="--from no later than --to"):
        slices_between(DAYS, [], "2015-05-19", "2015-05-17")


@given(st.dates(dt.date(1990, 1, 1), dt.date(2050, 1, 1)), st.integers(0, 100))
def test_a_range_of_n_days_has_n_slices_in_order(start: dt.date, days: int) -> None:
    end = start + dt.timedelta(days=days)
    found = slices_between(DAYS, [], start.isoformat(), end.isoformat())
    assert len(found) == days + 1
    assert found == sorted(set(found))


EDGES = [dt.datetime(1, 1, 1), dt.datetime(999, 12, 31, 23), dt.datetime(9999, 12, 31, 23, 59, 59)]


@pytest.mark.parametrize("moment", EDGES)
@pytest.mark.parametrize("rule", [HOURS, DAYS, MONTHS])
def test_what_lands_at_the_edges_of_time_is_what_commands_take(
    rule: SliceColumn, moment: dt.datetime
) -> None:
    rows = pa.record_batch({"ts": pa.array([moment], pa.timestamp("us", tz="UTC"))})
    [landed] = slice_values(rows, rule, None).to_pylist()
    assert names_slice(rule, landed)
    assert check_slice(rule, landed) == landed
    assert slices_between(rule, [landed], landed, landed) == [landed]
    start, end = _bounds(rule.unit, landed)
    assert start <= moment.isoformat() and (end > moment.isoformat() or end[0] == "+")


def test_a_year_that_commands_do_not_take_does_not_land() -> None:
    far = pa.array([253402300800], pa.timestamp("s", tz="UTC"))
    [name] = slice_values(pa.record_batch({"ts": far}), DAYS, None).to_pylist()
    assert name.startswith("10000") and not names_slice(DAYS, name)
    assert not names_slice(DAYS, "0000-12-31") and names_slice(PLAIN, "10000-01-01")


def test_a_span_of_all_time_has_all_slices_and_the_first_days_without_data() -> None:
    landed = ["0001-01-01", "2026-11-21", "9999-12-31"]
    found = slices_between(DAYS, landed, "0001-01-01", "9999-12-31")
    assert set(landed) < set(found) and len(found) == MOST_LISTED + 2
    assert "more than 40,000 days" in (span_note(DAYS, "0001-01-01", "9999-12-31") or "")
    assert span_note(DAYS, "2026-01-01", "2026-12-31") is None
    assert slices_between(MONTHS, [], "9999-11", "9999-12") == ["9999-11", "9999-12"]


def test_a_night_at_the_beginning_of_time() -> None:
    rule = {"column": "ts", "unit": "hour"}
    [_, score] = night_steps(rule, dt.date(1, 1, 3))
    assert score.options == {"from": "0001-01-01T00", "to": "0001-01-02T23"}
    with pytest.raises(ConfigError, match="a day that has one before it"):
        night_steps(rule, dt.date(1, 1, 1))
