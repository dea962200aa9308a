"""The fingerprint: equal inputs equal, different inputs different, in any layout, and the same in
every release.
"""

from __future__ import annotations

import datetime as dt
import decimal
import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchinfer.errors import InputError
from batchinfer.inference.fingerprint import Fingerprinter, fingerprint

TYPES: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.int8(): st.integers(-(2**7), 2**7 - 1),
    pa.int32(): st.integers(-(2**31), 2**31 - 1),
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.float32(): st.floats(width=32),
    pa.float64(): st.floats(),
    pa.bool_(): st.booleans(),
    pa.string(): st.text(max_size=6),
    pa.binary(): st.binary(max_size=6),
    pa.date32(): st.dates(),
    pa.timestamp("us", tz="UTC"): st.datetimes(timezones=st.just(dt.timezone.utc)),
    pa.decimal128(12, 2): st.decimals(-1000, 1000, places=2),
    pa.list_(pa.int32()): st.lists(st.none() | st.integers(0, 3), max_size=3),
    pa.list_(pa.string()): st.lists(st.text(max_size=2), max_size=3),
    pa.list_(pa.list_(pa.float64())): st.lists(st.lists(st.floats(), max_size=2), max_size=2),
    pa.struct([("x", pa.int32()), ("y", pa.string())]): st.fixed_dictionaries(
        {"x": st.none() | st.integers(0, 2), "y": st.text(max_size=1)}
    ),
    pa.map_(pa.string(), pa.float64()): st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(0, 2)), max_size=2, unique_by=lambda p: p[0]
    ),
}


def _hash(array: pa.Array) -> list[bytes]:
    return fingerprint(pa.RecordBatch.from_arrays([array], names=["x"]), ["x"]).to_pylist()


def _canonical(value: Any) -> Any:
    """What counts as the same value: all NaN alike, -0.0 as 0.0, maps without order."""
    if isinstance(value, float):
        return "nan" if math.isnan(value) else value + 0.0
    if isinstance(value, list):
        values = tuple(_canonical(item) for item in value)
        return tuple(sorted(values)) if values and isinstance(value[0], tuple) else values
    return (
        tuple((k, _canonical(v)) for k, v in sorted(value.items()))
        if isinstance(value, dict)
        else value
    )


@pytest.mark.parametrize("type_", TYPES, ids=str)
def test_equal_exactly_where_the_values_are(type_: pa.DataType) -> None:
    @settings(max_examples=25, deadline=None)
    @given(st.lists(st.none() | TYPES[type_], max_size=12), st.data())
    def holds(values: list[Any], data: st.DataObject) -> None:
        array = pa.array(values, type=type_)
        whole = _hash(array)
        seen: dict[Any, bytes] = {}
        for value, hashed in zip(values, whole, strict=True):
            assert len(hashed) == 16
            assert seen.setdefault(_canonical(value), hashed) == hashed
        assert len(set(seen.values())) == len(seen)
        at = data.draw(st.integers(0, len(values)))
        assert _hash(array.slice(0, at)) + _hash(array.slice(at)) == whole

    holds()


@pytest.mark.parametrize(
    ("values", "layouts"),
    [
        (
            ["a", None, "", "bc", "a"],
            [
                pa.string(),
                pa.large_string(),
                pa.string_view(),
                pa.dictionary(pa.int8(), pa.string()),
            ],
        ),
        ([b"a", None, b"", b"bc"], [pa.binary(), pa.large_binary(), pa.binary_view()]),
        ([1, None, 3, 1], [pa.int32(), pa.uint16(), pa.int32()]),
        ([1.5, None, math.nan, 1.5], [pa.float32(), pa.float16()]),
        (
            [[1.5, None], None, [2.0, 0.0]],
            [pa.list_(pa.float32()), pa.large_list(pa.float32()), pa.list_(pa.float32(), 2)],
        ),
        (
            [dt.datetime(1969, 12, 31, 23, 59, 59), None],
            [pa.timestamp(u, tz=z) for u in ("s", "ms", "us", "ns") for z in (None, "UTC")],
        ),
        ([dt.date(1969, 12, 31), None], [pa.date32(), pa.date64()]),
        (
            [decimal.Decimal("1.50"), None, decimal.Decimal("-2.25")],
            [pa.decimal128(9, 2), pa.decimal256(9, 2)],
        ),
    ],
    ids=["string", "binary", "int", "single", "list", "timestamp", "date", "decimal"],
)
def test_layout_does_not_count(values: list[Any], layouts: list[pa.DataType]) -> None:
    hashes = [_hash(pa.array(values, layouts[0]).cast(layout)) for layout in layouts]
    assert all(hashed == hashes[0] for hashed in hashes)
    whole = pa.array([*values, *values], layouts[-1])
    assert _hash(whole.slice(len(values))) == hashes[0]


