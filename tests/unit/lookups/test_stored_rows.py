"""Rows as stores keep them: the same JSON that a lookup tells, keys that never meet."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.errors import InputError
from batchinfer.lookups.stores.stored_rows import (
    MOST_KEY_BYTES,
    stored_key,
    stored_keys,
    stored_values,
    total_checksum,
)
from batchinfer.lookups.told_rows import json_value

UTC = dt.timezone.utc
TEXT = st.text(max_size=12)
MOMENTS = st.datetimes(min_value=dt.datetime(1900, 1, 1), max_value=dt.datetime(2200, 1, 1))
# A column's type, and values of it as Arrow gives them back.
COLUMNS: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "flag": (pa.bool_(), st.booleans()),
    "small": (pa.int8(), st.integers(-128, 127)),
    "whole": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "half": (pa.float32(), st.floats(width=32)),
    "real": (pa.float64(), st.floats()),
    "text": (pa.string(), TEXT),
    'odd "name"\\': (pa.large_string(), TEXT),
    "day": (pa.date32(), st.dates()),
    "at": (pa.timestamp("us", "UTC"), MOMENTS.map(lambda one: one.replace(tzinfo=UTC))),
    "wall": (pa.timestamp("us"), MOMENTS),
    "money": (pa.decimal128(9, 2), st.decimals(-9999, 9999, places=2)),
    "raw": (pa.binary(), st.binary(max_size=8)),
    "list": (pa.list_(pa.float64()), st.lists(st.floats(), max_size=3)),
    "map": (pa.map_(pa.string(), pa.float64()), st.dictionaries(TEXT, st.floats(), max_size=2)),
    "pair": (
        pa.struct([("a", pa.int32()), ("b", pa.string())]),
        st.fixed_dictionaries({"a": st.integers(-9, 9), "b": TEXT}),
    ),
}


@st.composite
def batches(draw: st.DrawFn) -> pa.RecordBatch:
    names = draw(st.lists(st.sampled_from(list(COLUMNS)), min_size=1, max_size=6, unique=True))
    rows = draw(st.integers(1, 5))
    arrays = []
    for name in names:
        type_, values = COLUMNS[name]
        drawn = draw(st.lists(st.none() | values, min_size=rows, max_size=rows))
        arrays.append(
            pa.array([list(v.items()) if name == "map" and v else v for v in drawn], type_)
        )
    return pa.RecordBatch.from_arrays(arrays, names)


@given(batches())
def test_a_stored_row_is_the_json_that_a_lookup_tells(batch: pa.RecordBatch) -> None:
    told = [
        json.dumps({name: json_value(value) for name, value in row.items()})
        for row in batch.to_pylist(maps_as_pydicts="lossy")
    ]
    stored = [value.decode() for value in stored_values(batch).to_pylist()]
    # By their text, so that 1 and 1.0 are two.
    assert [json.dumps(json.loads(one)) for one in stored] == told


KEYS = {
    name: COLUMNS[name] for name in COLUMNS if name not in ("list", "map", "pair", "half", "real")
}


@st.composite
def key_columns(draw: st.DrawFn) -> list[pa.Array]:
    names = draw(st.lists(st.sampled_from(list(KEYS)), min_size=1, max_size=3, unique=True))
    rows = draw(st.integers(1, 6))
    return [
        pa.array(draw(st.lists(KEYS[name][1], min_size=rows, max_size=rows)), KEYS[name][0])
        for name in names
    ]


@given(key_columns())
def test_the_key_of_a_batch_is_that_of_each_row(columns: list[pa.Array]) -> None:
    values = list(zip(*(column.to_pylist() for column in columns), strict=True))
    keys = stored_keys(columns).to_pylist()
    assert keys == [stored_key(row) for row in values]
    # Equal keys are of equal values alone.
    assert len(set(keys)) == len({tuple(map(json_value, row)) for row in values})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a,b", "c"), ("a", "b,c")),
        (("a%2Cb", "c"), ("a,b", "c")),
        (("", "a"), ("a", "")),
        (("{a}", "1"), ("%7Ba%7D", "1")),
        (("a\x00", "1"), ("a%00", "1")),
        (("caf\u00e9", "1"), ("cafe\u0301", "1")),
    ],
)
def test_keys_of_other_values_never_meet(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert stored_key(one) != stored_key(other)


def test_keys_that_no_store_takes_are_kept_by_their_digest() -> None:
    longest, longer = "x" * MOST_KEY_BYTES, "x" * (MOST_KEY_BYTES + 1)
    keys = stored_keys([pa.array([longest, longer, longer + "y"])]).to_pylist()
    assert keys[0] == longest.encode()
    assert all(len(key) <= MOST_KEY_BYTES for key in keys) and len(set(keys)) == 3
    assert keys[1] == stored_key((longer,))
    # No value can be written so that it is taken for a digest.
    assert stored_key((keys[1].decode(),)) != keys[1]


def test_a_key_without_a_value_is_refused() -> None:
    with pytest.raises(InputError, match="null"):
        stored_keys([pa.array([1, None])])


def test_a_checksum_tells_rows_that_swapped_their_values() -> None:
    rows = [(b"a", b"1"), (b"b", b"2")]
    assert total_checksum(rows) == total_checksum(rows[::-1])
    assert total_checksum(rows) != total_checksum([(b"a", b"2"), (b"b", b"1")])


def test_decimals_and_days_are_told_as_text() -> None:
    batch = pa.RecordBatch.from_pydict(
        {"money": pa.array([Decimal("1.50")]), "day": pa.array([dt.date(2026, 11, 20)])}
    )
    assert stored_values(batch).to_pylist() == [b'{"money":"1.50","day":"2026-11-20"}']
