"""Files of boosted trees: told by their bytes, and refused before a library reads them where they
would lead it past its arrays or in a circle.
"""

from __future__ import annotations

import contextlib
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tree_files import LIGHTGBM_TREE, a_catboost, a_lightgbm, an_xgboost, as_ubjson

from batchinfer.errors import ModelError
from batchinfer.models.formats.boosting.catboost_file import check_catboost
from batchinfer.models.formats.boosting.lightgbm_file import read_lightgbm
from batchinfer.models.formats.boosting.ubjson import read_ubjson
from batchinfer.models.formats.boosting.xgboost_file import read_xgboost
from batchinfer.models.formats.recognition import read_artifact

Model = dict[str, Any]


@pytest.mark.parametrize("write", [lambda model: json.dumps(model).encode(), as_ubjson])
def test_what_an_xgboost_file_says(write: Callable[[Model], bytes], tmp_path: Path) -> None:
    data = write(an_xgboost())
    found = read_xgboost(data)
    assert (found.width, found.names, found.types) == (2, ("size", "kind"), ("float", "c"))
    assert found.categories == {"kind": ("x", "y", "é")}
    assert (found.objective, found.outputs, found.rounds) == ("binary:logistic", 1, 1)
    assert (found.estimator, found.best_iteration) == ("classifier", None)
    (tmp_path / "model").write_bytes(data)
    assert read_artifact(tmp_path / "model", "none").format == "xgboost"


def test_what_a_lightgbm_file_says(tmp_path: Path) -> None:
    found = read_lightgbm(a_lightgbm())
    assert (found.names, found.objective, found.outputs) == (("size", "kind"), "binary", 1)
    assert found.categories == {"kind": ("x", "y", "z")} and found.named
    file = tmp_path / "model.txt"
    file.write_bytes(a_lightgbm())
    assert read_artifact(file, "none").format == "lightgbm"
    file.rename(file.with_suffix(".json"))
    with pytest.raises(ModelError, match="named as an XGBoost model, but it is a LightGBM model"):
        read_artifact(file.with_suffix(".json"), "none")


def test_other_json_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "net.json").write_text('{"class": "my:Net"}')
    with pytest.raises(ModelError, match="not the file of a model that is known"):
        read_artifact(tmp_path / "net.json", "none")


def _model(model: Model) -> Model:
    return model["learner"]["gradient_booster"]["model"]


def _tree(model: Model) -> Model:
    return _model(model)["trees"][0]


def _put(place: Callable[[Model], Any], name: str, value: Any) -> Callable[[Model], None]:
    return lambda model: place(model).__setitem__(name, value)


