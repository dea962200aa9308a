"""Parts of dates: those of UTC, before and after 1970, in every unit."""

from __future__ import annotations

import datetime as dt
import math

import numpy as np
import pyarrow as pa
from transform_cases import batch_of, fitted, steps_of

from batchinfer.transforms import fit


def test_date_parts_of_times_before_and_after_1970() -> None:
    times = [
        dt.datetime(2024, 2, 29, 23, 59, 58),
        dt.datetime(1969, 12, 31, 1, 2, 3, 500_000),
        None,
    ]
    parts = [
        "year",
        "quarter",
        "month",
        "day",
        "day_of_year",
        "weekday",
        "hour",
        "minute",
        "second",
    ]
    batch = batch_of([{"ts": time} for time in times])
    applied_parts = fitted([{"date_parts": {"columns": "ts", "parts": parts}}], batch).apply(batch)
    rows = list(zip(*(applied_parts[f"ts_{part}"].to_pylist() for part in parts), strict=True))
    assert rows == [
        (2024, 1, 2, 29, 60, 3, 23, 59, 58),
        (1969, 4, 12, 31, 365, 2, 1, 2, 3),
        (None,) * 9,
    ]


def test_date_parts_are_those_of_utc_in_every_zone_and_unit() -> None:
    time = dt.datetime(2024, 5, 6, 22, 30, tzinfo=dt.timezone.utc)
    steps = steps_of({"date_parts": {"columns": "ts", "parts": ["day", "hour"]}})
    for unit in ("s", "ms", "us", "ns"):
        batch = pa.RecordBatch.from_arrays(
            [pa.array([time, None], pa.timestamp(unit, tz="Asia/Tokyo"))], ["ts"]
        )
        values = fit(
            steps, {"ts": batch.schema.field("ts").type}, lambda batch=batch: [batch]
        ).apply(batch)
        assert (values["ts_day"].to_pylist(), values["ts_hour"].to_pylist()) == (
            [6.0, None],
            [22.0, None],
        )


def test_nanoseconds_are_cut_to_the_unit_of_the_fit() -> None:
    transforms = fitted([{"date_parts": {"columns": "ts", "parts": ["second"]}}], batch_of([]))
    batch = pa.record_batch({"ts": pa.array([1_999_999_999], pa.timestamp("ns", tz="UTC"))})
    assert transforms.matrix(batch).tolist() == [[1.0]]


def test_cyclic_parts_meet_at_midnight() -> None:
    batch = batch_of([{"ts": dt.datetime(2024, 1, 1, hour)} for hour in (0, 6, 23)])
    values = fitted(
        [{"date_parts": {"columns": "ts", "parts": ["hour"], "cyclic": True}}], batch
    ).apply(batch)
    assert "ts_hour" not in values
    np.testing.assert_allclose(
        values["ts_hour_sin"].to_pylist(), [0, 1, math.sin(23 * math.pi / 12)], atol=1e-12
    )
    np.testing.assert_allclose(
        values["ts_hour_cos"].to_pylist(), [1, 0, math.cos(23 * math.pi / 12)], atol=1e-12
    )
