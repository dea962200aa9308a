"""Proof that no key repeats: which blocks may share a key, and what a worker says of its blocks."""

from __future__ import annotations

import datetime as dt
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.inference.split_reading import whole_file
from batchinfer.json_values import from_json, to_json
from batchinfer.pipeline.slices.reading import SliceSplit
from batchinfer.pipeline.slices.unique_keys import (
    Block,
    KeysOf,
    Marks,
    look_at_keys,
    mark_keys,
    none_repeats,
    overlapping,
)


@given(st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=4), max_size=8))
def test_blocks_that_share_a_key_always_overlap(keys: list[list[int]]) -> None:
    blocks = [
        Block(0, len(each), False, [min(each)], [max(each)], task=number)
        for number, each in enumerate(keys)
    ]
    found = {block.task for block in overlapping(blocks)}
    for one in range(len(keys)):
        for other in range(one):
            if min(keys[one]) <= max(keys[other]) and min(keys[other]) <= max(keys[one]):
                assert {one, other} <= found
    apart = [
        number
        for number, block in enumerate(blocks)
        if all(
            block.high < each.low or each.high < block.low for each in blocks if each is not block
        )
    ]
    assert not found & set(apart), "blocks that lie apart from all others need no second look"


def _task(folder: Path, columns: dict[str, Any], key: list[str], row_group_size: int = 3) -> KeysOf:
    path = str(folder / "rows.parquet")
    pq.write_table(pa.table(columns), path, row_group_size=row_group_size)
    return KeysOf(SliceSplit(whole_file(path)), tuple(key))


def test_a_worker_says_of_each_block_where_its_keys_lie(tmp_path: Path) -> None:
    days = [dt.date(2026, 11, day) for day in (3, 1, 2, 9, 8, 9)]
    task = _task(tmp_path, {"day": days, "name": ["b", "a", "c", "x", "y", "z"]}, ["day", "name"])
    first = dt.date(1970, 1, 1)
    assert list(look_at_keys(task)) == [
        Block(0, 3, False, [(days[1] - first).days, "a"], [(days[0] - first).days, "b"]),
        Block(1, 3, False, [(days[4] - first).days, "y"], [(days[3] - first).days, "z"]),
    ]


def test_blocks_and_marks_travel_as_they_are() -> None:
    """A text that looks like a number stays one."""
    block = Block(0, 3, False, ["1", 2], ["10", 3])
    assert from_json(Block, to_json(block)) == block
    marks = Marks(bytes(range(16)))
    assert from_json(Marks, to_json(marks)) == marks


def test_rows_without_a_whole_key_do_not_count(tmp_path: Path) -> None:
    task = _task(tmp_path, {"a": [1, 1, None], "b": ["x", None, "x"]}, ["a", "b"])
    assert list(look_at_keys(task)) == [Block(0, 1, False, [1, "x"], [1, "x"])]
    nothing = _task(tmp_path, {"a": pa.array([None, None], pa.int64())}, ["a"])
    assert list(look_at_keys(nothing)) == []


@pytest.mark.parametrize(
    "values",
    [[7, 8, 7], ["a", "b", "a"], [0.5, 1.5, 2.5], [b"a", b"b", b"c"]],
    ids=["ints that repeat", "texts that repeat", "fractions", "bytes"],
)
def test_what_repeats_or_has_no_order_in_json_is_left_to_spark(
    tmp_path: Path, values: list[Any]
) -> None:
    (found,) = look_at_keys(_task(tmp_path, {"k": values}, ["k"]))
    assert found.repeats


def test_equal_keys_have_equal_marks_in_any_block(tmp_path: Path) -> None:
    task = _task(tmp_path, {"k": ["a", "b", "c", "d", "b", "e"]}, ["k"])
    both = mark_keys(replace(task, blocks=(0, 1)))
    one, two = (np.frombuffer(block.marks, "<i8").tolist() for block in both)
    assert one[1] == two[1] and len({*one, *two}) == 5
    assert len(list(mark_keys(replace(task, blocks=(1,))))) == 1


@given(
    st.lists(
        st.lists(st.one_of(st.none(), st.integers(-9, 40)), max_size=6), min_size=1, max_size=3
    )
)
def test_the_driver_is_certain_just_where_no_key_stands_twice(
    files: list[list[int | None]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        splits = []
        for number, keys in enumerate(files):
            place = Path(folder) / str(number)
            place.mkdir()
            splits.append(
                _task(
                    place, {"k": pa.array(keys, pa.int64()), "other": [0] * len(keys)}, ["k"], 2
                ).split
            )
        keys = [key for keys in files for key in keys if key is not None]
        assert none_repeats(splits, ["k"]) == (len(set(keys)) == len(keys))


@pytest.mark.parametrize(
    "values", [[0.5, 1.5, 2.5], [b"a", b"b", b"c"]], ids=["fractions", "bytes"]
)
def test_the_driver_leaves_to_spark_what_it_may_compare_in_another_way(
    tmp_path: Path, values: list[Any]
) -> None:
    assert not none_repeats([_task(tmp_path, {"k": values}, ["k"]).split], ["k"])
