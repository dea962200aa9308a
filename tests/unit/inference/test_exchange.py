"""Rows shared out by fingerprint: none lost, equal ones in one bucket, and an estimate of how many
are distinct.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchinfer.inference import exchange
from batchinfer.inference.exchange import Bucket, Parcel, Sender, estimated_distinct
from batchinfer.inference.fingerprint import Fingerprinter, fingerprint, words


def _batch(start: int, xs: list[int]) -> pa.RecordBatch:
    names = pa.array([str(x % 3) for x in xs]).dictionary_encode()
    return pa.record_batch(
        {"id": range(start, start + len(xs)), "x": pa.array(xs, pa.int32()), "name": names}
    )


def _streams(parcel: Parcel) -> tuple[pa.Buffer, pa.Buffer]:
    """As they are read behind other bytes of a file."""
    sink = pa.BufferOutputStream()
    sink.write(b"of another")
    lines, inputs = parcel.write(sink)
    whole = sink.getvalue()
    assert whole.size == 10 + lines + inputs
    return whole.slice(10, lines), whole.slice(10 + lines)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.lists(st.lists(st.integers(0, 30), max_size=20), max_size=4), min_size=1, max_size=3
    ),
    st.integers(1, 5),
    st.sampled_from([1, 200, 2**22]),
    st.sampled_from([0, 5, 1000]),
)
def test_every_row_arrives_once_beside_its_equals(
    tasks: list[Any], buckets: int, parcel: int, remembered: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exchange, "PARCEL_BYTES", parcel)
        patch.setattr(exchange, "MOST_SENT", remembered)
        parcels: list[tuple[int, Parcel]] = []
        expected: dict[int, int] = {}
        for task in tasks:
            sender = Sender(["id"], ["x", "name"], buckets)
            for xs in task:
                batch = _batch(len(expected), xs)
                expected |= dict(zip(batch.column("id").to_pylist(), xs, strict=True))
                if xs:
                    parcels += sender.add(batch)
            parcels += sender.end()
    found: dict[int, int] = {}
    distinct: list[int] = []
    for number in range(buckets):
        bucket = Bucket(_streams(body) for to, body in reversed(parcels) if to == number)
        inputs = [row for rows in bucket.distinct for row in rows.to_pylist()]
        assert all(set(row) == {"x", "name"} and row["name"] == str(row["x"] % 3) for row in inputs)
        distinct += [row["x"] for row in inputs]
        assert bucket.rows == sum(lines.num_rows for lines in bucket.lines)
        for rows in bucket.distinct:
            assert set(fingerprint(rows, ["x", "name"]).to_pylist()) <= set(
                bucket.fingerprints.to_pylist()
            )
        for rows, fingerprints, which in bucket.places():
            assert rows.schema.names == ["id"] and len(fingerprints) == len(which) == rows.num_rows
            for id_, place in zip(rows.column("id").to_pylist(), which.tolist(), strict=True):
                assert id_ not in found
                found[id_] = inputs[place]["x"]
    assert found == expected
    assert Counter(distinct) == Counter(set(expected.values())), (
        "each distinct row is scored in one bucket, once"
    )


def test_fingerprints_that_share_their_first_word_are_not_taken_for_equal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = Fingerprinter.__call__

    def alike(self: Fingerprinter, batch: pa.RecordBatch) -> pa.Array:
        """Two first words, one above the other, in place of many."""
        halves = words(plain(self, batch)).copy()
        halves[:, 0] %= np.uint64(2)
        return pa.Array.from_buffers(pa.binary(16), len(halves), [None, pa.py_buffer(halves)]).cast(
            pa.binary()
        )

    monkeypatch.setattr(Fingerprinter, "__call__", alike)
    sender = Sender(["id"], ["x", "name"], 1)
    xs = [1, 2, 3, 1, 2, 3, 4, 5, 6, 6, 1]
    more = [7, 1, 8, 9, 7]
    parcels = [*sender.add(_batch(0, xs)), *sender.add(_batch(len(xs), more)), *sender.end()]
    bucket = Bucket(_streams(body) for _, body in parcels)
    inputs = [row["x"] for rows in bucket.distinct for row in rows.to_pylist()]
    assert set(inputs) == set(xs + more)
    found = [inputs[place] for _, _, which in bucket.places() for place in which]
    assert found == xs + more


@pytest.mark.parametrize(
    ("values", "low", "high"),
    [
        (lambda random: random.permutation(1_000_000), 990_000, 1_000_000),
        (lambda random: random.permutation(np.repeat(np.arange(100_000), 10)), 90_000, 110_000),
        (lambda random: random.permutation(np.repeat(np.arange(500_000), 2)), 450_000, 550_000),
        (
            lambda random: np.where(
                random.random(1_000_000) < 0.5, 0, random.permutation(1_000_000)
            ),
            450_000,
            520_000,
        ),
        (lambda random: random.integers(0, 50, 1_000_000), 50, 50),
    ],
    ids=["all distinct", "ten times each", "twice each", "half are one row", "few values"],
)
def test_the_estimate_from_a_sample(values: Any, low: int, high: int) -> None:
    every = values(np.random.default_rng(3)).astype(np.uint64)
    assert low <= estimated_distinct(every[:100_000], len(every)) <= high


def test_the_estimate_at_its_ends() -> None:
    assert estimated_distinct(np.empty(0, np.uint64), 10) == 10
    assert estimated_distinct(np.array([1, 1, 1], np.uint64), 1000) == 1
    assert estimated_distinct(np.array([1, 2, 3], np.uint64), 3) == 3
