"""Timestamps: whole columns are read as Python's strptime reads each value."""

from __future__ import annotations

import datetime
import re
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchinfer.sources.text.timestamps import TimestampRule, format_pattern, parse_timestamps

UTC = datetime.timezone.utc
FORMATS = [
    "%d/%b/%Y:%H:%M:%S %z",
    "%Y-%m-%d %H:%M:%S.%f",
    "%Y%m%d",
    "%d. %B %Y",
    "%Y-%m-%dT%H:%M%z",
    "%H:%M %d %m %Y",
    "%j %Y",
    "%y-%m-%d",
    "100%% %Y",
    "%I:%M %p %d.%m.%Y",
]


def by_python(text: str, format_: str) -> datetime.datetime | None:
    try:
        value = datetime.datetime.strptime(text, format_)
    except ValueError:
        return None
    if "%z" in format_ and re.search(r"[+-]\d\d:?\d\d:?\d\d(\.\d+)?$", text):
        return None  # offsets with seconds are of zones before 1972; they are refused
    try:
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    except OverflowError:
        return None


@settings(max_examples=400, deadline=None)
@given(
    format_=st.sampled_from(FORMATS),
    when=st.datetimes(datetime.datetime(1000, 1, 1)),
    zone=st.integers(-23 * 60, 23 * 60),
    noise=st.text("0123456789 :/-JanZ+.", max_size=2),
    place=st.integers(0, 30),
    cut=st.integers(0, 2),
)
def test_formats_equal_strptime(
    format_: str, when: datetime.datetime, zone: int, noise: str, place: int, cut: int
) -> None:
    written = when.replace(tzinfo=datetime.timezone(datetime.timedelta(minutes=zone))).strftime(
        format_
    )
    changed = written[:place] + noise + written[place + cut :]
    texts = [written, changed, written.upper(), "", "31/Feb/2015"]
    found = parse_timestamps(pa.array(texts), TimestampRule(format_)).to_pylist()
    assert found == [by_python(text, format_) for text in texts]


def test_common_formats_are_read_by_a_pattern() -> None:
    assert [format_ for format_ in FORMATS if format_pattern(format_) is None] == [
        "%j %Y",
        "%y-%m-%d",
        "%I:%M %p %d.%m.%Y",
    ]


@pytest.mark.parametrize("format_", ["%Y-%m-%d %H:%M:%S", "%Y-%j %H:%M:%S", None])
def test_local_times_move_to_utc(format_: str | None) -> None:
    texts = {
        "%Y-%j %H:%M:%S": ["2020-088 12:00:00", "2020-089 12:00:00"],
    }.get(format_ or "", ["2020-03-28 12:00:00", "2020-03-29 12:00:00"])
    found = parse_timestamps(pa.array(texts), TimestampRule(format_, "Europe/Paris")).to_pylist()
    assert found == [
        datetime.datetime(2020, 3, 28, 11, tzinfo=UTC),
        datetime.datetime(2020, 3, 29, 10, tzinfo=UTC),
    ]


@pytest.mark.parametrize("format_", [None, "%Y-%m-%d %H:%M:%S"])
def test_hours_that_a_zone_skips_are_none_and_of_those_that_it_has_twice_the_first_counts(
    format_: str | None,
) -> None:
    texts = [
        "2020-03-29 01:59:59",
        "2020-03-29 02:00:00",
        "2020-03-29 02:59:59",
        "2020-03-29 03:00:00",
        "2020-10-25 02:30:00",
    ]
    found = parse_timestamps(pa.array(texts), TimestampRule(format_, "Europe/Paris")).to_pylist()
    spring = datetime.datetime(2020, 3, 29, tzinfo=UTC)
    autumn = datetime.datetime(2020, 10, 25, 0, 30, tzinfo=UTC)
    assert found == [
        spring.replace(minute=59, second=59),
        None,
        None,
        spring.replace(hour=1),
        autumn,
    ]


def test_zoned_and_local_values_in_one_column() -> None:
    texts = [
        "2020-02-03",
        "2020-02-03T04:05:06Z",
        None,
        "2020-02-03 04:05-03",
        "bad",
        "2020-02-03 04:05:06.5+01:30",
    ]
    day = datetime.datetime(2020, 2, 3, tzinfo=UTC)
    assert parse_timestamps(pa.array(texts), TimestampRule()).to_pylist() == [
        day,
        day.replace(hour=4, minute=5, second=6),
        None,
        day.replace(hour=7, minute=5),
        None,
        day.replace(hour=2, minute=35, second=6, microsecond=500000),
    ]


@pytest.mark.parametrize(
    ("format_", "text", "expected"),
    [
        ("epoch_s", "1795934425.0363867", "2026-11-29T06:40:25.036386+00:00"),
        ("epoch_s", "1795934425", "2026-11-29T06:40:25+00:00"),
        ("epoch_s", "1.795934425e9", "2026-11-29T06:40:25+00:00"),
        ("epoch_s", ".5", "1970-01-01T00:00:00.500000+00:00"),
        # The digits that are dropped make a time earlier, before 1970 too.
        ("epoch_s", "-1.0000005", "1969-12-31T23:59:58.999999+00:00"),
        ("epoch_s", "-1.0000000", "1969-12-31T23:59:59+00:00"),
        # One more than a double holds.
        ("epoch_us", "9007199254740993", "2255-06-05T23:47:34.740993+00:00"),
        ("epoch_ms", "1795934425073", "2026-11-29T06:40:25.073000+00:00"),
        ("epoch_ms", "1795934425073.25", "2026-11-29T06:40:25.073250+00:00"),
        ("epoch_us", "1795934425036386.9", "2026-11-29T06:40:25.036386+00:00"),
        ("epoch_s", "253402300799.999999", "9999-12-31T23:59:59.999999+00:00"),
        ("epoch_s", "253402300800", None),
        ("epoch_s", "-62135596800.1", None),
        ("epoch_s", "9" * 40, None),
        ("epoch_s", "1e300", None),
        ("epoch_s", "1795934425073", None),
        ("epoch_s", "NaN", None),
        ("epoch_s", "2026-11-29", None),
        ("epoch_s", "", None),
        ("epoch_s", None, None),
    ],
)
def test_numbers_since_1970(format_: str, text: str | None, expected: str | None) -> None:
    # A zone is of times that do not name theirs; a number needs none.
    rule = TimestampRule(format_, "Europe/Paris")
    others = ["0", text, "17"]
    found = parse_timestamps(pa.array(others, pa.string()), rule).to_pylist()
    assert found[1] == (expected and datetime.datetime.fromisoformat(expected))
    assert found[0] == datetime.datetime(1970, 1, 1, tzinfo=UTC)


@given(micros=st.integers(-62135596800 * 10**6, 253402300799 * 10**6))
def test_every_microsecond_is_exact(micros: int) -> None:
    moment = datetime.datetime(1970, 1, 1, tzinfo=UTC) + datetime.timedelta(microseconds=micros)
    seconds = Decimal(micros).scaleb(-6)
    for format_, shift in (("epoch_s", 6), ("epoch_ms", 3), ("epoch_us", 0)):
        text = f"{seconds.scaleb(6 - shift):f}"
        assert parse_timestamps(pa.array([text]), TimestampRule(format_)).to_pylist() == [moment]