HOSTILE: list[tuple[Callable[[Model], None], str]] = [
    (_put(_tree, "left_children", [0, -1, 3, -1, -1]), "no tree"),
    (_put(_tree, "left_children", [2, -1, 3, -1, -1]), "no tree"),
    (_put(_tree, "left_children", [1, -1, 0, -1, -1]), "no tree"),
    (_put(_tree, "left_children", [1, -1, 9, -1, -1]), "a child: got 9"),
    (_put(_tree, "left_children", [1, -1, -7, -1, -1]), "a child: got -7"),
    (_put(_tree, "right_children", [2, 3, 4, -1, -1]), "has one child"),
    (_put(_tree, "left_children", [1, -1, 3]), "got 3 values; expected 5"),
    (_put(_tree, "parents", [2147483647, 0, 4, 2, 2]), "parents"),
    (_put(_tree, "parents", [3, 0, 0, 2, 2]), "parents"),
    (_put(_tree, "split_indices", [2, 0, 1, 0, 0]), "split_indices: got 2"),
    (_put(_tree, "split_indices", [-1, 0, 1, 0, 0]), "split_indices: got -1"),
    (_put(_tree, "split_conditions", [1.5]), "got 1 values; expected 5"),
    (_put(_tree, "split_type", [0, 0, 2, 0, 0]), "split_type"),
    (_put(_tree, "default_left", []), "default_left"),
    (_put(_tree, "categories_nodes", [4]), "categories_nodes"),
    (_put(_tree, "categories_sizes", [9]), "categories_sizes"),
    (_put(_tree, "categories_segments", [1]), "categories_segments"),
    (_put(_tree, "categories", [0, 2**31]), "categories: got 2147483648"),
    (_put(lambda model: _tree(model)["tree_param"], "num_nodes", "6"), "expected 6"),
    (_put(lambda model: _tree(model)["tree_param"], "num_nodes", "x"), "no whole number"),
    (_put(lambda model: _tree(model)["tree_param"], "size_leaf_vector", "3"), "vectors"),
    (_put(_model, "tree_info", [1]), "tree_info: got 1"),
    (_put(_model, "tree_info", []), "tree_info"),
    (_put(_model, "iteration_indptr", [0, 4]), "iteration_indptr"),
    (_put(_model, "iteration_indptr", [0, 1, 0, 1]), "iteration_indptr"),
    (_put(_model, "trees", []), "0 trees"),
    (_put(_model, "trees", [7]), "is no tree"),
    (_put(lambda model: _model(model)["cats"], "sorted_idx", [0, 1, 1]), "sorted_idx"),
    (_put(lambda model: _model(model)["cats"], "feature_segments", [0, 0, 9]), "segments"),
    (_put(lambda model: _model(model)["cats"]["enc"][1], "offsets", [0, 9, 4]), "offsets"),
    (_put(lambda model: _model(model)["cats"]["enc"][1], "values", [120, 121, 195]), "offsets"),
    (_put(lambda model: model["learner"], "feature_names", ["size"]), "1 feature_names"),
    (_put(lambda model: model["learner"], "feature_names", ["size", "size"]), "stands twice"),
    (_put(lambda model: model["learner"], "gradient_booster", {"name": "x"}), "booster 'x'"),
    (_put(lambda model: model, "learner", []), "no section learner"),
    (
        _put(lambda model: model["learner"]["learner_model_param"], "num_class", "999999999"),
        "num_class: got 999999999",
    ),
    (
        _put(lambda model: model["learner"]["learner_model_param"], "base_score", "[1,2]"),
        "base_score: got 2 values",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("spoil", "says"), HOSTILE)
@pytest.mark.parametrize("write", [lambda model: json.dumps(model).encode(), as_ubjson])
def test_an_xgboost_file_that_leads_astray_is_refused(
    spoil: Callable[[Model], None], says: str, write: Callable[[Model], bytes]
) -> None:
    model = an_xgboost()
    read_xgboost(write(model))
    spoil(model)
    with pytest.raises(ModelError, match=says) as caught:
        read_xgboost(write(model))
    assert caught.value.exit_code == 7


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("left_child=1 -1", "left_child=0 -1", "no tree"),
        ("left_child=1 -1", "left_child=-1 -1", "no tree"),
        ("left_child=1 -1", "left_child=7 -1", "a child: got|no tree|out"),
        ("right_child=-3 -2", "right_child=-9 -2", "a leaf: got 8"),
        ("right_child=-3 -2", "right_child=-3", "got 1 values; expected 2"),
        ("split_feature=1 0", "split_feature=2 0", "split_feature: got 2"),
        ("threshold=0 0.5", "threshold=4 0.5", "categories: got 4"),
        ("threshold=0 0.5", "threshold=0", "threshold"),
        ("decision_type=1 2", "decision_type=99 2", "decision_type: got 99"),
        ("cat_boundaries=0 1", "cat_boundaries=0 7", "cat_boundaries"),
        ("cat_threshold=5", "cat_threshold=-5", "cat_threshold"),
        ("num_cat=1", "num_cat=0", "splits by categories, and has none"),
        ("num_leaves=3", "num_leaves=300", "expected 300"),
        ("leaf_value=0.25 -0.5 0.75", "leaf_value=0.25 -0.5", "leaf_value"),
        ("is_linear=0", "is_linear=1", "leaf_const"),
        ("shrinkage=1", "shrinkage=1\nnum_leaves=900", "stands twice"),
    ],
)
def test_a_lightgbm_tree_that_leads_astray_is_refused(old: str, new: str, says: str) -> None:
    assert old in LIGHTGBM_TREE
    with pytest.raises(ModelError, match=says):
        read_lightgbm(a_lightgbm(LIGHTGBM_TREE.replace(old, new)))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (b"tree_sizes=", b"tree_sizes=9", "not where the header says"),
        (b"tree_sizes=", b"tree_sizes=-", "0 trees|1 trees"),
        (b"max_feature_idx=1", b"max_feature_idx=0", "of 1 features"),
        (b"max_feature_idx=1", b"max_feature_idx=x", "no whole number"),
        (b"num_tree_per_iteration=1", b"num_tree_per_iteration=3", "1 trees for 3 outputs"),
        (b"feature_names=size kind", b"feature_names=size size", "stands twice"),
        (b"end of trees", b"end of tree", "do not end"),
        (b"[categorical_feature: 1]", b"[categorical_feature: 7]", "categorical_feature: got 7"),
        (b"[categorical_feature: 1]", b"[categorical_feature: ]", "cannot be told"),
        (b'[["x", "y", "z"]]', b'[["x", "y", "z"]', "pandas_categorical"),
        (b"label_index=0", b"label_index=0\0", "zero byte"),
    ],
)
def test_a_lightgbm_header_that_leads_astray_is_refused(old: bytes, new: bytes, says: str) -> None:
    data = a_lightgbm()
    assert old in data
    with pytest.raises(ModelError, match=says):
        read_lightgbm(data.replace(old, new))


