"""Slices as a user names them."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.config.sources import SliceColumn
from batchinfer.errors import ConfigError
from batchinfer.pipeline.definition.slice_names import check_slice, slices_between

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