@given(
    st.lists(
        st.lists(st.none() | st.floats(width=32), min_size=5, max_size=5), min_size=1, max_size=12
    ),
    st.data(),
)
def test_columns_of_single_precision_differ_as_their_values_do(
    rows: list[list[float | None]], data: st.DataObject
) -> None:
    """They are hashed in pairs: where a block ends, how each lies in memory, and who holds the null
    must not matter.
    """
    columns = [pa.array(values, pa.float32()) for values in zip(*rows, strict=True)]
    batch = pa.RecordBatch.from_arrays(columns, list("abcde"))
    hashes = fingerprint(batch, list("abcde")).to_pylist()
    seen: dict[Any, bytes] = {}
    for row, hashed in zip(rows, hashes, strict=True):
        assert seen.setdefault(tuple(map(_canonical, row)), hashed) == hashed
    assert len(set(seen.values())) == len(seen)
    at = data.draw(st.integers(0, 4))
    columns[at] = columns[at].dictionary_encode()
    other = pa.RecordBatch.from_arrays(columns, list("abcde"))
    assert fingerprint(other, list("abcde")).to_pylist() == hashes


def test_nulls_inside_a_dictionary_are_nulls() -> None:
    array = pa.DictionaryArray.from_arrays(pa.array([0, 1, None, 0]), pa.array(["a", None]))
    assert _hash(array) == _hash(pa.array(["a", None, None, "a"]))
    singles = pa.array([1.5, None, 2.5], pa.float32())
    lists = [
        pa.ListArray.from_arrays(pa.array([0, 2, 3], pa.int32()), each)
        for each in (singles, singles.dictionary_encode())
    ]
    assert _hash(lists[0]) == _hash(lists[1])


def test_values_under_nulls_do_not_count() -> None:
    values = pa.array([1, 2, 3, 4], pa.int32())
    lists = pa.ListArray.from_arrays(
        pa.array([0, 2, 4], pa.int32()), values, mask=pa.array([True, False])
    )
    assert _hash(lists) == _hash(pa.array([None, [3, 4]], pa.list_(pa.int32())))
    fixed = pa.FixedSizeListArray.from_arrays(values, 2, mask=pa.array([True, False]))
    assert _hash(fixed) == _hash(pa.array([None, [3, 4]], pa.list_(pa.int32())))


def test_types_count() -> None:
    types = [
        pa.int8(),
        pa.int16(),
        pa.int32(),
        pa.int64(),
        pa.float32(),
        pa.float64(),
        pa.decimal128(9, 2),
        pa.decimal128(9, 3),
    ]
    one = [
        _hash(
            pa.array([1]).cast(pa.decimal128(30, 4)).cast(t)
            if pa.types.is_decimal(t)
            else pa.array([1], t)
        )[0]
        for t in types
    ]
    nulls = [
        _hash(pa.array([None], t))[0]
        for t in [*types, pa.string(), pa.binary(), pa.bool_(), pa.date32()]
    ]
    assert len({*one, *nulls}) == len(one) + len(nulls)
    assert _hash(pa.array(["a"])) != _hash(pa.array([b"a"]))


def _rows(**columns: list[Any]) -> list[bytes]:
    batch = pa.RecordBatch.from_pydict(columns)
    return fingerprint(batch, list(columns)).to_pylist()


def test_columns_do_not_run_into_each_other() -> None:
    pairs = [
        ("ab", "c"),
        ("a", "bc"),
        ("", "abc"),
        ("abc", ""),
        (None, "abc"),
        ("abc", None),
        (None, None),
        ("", ""),
    ]
    left, right = zip(*pairs, strict=True)
    assert len(set(_rows(x=list(left), y=list(right)))) == len(pairs)
    assert _rows(x=[1], y=[2]) != _rows(x=[2], y=[1])
    assert _rows(x=[[1], [1, 2]], y=[[2, 3], [3]])[0] != _rows(x=[[1], [1, 2]], y=[[2, 3], [3]])[1]
    assert _rows(x=[1]) != _rows(x=[1], y=[None])


def test_order_inside_a_list_counts() -> None:
    assert len(set(_hash(pa.array([[1, 2], [2, 1], [1, 2, 0], [0, 1, 2], [], [0], None])))) == 7


def test_the_order_asked_for_counts_not_that_of_the_batch() -> None:
    batch = pa.RecordBatch.from_pydict({"x": [1, 2], "y": ["a", "b"]})
    turned = batch.select(["y", "x"])
    assert fingerprint(batch, ["x", "y"]).equals(fingerprint(turned, ["x", "y"]))
    assert not fingerprint(batch, ["x", "y"]).equals(fingerprint(batch, ["y", "x"]))


def test_columns_mixed_together_hash_as_they_do_alone() -> None:
    """Blocks of columns depend on how many rows there are; the hash must not."""
    random = np.random.default_rng(7)
    rows, names = 20_000, [f"c{i}" for i in range(12)]
    columns = [
        pa.array(random.integers(-3, 3, rows), mask=random.random(rows) < 0.2 * (i % 3))
        for i in range(12)
    ]
    batch = pa.RecordBatch.from_arrays(
        [c.cast(pa.float32()) if i > 4 else c for i, c in enumerate(columns)], names
    )
    whole = fingerprint(batch, names)
    parts = [fingerprint(batch.slice(start, 100), names) for start in range(0, rows, 100)]
    assert whole.equals(pa.concat_arrays(parts))
    assert len(whole.unique()) == len({tuple(row.values()) for row in batch.to_pylist()})