@pytest.mark.parametrize(
    ("read", "data"),
    [
        (read_xgboost, as_ubjson(an_xgboost())),
        (read_xgboost, json.dumps(an_xgboost()).encode()),
        (read_lightgbm, a_lightgbm()),
        (check_catboost, json.dumps(a_catboost()).encode()),
    ],
    ids=["ubjson", "json", "lightgbm", "catboost"],
)
@settings(max_examples=300, deadline=None)
@given(chance=st.data())
def test_whatever_stands_in_a_file_it_is_read_or_refused(
    read: Callable[[bytes], Any], data: bytes, chance: st.DataObject
) -> None:
    """Bytes that were changed, cut off or doubled never end in another error than ours."""
    start = chance.draw(st.integers(0, len(data)))
    end = chance.draw(st.integers(start, min(len(data), start + 40)))
    put = chance.draw(st.binary(max_size=8) | st.sampled_from([b"-1", b"9" * 30, b"[[", b"NaN"]))
    with contextlib.suppress(ModelError):
        read(data[:start] + put + data[end:])


def test_lengths_of_ubjson_are_held_against_the_bytes() -> None:
    assert read_ubjson(b"{U\x01a[$U#U\x02\x07\x08U\x01bTU\x01cZ}") | {"a": 0} == {
        "a": 0,
        "b": True,
        "c": None,
    }
    np.testing.assert_array_equal(read_ubjson(b"[$U#U\x02\x07\x08"), [7, 8])
    huge = struct.pack(">q", 2**62)
    for data in (
        b"SL" + huge,
        b"[$d#L" + huge,
        b"[#L" + huge,
        b"[" * 500,
        b"{U\x01aU",
        b"[$d#i\xff",
    ):
        with pytest.raises(ModelError, match="damaged or cut off"):
            read_ubjson(data)


def _split(model: Model) -> Model:
    return model["oblivious_trees"][0]["splits"][0]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_put(_split, "split_index", 3), "split_index: got 3"),
        (_put(_split, "split_index", None), "whole numbers"),
        (_put(_split, "float_feature_index", -1), "float_feature_index: got -1"),
        (_put(lambda m: m["oblivious_trees"][0], "leaf_values", [1.0]), "expected 4"),
        (_put(lambda m: m["oblivious_trees"][0], "splits", [7]), "a split is none"),
        (_put(lambda m: m["oblivious_trees"][0], "splits", [{}] * 17), "17 splits"),
        (_put(lambda m: m, "oblivious_trees", []), "no trees"),
        (_put(lambda m: m, "scale_and_bias", [1, [0, 0]]), "expected 8"),
        (_put(lambda m: m, "features_info", {}), "two features stand in one place, or"),
        (
            _put(lambda m: m["features_info"]["float_features"][0], "flat_feature_index", 1),
            "two features stand in one place",
        ),
    ],
)
def test_a_catboost_file_that_leads_astray_is_refused(
    spoil: Callable[[Model], None], says: str
) -> None:
    model = a_catboost()
    check_catboost(json.dumps(model).encode())
    spoil(model)
    with pytest.raises(ModelError, match=says):
        check_catboost(json.dumps(model).encode())


def test_trees_that_are_not_symmetric_are_walked(tmp_path: Path) -> None:
    model = a_catboost()
    split = model.pop("oblivious_trees")[0]["splits"][0]
    leaf = {"value": 0.5, "weight": 1}
    model["trees"] = [{"split": split, "left": leaf, "right": {**leaf, "value": [0.5]}}]
    check_catboost(json.dumps(model).encode())
    model["trees"][0]["left"] = {"split": {**split, "split_index": 9}}
    with pytest.raises(ModelError, match="split_index: got 9"):
        check_catboost(json.dumps(model).encode())
    deep: Model = leaf
    for _ in range(70):
        deep = {"split": split, "left": deep, "right": leaf}
    model["trees"] = [deep]
    with pytest.raises(ModelError, match="nested deeper"):
        check_catboost(json.dumps(model).encode())
    (tmp_path / "model.json").write_text(json.dumps(a_catboost()))
    assert read_artifact(tmp_path / "model.json", "none").format == "catboost"


@pytest.mark.parametrize("data", [b"CBM1", b"CBM1\x09\0\0\0abc", b"CBM1\0\0\0\0", b"{}", b"x"])
def test_a_catboost_file_that_was_cut_off_is_refused(data: bytes) -> None:
    with pytest.raises(ModelError, match="damaged"):
        check_catboost(data)
    check_catboost(b"CBM1\x03\0\0\0abc")


def test_a_place_of_categories_past_every_whole_number_is_refused() -> None:
    data = a_lightgbm().replace(b"threshold=0 0.5", b"threshold=9e30 0.5")
    assert data != a_lightgbm()
    with pytest.raises(ModelError, match="categories"):
        read_lightgbm(data)
