"""Files of boosted trees as their libraries write them, small enough to be read, made without the
libraries.
"""

from __future__ import annotations

import copy
import struct
from typing import Any

import numpy as np

_TREE: dict[str, Any] = {
    "base_weights": [0.0, -0.5, 0.5, 0.25, 0.75],
    "categories": [0, 2],
    "categories_nodes": [2],
    "categories_segments": [0],
    "categories_sizes": [2],
    "default_left": [1, 0, 0, 0, 0],
    "id": 0,
    "left_children": [1, -1, 3, -1, -1],
    "loss_changes": [2.0, 0.0, 1.0, 0.0, 0.0],
    "parents": [2147483647, 0, 0, 2, 2],
    "right_children": [2, -1, 4, -1, -1],
    "split_conditions": [1.5, -0.5, 1e-45, 0.25, 0.75],
    "split_indices": [0, 0, 1, 0, 0],
    "split_type": [0, 0, 1, 0, 0],
    "sum_hessian": [4.0, 2.0, 2.0, 1.0, 1.0],
    "tree_param": {
        "num_deleted": "0",
        "num_feature": "2",
        "num_nodes": "5",
        "size_leaf_vector": "1",
    },
}
_XGBOOST: dict[str, Any] = {
    "learner": {
        "attributes": {"scikit_learn": '{"_estimator_type": "classifier"}'},
        "feature_names": ["size", "kind"],
        "feature_types": ["float", "c"],
        "gradient_booster": {
            "model": {
                "cats": {
                    "enc": [
                        {"offsets": [], "values": []},
                        {"offsets": [0, 1, 2, 4], "values": [120, 121, 195, 169]},
                    ],
                    "feature_segments": [0, 0, 3],
                    "sorted_idx": [0, 1, 2],
                },
                "gbtree_model_param": {"num_parallel_tree": "1", "num_trees": "1"},
                "iteration_indptr": [0, 1],
                "tree_info": [0],
                "trees": [_TREE],
            },
            "name": "gbtree",
        },
        "learner_model_param": {
            "base_score": "[4.36E-1]",
            "boost_from_average": "1",
            "num_class": "0",
            "num_feature": "2",
            "num_target": "1",
        },
        "objective": {
            "name": "binary:logistic",
            "reg_loss_param": {"scale_pos_weight": "1"},
        },
    },
    "version": [3, 2, 0],
}

LIGHTGBM = """\
tree
version=v4
num_class=1
num_tree_per_iteration=1
label_index=0
max_feature_idx=1
objective=binary sigmoid:1
feature_names=size kind
feature_infos=[-3:3] -1:1:0:2
tree_sizes=SIZE

TREE
end of trees

feature_importances:
size=1

parameters:
[categorical_feature: 1]
[linear_tree: 0]

end of parameters

pandas_categorical:[["x", "y", "z"]]
"""
LIGHTGBM_TREE = """\
Tree=0
num_leaves=3
num_cat=1
split_feature=1 0
split_gain=4 2
threshold=0 0.5
decision_type=1 2
left_child=1 -1
right_child=-3 -2
leaf_value=0.25 -0.5 0.75
leaf_weight=1 1 1
leaf_count=1 1 1
internal_value=0 0
internal_weight=3 2
internal_count=3 2
cat_boundaries=0 1
cat_threshold=5
is_linear=0
shrinkage=1

"""

_CATBOOST: dict[str, Any] = {
    "features_info": {
        "float_features": [
            {"borders": [0.5, 1.5], "feature_index": 0, "flat_feature_index": 0},
            {"borders": [2.0], "feature_index": 1, "flat_feature_index": 1},
        ]
    },
    "model_info": {"params": {}},
    "oblivious_trees": [
        {
            "leaf_values": [0.1, 0.2, 0.3, 0.4],
            "splits": [
                {
                    "border": 0.5,
                    "float_feature_index": 0,
                    "split_index": 0,
                    "split_type": "FloatFeature",
                },
                {
                    "border": 2.0,
                    "float_feature_index": 1,
                    "split_index": 2,
                    "split_type": "FloatFeature",
                },
            ],
        }
    ],
    "scale_and_bias": [1, [0.0]],
}


def a_catboost() -> dict[str, Any]:
    """A model of two numbers, one tree."""
    return copy.deepcopy(_CATBOOST)


def an_xgboost() -> dict[str, Any]:
    """A model of two features, a number and a category of x, y and é."""
    return copy.deepcopy(_XGBOOST)


def a_lightgbm(tree: str = LIGHTGBM_TREE) -> bytes:
    """The same for LightGBM, of x, y and z; the header tells the size of the tree that is given."""
    return LIGHTGBM.replace("SIZE", str(len(tree) + 1)).replace("TREE\n", tree + "\n", 1).encode()


def as_ubjson(value: Any) -> bytes:
    """UBJSON as XGBoost writes it: lists of numbers are arrays of one type."""
    if isinstance(value, dict):
        return b"{" + b"".join(_text(name) + as_ubjson(one) for name, one in value.items()) + b"}"
    if isinstance(value, str):
        return b"S" + _text(value)
    if isinstance(value, int):
        return b"L" + struct.pack(">q", value)
    if value and all(isinstance(one, (int, float)) for one in value):
        fractions = any(isinstance(one, float) for one in value)
        array = np.array(value, ">f4" if fractions else ">i8")
        size = struct.pack(">q", len(value))
        return b"[$" + (b"d" if fractions else b"L") + b"#L" + size + array.tobytes()
    return b"[" + b"".join(map(as_ubjson, value)) + b"]"


def _text(value: str) -> bytes:
    data = value.encode()
    return b"L" + struct.pack(">q", len(data)) + data
