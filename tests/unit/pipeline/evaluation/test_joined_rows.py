"""Outcomes find their predictions, in one part or in many."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from batchinfer.errors import InputError
from batchinfer.pipeline.evaluation import joined_rows
from batchinfer.pipeline.evaluation.joined_rows import OUTCOME, Side, join_rows

DAY = dt.date(2026, 11, 21)
NOON = dt.datetime(2026, 11, 21, 12)


def side(what: str, keys: list[pa.Array], **columns: pa.Array) -> Side:
    names = [f"key_{place}" for place in range(len(keys))]
    batch = pa.record_batch([*keys, *columns.values()], [*names, *columns])
    halves = [batch.slice(0, batch.num_rows // 2), batch.slice(batch.num_rows // 2)]
    types = tuple(key.type for key in keys)
    return Side(what, tuple(f"{what}_{name}" for name in names), types, halves, batch.num_rows)


def joined(own: Side, came: Side, part_rows: int) -> tuple[dict[int, Any], int, int]:
    """Outcome by place of the prediction; outcomes of other keys; parts."""
    parts = list(join_rows(own, came, None, part_rows))
    rows = [row for part in parts for row in part.rows.to_pylist()]
    places = [row["place"] for row in rows]
    assert len(set(places)) == len(places)
    found = {row["place"]: row[OUTCOME] for row in rows}
    return found, sum(part.others for part in parts), len(parts)


def test_many_parts_say_what_one_says() -> None:
    count = 3_000
    keys = [pa.array([n % 700 for n in range(count)]), pa.array([str(n % 3) for n in range(count)])]
    own = side("predictions", keys, place=pa.array(range(count)))
    wanted = [pa.array([n % 350 for n in range(1050)]), pa.array([str(n % 3) for n in range(1050)])]
    came = side("outcomes", wanted, value=pa.array([n * 1.5 for n in range(1050)]))
    whole, others, parts = joined(own, came, 10_000)
    assert parts == 1 and len(whole) == count
    cut, cut_others, many = joined(own, came, 100)
    assert many > 20 and (cut, cut_others) == (whole, others)
    keyed = {(n % 350, str(n % 3)): n * 1.5 for n in range(1050)}
    assert whole == {n: keyed.get((n % 700, str(n % 3))) for n in range(count)}
    assert others == len(keyed.keys() - {(n % 700, str(n % 3)) for n in range(count)})


def test_wide_rows_go_into_more_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [pa.array(range(100))]
    own = side("predictions", keys, place=keys[0], wide=pa.array(["x" * 1000] * 100))
    came = side("outcomes", keys, value=keys[0])
    assert joined(own, came, 1_000)[2] == 1
    monkeypatch.setattr(joined_rows, "_PART_BYTES", 10_000)
    found, _, parts = joined(own, came, 1_000)
    assert parts > 5 and found == {n: n for n in range(100)}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (pa.array([1, 2], pa.int16()), pa.array([2, 1], pa.int64())),
        (pa.array(["1", "2"]), pa.array(["2", "1"], pa.large_string())),
        (pa.array([1.5, 2.5], pa.float32()), pa.array([2.5, 1.5], pa.float64())),
        (pa.array([DAY, None]), pa.array([None, DAY])),
        (
            pa.array([NOON, None], pa.timestamp("us", "UTC")),
            pa.array([None, NOON], pa.timestamp("ns", "UTC")),
        ),
        (
            pa.array([Decimal("1.50"), None], pa.decimal128(8, 2)),
            pa.array([None, Decimal("1.50")], pa.decimal128(20, 2)),
        ),
        (pa.array([b"1", b"2"]), pa.array([b"2", b"1"], pa.large_binary())),
    ],
)
@pytest.mark.parametrize("part_rows", [100, 1])
def test_keys_of_one_kind_match_whatever_their_width(
    one: pa.Array, other: pa.Array, part_rows: int
) -> None:
    own = side("predictions", [one], place=pa.array([0, 1]))
    found, _, _ = joined(own, side("outcomes", [other], value=pa.array([20, 10])), part_rows)
    assert found == {0: 10, 1: None if one.null_count else 20}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (pa.array([7]), pa.array(["7"])),
        (pa.array([7]), pa.array([7.0])),
        (pa.array([DAY]), pa.array([NOON])),
        (pa.array([NOON]), pa.array([NOON], pa.timestamp("us", "UTC"))),
        (pa.array([Decimal("1.5")]), pa.array([Decimal("1.50")])),
    ],
)
def test_keys_of_two_kinds_are_refused(one: pa.Array, other: pa.Array) -> None:
    own = side("predictions", [one], place=pa.array([0]))
    with pytest.raises(InputError, match=r"outcomes_key_0 of outcomes is .*: they never match"):
        list(join_rows(own, side("outcomes", [other], value=pa.array([1]))))


def test_newest_rows_that_differ_are_refused_and_older_ones_do_not_matter() -> None:
    own = side("predictions", [pa.array([1, 2])], place=pa.array([0, 1]))
    keys, at = pa.array([1, 1, 2, 2]), pa.array(["a", "b", None, "a"])
    came = side("outcomes", [keys], at=at, value=pa.array([1, 2, 3, 4]))
    assert joined(own, came, 100)[0] == {0: 2, 1: 4}
    tied = side("outcomes", [keys], at=pa.array(["a", "b", "c", "c"]), value=pa.array([1, 2, 3, 4]))
    with pytest.raises(InputError, match=r"1 keys have outcomes that differ at the time .*: 3, 4"):
        list(join_rows(own, tied))
