"""Bounds of a column: the same whether its values are few or many."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pyarrow as pa
import pytest

from batchinfer.lake.file_statistics import ColumnStatistics

_NOON = dt.datetime(2026, 11, 21, 12, 0, 0, 123456)
_CASES: dict[str, tuple[pa.DataType, list[Any], tuple[Any, Any]]] = {
    "integers": (pa.int64(), [3, None, -7], (-7, 3)),
    "numbers": (pa.float64(), [0.5, None, -1.25], (-1.25, 0.5)),
    "infinite": (pa.float64(), [float("inf"), 1.0], (None, None)),
    "NaN": (pa.float64(), [1.0, float("nan"), 2.0], (None, None)),
    "text": (pa.string(), ["z", None, "ä", "a", "\U0001f600", "\ufffd"], ("a", "\U0001f600")),
    "days": (pa.date32(), [dt.date(2026, 1, 2), dt.date(1, 1, 1)], ("0001-01-01", "2026-01-02")),
    "times": (
        pa.timestamp("us", "UTC"),
        [_NOON, None, _NOON - dt.timedelta(days=1)],
        ("2026-11-20T12:00:00.123Z", "2026-11-21T12:00:00.124Z"),
    ),
}


@pytest.mark.parametrize("case", _CASES)
@pytest.mark.parametrize("times", [1, 100])
def test_bounds_are_the_same_of_few_values_and_of_many(case: str, times: int) -> None:
    type_, values, bounds = _CASES[case]
    column = ColumnStatistics(type_)
    column.add(pa.chunked_array([pa.array(values * times, type_), pa.array([], type_)]))
    assert column.bounds() == bounds
    assert column.nulls == values.count(None) * times
