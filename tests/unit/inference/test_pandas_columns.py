"""What pandas loses on the way to a UDF and back is mended, and a value that does not fit costs its
row only.
"""

from __future__ import annotations

import datetime as dt
import decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from batchinfer.errors import InputError
from batchinfer.inference.pandas_columns import arrow_rows, pandas_frame

UTC_MICROS = pa.timestamp("us", tz="UTC")


def _column(series: pd.Series, type_: pa.DataType, zone: str = "UTC") -> list[Any]:
    rows, misfits = arrow_rows((series,), {"x": type_}, zone)
    assert not misfits
    assert rows.schema.field("x").type == type_
    return rows.column("x").to_pylist()


@pytest.mark.parametrize(
    ("series", "type_", "expected"),
    [
        (pd.Series([1.0, np.nan, 3.0]), pa.int32(), [1, None, 3]),
        (pd.Series([True, None]), pa.bool_(), [True, None]),
        (pd.Series([0.5, np.nan]), pa.float32(), [0.5, None]),
        (pd.Series(["a", None]), pa.string(), ["a", None]),
        (pd.Series([dt.date(2026, 11, 21), None]), pa.date32(), [dt.date(2026, 11, 21), None]),
        (
            pd.Series([decimal.Decimal("1.50"), None]),
            pa.decimal128(9, 2),
            [decimal.Decimal("1.50"), None],
        ),
        (
            pd.Series([np.array([1.0, 2.0]), None, np.array([])]),
            pa.list_(pa.float64()),
            [[1.0, 2.0], None, []],
        ),
        (
            pd.Series([np.array([1, 2]), np.array([3.0, np.nan])]),
            pa.list_(pa.int64()),
            [[1, 2], [3, None]],
        ),
        (
            pd.Series([{"a": 1.0}, None, {}]),
            pa.map_(pa.string(), pa.float64()),
            [[("a", 1.0)], None, []],
        ),
        (
            pd.DataFrame({"p": [1.0, 2.0]}),
            pa.struct([("p", pa.float64())]),
            [{"p": 1.0}, {"p": 2.0}],
        ),
        (pd.Series([None, None]), pa.int64(), [None, None]),
        (pd.Series([], dtype=object), pa.list_(pa.float64()), []),
    ],
    ids=lambda value: str(value) if isinstance(value, pa.DataType) else "",
)
def test_values_and_nulls(series: Any, type_: pa.DataType, expected: list[Any]) -> None:
    if isinstance(series, pd.DataFrame):  # one struct among several columns
        rows, misfits = arrow_rows((series, series["p"]), {"x": type_, "y": pa.float64()}, "UTC")
        assert (rows.column("x").to_pylist(), misfits) == (expected, {})
    else:
        assert _column(series, type_) == expected


def test_timestamps_come_in_the_session_s_zone() -> None:
    local = pd.Series(pd.to_datetime(["2026-07-01 12:00", None]))
    assert _column(local, UTC_MICROS, "Europe/Berlin")[0] == dt.datetime(
        2026, 7, 1, 10, tzinfo=dt.timezone.utc
    )
    assert _column(local, UTC_MICROS)[0] == dt.datetime(2026, 7, 1, 12, tzinfo=dt.timezone.utc)
    assert _column(local, pa.timestamp("us"), "Europe/Berlin")[0] == dt.datetime(2026, 7, 1, 12)
    twice_and_never = pd.Series(pd.to_datetime(["2026-10-25 02:30", "2026-03-29 02:30"]))
    found = [
        value.replace(tzinfo=None)
        for value in _column(twice_and_never, UTC_MICROS, "Europe/Berlin")
    ]
    assert found == [dt.datetime(2026, 10, 25, 0, 30), dt.datetime(2026, 3, 29, 1, 0)]


def test_a_value_that_does_not_fit_costs_its_row() -> None:
    rows, misfits = arrow_rows(
        (pd.Series([1.0, 1.5, np.nan]), pd.Series(["a", b"b", 3])),
        {"n": pa.int32(), "t": pa.string()},
        "UTC",
    )
    assert rows.column("n").to_pylist() == [1, None, None]
    assert misfits == {
        1: "encode_error: column n: got 1.5; allowed: int32",
        2: "encode_error: column t: got 3; allowed: string",
    }


def test_structs_by_name_and_columns_by_place() -> None:
    fields = {"a": pa.int64(), "b": pa.string()}
    frame = pd.DataFrame({"extra": [0], "b": ["x"], "a": [1]})
    by_name, _ = arrow_rows((frame,), fields, "UTC")
    by_place, _ = arrow_rows((frame["a"], frame["b"]), fields, "UTC")
    assert by_name.equals(by_place)
    with pytest.raises(InputError, match="no field b; the model's signature is a, b"):
        arrow_rows((frame[["a"]],), fields, "UTC")
    with pytest.raises(
        InputError, match="got 1 columns; allowed: one struct, or the 2 columns a, b"
    ):
        arrow_rows((frame["a"],), fields, "UTC")


def test_back_to_pandas_with_nulls() -> None:
    columns = {
        "n": pa.array([2**60 + 1, None]),
        "m": pa.array([[("a", 1.0)], None], pa.map_(pa.string(), pa.float64())),
        "d": pa.array([dt.date(2026, 11, 21), None]),
    }
    frame = pandas_frame(columns)
    assert frame["n"].tolist() == [2**60 + 1, None]
    assert frame["m"].tolist() == [{"a": 1.0}, None]
    assert frame["d"].tolist() == [dt.date(2026, 11, 21), None]
