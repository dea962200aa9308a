"""What models of trees are fed: columns by name, categories and numbers held against the model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from batchinfer.errors import ConfigError, ModelError, UnfitRows
from batchinfer.models.elsewhere.fed_columns import frame_of_feed, matrix_of_feed
from batchinfer.models.elsewhere.feeds import Feeds, feed_from_columns
from batchinfer.models.elsewhere.tree_feeds import check_feature_names, with_unseen
from batchinfer.models.formats.boosting.boosted import BoostedTrees, TreeInputs

FIELDS = {
    "b": pa.float64(),
    "kind": pa.string(),
    "a": pa.int64(),
    "on": pa.bool_(),
    "f1": pa.float64(),
    "f0": pa.float64(),
}
BATCH = pa.record_batch(
    {
        "b": [1.5, None, 1e300, float("inf")],
        "kind": ["x", None, "q", "y"],
        "a": [2**53 + 1, None, 3, 4],
        "on": [True, None, False, True],
        "f1": [0.0] * 4,
        "f0": [1.0] * 4,
    },
    schema=pa.schema(list(FIELDS.items())),
)
MIXED = TreeInputs(4, ("a", "kind", "on", "b"), {"kind": ("x", "y")})


def fed(takes: TreeInputs) -> Feeds:
    return feed_from_columns(BoostedTrees(takes), (), FIELDS, {"f0", "f1"})


def test_columns_are_chosen_by_the_models_names() -> None:
    feeds = fed(TreeInputs(2, ("b", "a")))
    assert feeds.columns == ("b", "a")
    assert feeds.feeds[0] | {"columns": 0} == {
        "input": "features",
        "type": "float32",
        "columns": 0,
        "flat": False,
        "finite": True,
    }
    with pytest.raises(ModelError, match="names the column c"):
        fed(TreeInputs(2, ("b", "c")))
    with pytest.raises(ModelError, match="'features'; kind is string"):
        fed(TreeInputs(2, ("b", "kind")))


def test_a_librarys_own_names_count_only_where_all_have_landed() -> None:
    assert fed(TreeInputs(2, spare=("f0", "f1"))).columns == ("f0", "f1")
    assert fed(TreeInputs(3, spare=("f0", "f1", "f2"))).columns == ("b", "a", "on")
    with pytest.raises(ModelError, match="takes 5 values a row"):
        fed(TreeInputs(5, spare=("f0",)))


def test_numbers_past_the_models_type_name_their_rows() -> None:
    feed = fed(TreeInputs(3, ("on", "b", "a"))).feeds[0]
    with pytest.raises(UnfitRows) as caught:
        matrix_of_feed(BATCH, feed)
    assert list(caught.value.rows) == [2, 3]
    assert "column b: infinity, or a number too large for float32" in caught.value.rows[2]
    found = matrix_of_feed(BATCH.slice(0, 2), feed).numpy()
    np.testing.assert_array_equal(found, [[1, 1.5, np.float32(2**53)], [np.nan] * 3])
    wide = fed(TreeInputs(1, ("b",), type="float64", finite=False)).feeds[0]
    assert matrix_of_feed(BATCH, wide).numpy()[2:, 0].tolist() == [1e300, np.inf]


def test_a_frame_has_numbers_in_the_models_type() -> None:
    feed = fed(MIXED).feeds[0]
    with pytest.raises(UnfitRows) as caught:
        frame_of_feed(BATCH, feed)
    assert list(caught.value.rows) == [2, 3]
    frame = frame_of_feed(BATCH.slice(0, 2), feed)
    assert list(frame.columns) == ["a", "kind", "on", "b"]
    assert [str(type_) for type_ in frame.dtypes] == ["float32", "object", "float32", "float32"]
    assert frame["on"].isna().tolist() == [False, True] and frame["kind"][0] == "x"


@pytest.mark.parametrize(
    ("takes", "says"),
    [
        (TreeInputs(2, ("a", "kind"), {"a": ("x",)}), r"a is a category \(x\) .* is int64"),
        (TreeInputs(2, ("a", "kind"), {"a": (1,)}), "kind is a number to the model"),
        (TreeInputs(2, ("a", "kind"), {"kind": (1, 2)}), r"category \(1, 2\) .* is string"),
        (TreeInputs(2, ("a", "on"), {"on": (1, 0)}), "landed column of that name is bool"),
        (TreeInputs(2, ("a", "b"), texts=("b",)), r"b is a category \(text or"),
    ],
)
def test_a_column_of_another_kind_than_in_training_is_refused(takes: TreeInputs, says: str) -> None:
    with pytest.raises(ModelError, match=says):
        fed(takes)


def test_unseen_categories_are_missing_or_name_their_rows() -> None:
    rows = BATCH.select(["a", "kind", "on", "f0"])
    takes = TreeInputs(4, ("a", "kind", "on", "f0"), {"kind": ("x", "y")})
    feeds = feed_from_columns(BoostedTrees(takes), (), FIELDS, ())
    assert with_unseen(feeds.feeds, takes, "own") is feeds.feeds
    assert frame_of_feed(rows, feeds.feeds[0])["kind"].tolist() == ["x", None, "q", "y"]
    null = with_unseen(feeds.feeds, takes, "null")[0]
    assert frame_of_feed(rows, null)["kind"].tolist() == ["x", None, None, "y"]
    with pytest.raises(UnfitRows) as caught:
        frame_of_feed(rows, with_unseen(feeds.feeds, takes, "fail")[0])
    message = "column kind: got 'q', which was not among the 2 categories of the training"
    assert caught.value.rows == {2: message}


@pytest.mark.parametrize("takes", [None, TreeInputs(1, ("b",))])
def test_without_a_list_of_categories_unseen_is_refused(takes: Any) -> None:
    with pytest.raises(ConfigError, match=r"got fail, .* lists no categories"):
        with_unseen([], takes, "fail")


def test_a_matrix_of_features_has_the_models_names_in_its_order() -> None:
    check_feature_names(("a", "b"), ["a", "b"])
    for made, says in (
        (["b", "a"], "feature 0 is 'a' to the model and 'b'"),
        (["a"], "feature 1 is 'b' to the model and 'none'"),
        (["a", "b", "c"], "feature 2 is 'none' to the model and 'c'"),
    ):
        with pytest.raises(ModelError, match=says):
            check_feature_names(("a", "b"), made)
