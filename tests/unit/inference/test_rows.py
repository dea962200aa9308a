"""A few rows in process: each has its answer, in its place."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import pytest
from fake_handlers import Doubling
from hypothesis import given, settings
from hypothesis import strategies as st

from batchinfer.errors import InputError, ModelError
from batchinfer.inference.pandas_columns import frame_of_mappings
from batchinfer.inference.rows import predict_frame

SIGNATURE = {"inputs": [{"name": "x", "type": "bigint"}]}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from([0, 1, 2, 3, 1.5, "no number"]), max_size=20),
    st.sets(st.integers(0, 3)),
)
def test_every_row_has_its_own_answer(values: list[Any], poison: set[int]) -> None:
    index = [f"row {i}" for i in range(len(values))]
    found = predict_frame(
        Doubling(sorted(poison)),
        pd.DataFrame({"other": 0, "x": pd.Series(values, index, dtype=object)}, index),
        SIGNATURE,
    )
    assert list(found.columns) == ["score", "label", "error"]
    assert list(found.index) == index
    for value, (_, row) in zip(values, found.iterrows(), strict=True):
        if value in (1.5, "no number"):
            assert row["error"].startswith("encode_error: column x: got ")
            assert math.isnan(row["score"])
        elif value in poison:
            assert row["error"] == f"model_error: ValueError: cannot take {value}"
            assert math.isnan(row["score"])
            assert row["label"] is None
        else:
            assert (row["error"], row["score"], row["label"]) == (
                None,
                2.0 * value + 1,
                ("even", "odd")[value % 2],
            )


def test_categories_and_extension_types() -> None:
    for series in (
        pd.Series([1, 2], dtype="Int64"),
        pd.Series([1, 2]).astype("category"),
        pd.Series([1, 2], dtype="int8"),
    ):
        assert predict_frame(Doubling(), pd.DataFrame({"x": series}), SIGNATURE)[
            "score"
        ].tolist() == [3.0, 5.0]


def test_missing_columns_are_the_signature_s_matter() -> None:
    with pytest.raises(ModelError, match="the frame has no column x; the model's signature is x"):
        predict_frame(Doubling(), pd.DataFrame({"y": [1]}), SIGNATURE)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from([{"x": 1}, {"x": 2.0}, {"y": 3}, {"x": None, "y": 4}, {"x": "?"}])))
def test_rows_as_mappings_have_the_answers_of_a_frame(rows: list[dict[str, Any]]) -> None:
    values = pd.Series([row.get("x") for row in rows], dtype=object)
    by_frame = predict_frame(Doubling(), pd.DataFrame({"x": values}), SIGNATURE)
    if rows and not any("x" in row for row in rows):
        with pytest.raises(ModelError, match="the frame has no column x"):
            predict_frame(Doubling(), rows, SIGNATURE)
        return
    pd.testing.assert_frame_equal(predict_frame(Doubling(), rows, SIGNATURE), by_frame)


def test_whole_numbers_beside_a_missing_one_keep_their_digits() -> None:
    large = 2**60 + 1
    frame = frame_of_mappings([{"x": large}, {}, {"x": large, "y": 0}], ["x"])
    assert frame["x"].tolist() == [large, None, large] and list(frame.columns) == ["x"]


def test_a_row_that_is_no_mapping_is_told_with_its_place() -> None:
    with pytest.raises(InputError, match="row 1: got tuple; allowed: a mapping of column to value"):
        predict_frame(Doubling(), [{"x": 1}, ("x", 1)], SIGNATURE)


@pytest.mark.parametrize("rows", [{"x": 1}, None, "x"])
def test_what_is_no_frame_is_told(rows: Any) -> None:
    with pytest.raises(InputError, match=f"got {type(rows).__name__}; allowed: a pandas DataFrame"):
        predict_frame(Doubling(), rows, SIGNATURE)


def test_text_without_utf8_costs_its_row() -> None:
    signature = {"inputs": [{"name": "t", "type": "string"}]}
    frame = pd.DataFrame({"t": ["fine", "\ud800"]})
    errors = predict_frame(Doubling(), frame, signature)["error"].to_list()
    assert "t: got '\\ud800'" in errors[1] and "t: got" not in (errors[0] or "")


def test_no_rows() -> None:
    found = predict_frame(Doubling(), pd.DataFrame({"x": pd.Series([], dtype="int64")}), SIGNATURE)
    assert list(found.columns) == ["score", "label", "error"]
    assert len(found) == 0
