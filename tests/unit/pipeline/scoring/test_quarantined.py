"""Keys of quarantined rows: what a record says in JSON is the row's value again."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from batchinfer.errors import InputError
from batchinfer.inference.attempt import Failure
from batchinfer.inference.failed_rows import bad_records
from batchinfer.pipeline.scoring.quarantined import is_key, typed_keys

MOMENT = dt.datetime(2026, 11, 21, 13, 45, 0, 123_456)
VALUES: list[tuple[pa.DataType, list[Any]]] = [
    (pa.int32(), [7, -1]),
    (pa.int64(), [2**62, 0]),
    (pa.string(), ['a "quoted", ünïcode', ""]),
    (pa.bool_(), [True, False]),
    (pa.float64(), [0.1, -math.inf]),
    (pa.decimal128(20, 4), [Decimal("123456789012.0001"), Decimal("-0.5000")]),
    (pa.date32(), [dt.date(2026, 11, 21), dt.date(1969, 12, 31)]),
    (pa.timestamp("us"), [MOMENT, MOMENT.replace(microsecond=0)]),
    (
        pa.timestamp("us", tz="UTC"),
        [MOMENT.replace(tzinfo=dt.timezone.utc), dt.datetime(1969, 1, 1, tzinfo=dt.timezone.utc)],
    ),
    (pa.binary(), [b"\x00\xff", b""]),
]


@pytest.mark.parametrize(("type_", "values"), VALUES, ids=[str(type_) for type_, _ in VALUES])
def test_a_key_comes_back_as_it_was(type_: pa.DataType, values: list[Any]) -> None:
    batch = pa.record_batch(
        {"first": pa.array(values, type_), "second": pa.array(range(len(values)), pa.int32())}
    )
    texts = [
        str(record.key)
        for record in bad_records(
            batch, {row: Failure("r", "m") for row in range(len(values))}, ["first", "second"], None
        )
    ]
    assert all(map(is_key, texts))
    found = typed_keys(texts, {"first": type_, "second": pa.int32()})
    assert found.column(0).to_pylist() == values
    assert found.column(0).type == type_
    assert (found.column(1).to_pylist(), found.column(2).to_pylist()) == (
        list(range(len(values))),
        texts,
    )


def test_not_a_number_comes_back_too() -> None:
    [found] = typed_keys(['{"x":"NaN"}'], {"x": pa.float64()}).column(0).to_pylist()
    assert math.isnan(found)


def test_a_record_without_a_whole_key_names_no_row() -> None:
    assert not is_key(None)
    assert not is_key('{"id":null}')
    assert not is_key('{"id":1,"other":null}')
    with pytest.raises(
        InputError, match=r"key column id: got None .*allowed: a value of type int32"
    ):
        typed_keys(['{"other":1}'], {"id": pa.int32()})
    with pytest.raises(InputError, match=r"key column id: got 'x'"):
        typed_keys(['{"id":"x"}'], {"id": pa.int32()})
