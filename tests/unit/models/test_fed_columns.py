"""Landed columns as a model takes them, and the rows that it cannot be asked about."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from batchinfer.errors import UnfitRows
from batchinfer.models.elsewhere.fed_columns import (
    frame_of_feed,
    matrix_of_feed,
    texts_of_feed,
)
from batchinfer.models.elsewhere.feeds import feed_from_columns
from batchinfer.models.formats.artifact import ModelInput, Predictor

LISTS = pa.array([[1.0, 2.0], [3.0], None, [4.0, 5.0]], pa.list_(pa.float64()))
BATCH = pa.record_batch(
    {
        "n": pa.array([1, None, 3, 2**60], pa.int64()),
        "x": pa.array([0.5, None, float("nan"), 1e300]),
        "v": LISTS,
        "t": pa.array(["a", None, "", "b"]),
        "b": pa.array([True, None, False, True]),
    }
)


def feed(*columns: str, type_: str = "float64", **more: Any) -> dict[str, Any]:
    return {"input": "m", "type": type_, "columns": list(columns), "flat": False, **more}


@pytest.mark.parametrize(
    ("read", "given", "rows"),
    [
        (matrix_of_feed, feed("n", type_="int64"), [1]),
        (matrix_of_feed, feed("v", lengths={"v": 2}), [1, 2]),
        (matrix_of_feed, feed("v"), [2]),
        (texts_of_feed, feed("t", type_="string"), [1]),
        (frame_of_feed, feed("n", type_="frame", casts={"n": "bigint"}), [1]),
        (frame_of_feed, feed("n", type_="frame", casts={"n": "int"}), [1, 3]),
        (frame_of_feed, feed("n", type_="frame", casts={"n": "double"}), [3]),
        (frame_of_feed, feed("x", type_="frame", casts={"x": "float"}), [3]),
        (frame_of_feed, feed("x", type_="frame", casts={"x": "bigint"}), [0, 1, 2, 3]),
    ],
)
def test_rows_that_the_model_cannot_be_asked_about_are_named(
    read: Any, given: dict[str, Any], rows: list[int]
) -> None:
    # 2**60 + 1 has no double of its own, and 1e300 no float.
    batch = BATCH.set_column(0, "n", pa.array([1, None, 3, 2**60 + 1], pa.int64()))
    with pytest.raises(UnfitRows) as told:
        read(batch, given)
    assert sorted(told.value.rows) == rows
    assert all(
        why.startswith(f"column {given['columns'][0]}: ") for why in told.value.rows.values()
    )


def test_a_word_stands_for_a_null_in_texts_and_numbers() -> None:
    words = {"n": {"kind": "value", "value": -9}, "t": {"kind": "value", "value": "?"}}
    assert matrix_of_feed(BATCH, feed("n", type_="int64", words=words))[:, 0].tolist() == [
        1, -9, 3, 2**60,
    ]  # fmt: skip
    texts = texts_of_feed(BATCH, feed("t", type_="string", words=words))
    assert texts[:, 0].tolist() == ["a", "?", "", "b"]


@pytest.mark.parametrize(
    ("word", "missing"), [({"kind": "none"}, None), ({"kind": "nan"}, np.nan),
                          ({"kind": "value", "value": "?"}, "?")],
)  # fmt: skip
def test_a_frame_is_what_pandas_reads_with_the_word_in_place_of_nulls(
    word: dict[str, Any], missing: Any
) -> None:
    frame = frame_of_feed(BATCH, feed("t", "x", type_="frame", words={"t": word}))
    found = frame["t"].tolist()
    assert found[0] == "a" and found[2:] == ["", "b"]
    assert repr(found[1]) == repr(missing)
    assert frame["x"].dtype == np.float64 and np.isnan(frame["x"][1:3]).all()


def test_the_length_of_a_list_is_what_the_models_width_leaves_for_it() -> None:
    model = Predictor([ModelInput("m", "float64", (3,))], names=("x", "v"))
    fields = {name: BATCH.schema.field(name).type for name in BATCH.schema.names}
    [found] = feed_from_columns(model, (), fields, ()).feeds
    assert found["columns"] == ["x", "v"] and found["lengths"] == {"v": 2}
    with pytest.raises(UnfitRows) as told:
        matrix_of_feed(BATCH, found)
    assert told.value.rows[1] == "column v: a vector of 1 values; the model takes 2"