def test_no_collisions_and_no_bias_among_regular_numbers() -> None:
    side = np.arange(500, dtype=np.int64)
    batch = pa.RecordBatch.from_pydict({"x": np.repeat(side, 500), "y": np.tile(side, 500)})
    words = np.frombuffer(fingerprint(batch, ["x", "y"]).buffers()[2], np.uint64).reshape(-1, 2)
    for lane in np.ascontiguousarray(words.T):
        assert len(np.unique(lane)) == 250_000
        ones = np.unpackbits(lane.view(np.uint8).reshape(-1, 8), axis=1).mean(axis=0)
        assert np.all(np.abs(ones - 0.5) < 0.005)
    assert abs(np.corrcoef(words[:, 0].astype(float), words[:, 1].astype(float))[0, 1]) < 0.01


def test_one_bit_in_moves_half_the_bits_out() -> None:
    base = np.arange(64, dtype=np.int64)
    for bit in range(0, 64, 7):
        flipped = (base.view(np.uint64) ^ (np.uint64(1) << np.uint64(bit))).view(np.int64)
        for a, b in zip(_hash(pa.array(base)), _hash(pa.array(flipped)), strict=True):
            changed = (int.from_bytes(a, "little") ^ int.from_bytes(b, "little")).bit_count()
            assert 30 < changed < 98, "six standard deviations around half of 128 bits"


def test_whole_numbers_in_floats_do_not_collide() -> None:
    """Their low bits are all zero: a plain sum of products would lose most of its width on them."""
    side = np.arange(0, 400 * 4096, 4096, dtype=np.float64)
    batch = pa.RecordBatch.from_pydict(
        {
            name: np.tile(np.repeat(side, 400**place), 400 ** (1 - place))
            for place, name in enumerate("xy")
        }
    )
    assert len(fingerprint(batch, ["x", "y"]).unique()) == 160_000


def test_null_differs_from_every_value_that_hashes_to_nothing() -> None:
    hashes = _hash(pa.array([0, None, 1], pa.int64()))
    assert len(set(hashes)) == 3
    assert _rows(x=[None], y=[0]) != _rows(x=[0], y=[None])


def test_golden_values() -> None:
    """A changed value here breaks every table that holds fingerprints: never edit, only add."""
    batch = pa.RecordBatch.from_pydict(
        {
            "age": pa.array([39, None], pa.int32()),
            "workclass": pa.array(["State-gov", None]),
            "score": pa.array([-0.0, math.nan]),
            "at": pa.array([dt.datetime(2026, 11, 21, 2, 15), None], pa.timestamp("us", tz="UTC")),
            "price": pa.array([decimal.Decimal("19.99"), None], pa.decimal128(9, 2)),
            "tags": pa.array([["a", None], None], pa.list_(pa.string())),
            "flag": pa.array([True, None]),
            "raw": pa.array([b"\x00\xff", None]),
            "day": pa.array([dt.date(2026, 11, 21), None]),
        }
    )
    assert [value.hex() for value in fingerprint(batch, batch.schema.names).to_pylist()] == [
        "ebab1478569e83fc2be310a3235ff398",
        "a128e05fb0d2575061268ab7aa17877c",
    ]
    singles = pa.RecordBatch.from_pydict(
        {n: pa.array([-0.0, math.nan, None, 1.5], pa.float32()) for n in "abc"}
    )
    assert [value.hex() for value in fingerprint(singles, list("abc")).to_pylist()] == [
        "8350ae3e05cd5c121ee471c1dcf3e583",
        "3b5601a3b90afd803f2d0b0cb6514107",
        "c7d4793c6c074ffe5c79e3de7aa982f2",
        "a3382be2709eac4a26412ae3ecf121aa",
    ]
    assert fingerprint(batch, [])[0].as_py().hex() == "69f3bb705cf2d776147b129b1f9efd6f"


def test_a_schema_that_changes_is_noticed() -> None:
    of_x = Fingerprinter(["x"])
    ints, texts = (
        pa.RecordBatch.from_pydict({"x": [1]}),
        pa.RecordBatch.from_pydict({"y": [2], "x": ["a"]}),
    )
    assert [of_x(batch) for batch in (ints, texts, ints)] == [
        fingerprint(batch, ["x"]) for batch in (ints, texts, ints)
    ]


def test_names_what_it_cannot_hash() -> None:
    with pytest.raises(InputError, match="none called z; there are x"):
        fingerprint(pa.RecordBatch.from_pydict({"x": [1]}), ["x", "z"])
    with pytest.raises(InputError, match="column x: got the Arrow type"):
        fingerprint(pa.RecordBatch.from_pydict({"x": pa.array([1], pa.duration("s"))}), ["x"])
