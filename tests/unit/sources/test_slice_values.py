"""Slice values: text of a column, or a time cut to its unit in UTC."""

from __future__ import annotations

import datetime

import pyarrow as pa
import pytest

from batchinfer.config.shapes.source_columns import SliceColumn
from batchinfer.errors import ConfigError
from batchinfer.sources.slice_values import slice_values

UTC = datetime.timezone.utc
TIMES = [
    datetime.datetime(2015, 5, 18, 7, 59, 59, 999999, UTC),
    None,
    datetime.datetime(1969, 12, 31, 23, 0, 0, 500000, UTC),
]
BATCH = pa.RecordBatch.from_pydict(
    {
        "ts": pa.array(TIMES, pa.timestamp("us", "UTC")),
        "day": pa.array(
            [datetime.date(2015, 5, 18), None, datetime.date(1969, 12, 31)], pa.date32()
        ),
        "site": pa.array(["a", None, ""]),
        "number": pa.array([7, None, -1], pa.int32()),
    }
)


@pytest.mark.parametrize(
    ("column", "unit", "want"),
    [
        ("ts", "hour", ["2015-05-18T07", None, "1969-12-31T23"]),
        ("ts", "day", ["2015-05-18", None, "1969-12-31"]),
        ("ts", "month", ["2015-05", None, "1969-12"]),
        ("ts", None, ["2015-05-18T07:59:59", None, "1969-12-31T23:00:00"]),
        ("day", "day", ["2015-05-18", None, "1969-12-31"]),
        ("day", "month", ["2015-05", None, "1969-12"]),
        ("day", None, ["2015-05-18", None, "1969-12-31"]),
        ("site", None, ["a", None, ""]),
        ("number", None, ["7", None, "-1"]),
    ],
)
def test_columns(column: str, unit: str | None, want: list[str | None]) -> None:
    rule = SliceColumn.model_validate({"column": column, "unit": unit})
    found = slice_values(BATCH, rule, None)
    assert found.to_pylist() == want
    assert found.type == pa.string()
    assert len(slice_values(BATCH.slice(0, 0), rule, None)) == 0


def test_ingest_date() -> None:
    assert slice_values(BATCH, "ingest_date", "2026-11-21").to_pylist() == ["2026-11-21"] * 3
    with pytest.raises(ConfigError, match="allowed: --slice"):
        slice_values(BATCH, "ingest_date", None)


def test_columns_that_cannot_be_cut() -> None:
    with pytest.raises(ConfigError, match="'site' is string"):
        slice_values(BATCH, SliceColumn(column="site", unit="day"), None)
    with pytest.raises(ConfigError, match="allowed: ts, day, site, number"):
        slice_values(BATCH, SliceColumn(column="absent"), None)
