"""The table of types that are vouched for, and that each counts only where it comes in as skops
writes it.
"""

from __future__ import annotations

import importlib
from functools import partial
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from batchinfer.errors import ModelError
from batchinfer.models.formats.catalogue import needed_trust
from batchinfer.models.formats.skops_model import read_estimator
from batchinfer.models.formats.skops_types import VOUCHED

from .skops_files import packed, unpacked

X = np.random.default_rng(5).normal(size=(40, 3))
TARGET = np.digitize(X[:, 0], [-0.5, 0.5])
TREE = {"__module__": "sklearn.tree._tree", "__class__": "Tree"}


@pytest.mark.parametrize(
    "node",
    [
        {**TREE, "__loader__": "ListNode", "content": []},
        {**TREE, "__loader__": "ObjectNode"},
        {**TREE, "__loader__": "TypeNode"},
        {"__module__": "sklearn.neighbors._kd_tree", "__class__": "KDTree",
         "__loader__": "ConstructorFromReduceNode",
         "content": {"__module__": "builtins", "__class__": "tuple", "__loader__": "TupleNode",
                     "content": []}},
        {"__module__": "numpy", "__class__": "mean", "__loader__": "TypeNode"},
        {"__module__": "sklearn.tree._tree", "__class__": "DepthFirstTreeBuilder",
         "__loader__": "ObjectNode"},
        {"__module__": "sklearn.metrics._dist_metrics", "__class__": "PyFuncDistance64",
         "__loader__": "ObjectNode"},
    ],
)  # fmt: skip
def test_a_type_that_comes_in_another_way_is_not_vouched_for(node: dict[str, Any]) -> None:
    members, schema = unpacked(skops.io.dumps(StandardScaler().fit(X)))
    schema["content"]["content"]["copy"] = node
    with pytest.raises(ModelError, match="nobody vouches for") as caught:
        read_estimator(packed(members, schema))
    assert f"{node['__module__']}.{node['__class__']}" in str(caught.value)
    assert needed_trust("skops", packed(members, schema)) == "pickle"


def test_methods_and_older_protocols_are_not_vouched_for() -> None:
    members, schema = unpacked(skops.io.dumps(DecisionTreeClassifier().fit(X, TARGET)))
    older = packed(members, {**schema, "protocol": 1})
    schema["content"]["content"]["splitter"] = {
        "__module__": "sklearn.tree", "__class__": "_tree", "__loader__": "MethodNode",
        "content": {"func": "Tree", "obj": {
            "__module__": "sklearn.tree", "__class__": "_tree", "__loader__": "JsonNode",
            "content": "1"}},
    }  # fmt: skip
    for data in (older, packed(members, schema)):
        with pytest.raises(ModelError, match=r"nobody vouches for.*sklearn\.tree\._tree\.Tree"):
            read_estimator(data)


@pytest.mark.parametrize(
    ("function", "named"), [(np.mean, r"numpy\.mean"), (partial(np.add, 1), r"functools\.partial")]
)
def test_functions_are_vouched_for_where_scikit_learn_puts_them(function: Any, named: str) -> None:
    data = skops.io.dumps(FunctionTransformer(function).fit(X))
    with pytest.raises(ModelError, match=f"nobody vouches for.*{named}"):
        read_estimator(data)
    np.testing.assert_array_equal(read_estimator(data, "pickle").transform(X), function(X))


@pytest.mark.parametrize("name", VOUCHED)
def test_each_type_is_there_under_its_own_name_with_a_reason(name: str) -> None:
    module, _, attribute = name.rpartition(".")
    there = getattr(importlib.import_module(module), attribute)
    vouched = VOUCHED[name]
    assert vouched.reason
    assert set(vouched.loaders) <= {
        "ObjectNode", "DictNode", "TupleNode", "DTypeNode", "SparseMatrixNode", "TreeNode",
        "TypeNode", "FunctionNode", "PartialNode",
    }  # fmt: skip
    # A function is harmless where it is not called with what a file says.
    assert isinstance(there, type) or vouched.places
