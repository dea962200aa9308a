"""What a CatBoost file says, held against itself as far as Python can before CatBoost reads it.

Owns the reading of the file in Python. Needs no CatBoost. A binary file (cbm) is a FlatBuffer,
which CatBoost verifies itself; what is held here is its frame. Source: `TFullModel::Load` and
`json_model_helpers.cpp` of CatBoost 1.2.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from typing import Any

from batchinfer.errors import ModelError
from batchinfer.models.formats.boosting.tree_arrays import (
    check_range,
    finite_numbers,
    whole_numbers,
)

MAGIC = b"CBM1"
_HEADER = struct.Struct("<4sI")
_MOST_DEPTH = 16
_MOST_NESTED = 64


def is_catboost(data: bytes) -> bool:
    """True if the bytes begin as CatBoost's binary file does, or hold its JSON."""
    if data.startswith(MAGIC):
        return True
    head = data.lstrip()[:1] == b"{"
    return head and b'"features_info"' in data and b'"model_info"' in data


def check_catboost(data: bytes) -> None:
    """Refuses a binary file that is shorter than it says, and a JSON file with a tree that would
    lead past its arrays.

    Runs on: driver and executor.

    Raises:
        ModelError: damaged or cut off.
    """
    if not data.startswith(MAGIC):
        _check_json(data)
        return
    if len(data) < _HEADER.size:
        raise ModelError("damaged or cut off: no CatBoost model")
    _, size = _HEADER.unpack_from(data)
    if not 0 < size <= len(data) - _HEADER.size:
        raise ModelError(
            f"damaged or cut off: {size:,} bytes of trees are said to follow, "
            f"{len(data) - _HEADER.size:,} do"
        )


def _check_json(data: bytes) -> None:
    try:
        model = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"damaged or cut off: no JSON: {error}") from error
    features = _mapping(model, "features_info")
    _mapping(model, "model_info")
    splits = _splits(features)
    floats = len(_listed(features, "float_features"))
    scale = model.get("scale_and_bias")
    if not isinstance(scale, list) or len(scale) != 2:
        raise ModelError("damaged: scale_and_bias is no pair")
    width = len(finite_numbers(scale[1] if isinstance(scale[1], list) else [scale[1]], "bias"))
    trees = _listed(model, "oblivious_trees") or _listed(model, "trees")
    if not trees or not width:
        raise ModelError("damaged: holds no trees")
    for place, tree in enumerate(trees):
        what = f"tree {place}"
        if "oblivious_trees" in model:
            _check_oblivious(tree, splits, floats, width, what)
        else:
            _check_nested(tree, splits, floats, width, what)


def _mapping(where: Any, name: str) -> Mapping[str, Any]:
    found = where.get(name) if isinstance(where, dict) else None
    if not isinstance(found, dict):
        raise ModelError(f"damaged: has no section {name}")
    return found


def _listed(where: Any, name: str) -> list[Any]:
    found = where.get(name) if isinstance(where, dict) else None
    if found is None:
        return []
    if not isinstance(found, list):
        raise ModelError(f"damaged: {name} is no list")
    return found


def _splits(features: Mapping[str, Any]) -> int:
    """How many splits the features have among them; their places in the file are all different."""
    total = 0
    flat: list[Any] = []
    for kind in ("float_features", "categorical_features"):
        for one in _listed(features, kind):
            total += len(finite_numbers(_listed(one, "borders"), "borders"))
            total += len(_listed(one, "values"))
            flat.append(one.get("flat_feature_index") if isinstance(one, dict) else None)
    places = whole_numbers(flat, "flat_feature_index")
    if len(set(places.tolist())) != len(places) or not len(places):
        raise ModelError("damaged: two features stand in one place, or there are none")
    check_range(places, 2**31 - 1, "flat_feature_index")
    for one in _listed(features, "ctrs"):
        total += len(finite_numbers(_listed(one, "borders"), "borders"))
    return total


def _check_oblivious(tree: Any, splits: int, floats: int, width: int, what: str) -> None:
    chosen = _listed(tree, "splits")
    if len(chosen) > _MOST_DEPTH:
        raise ModelError(f"{what}: {len(chosen)} splits; allowed: {_MOST_DEPTH}")
    for split in chosen:
        _check_split(split, splits, floats, what)
    finite_numbers(_listed(tree, "leaf_values"), f"{what}: leaf_values", width * 2 ** len(chosen))


def _check_split(split: Any, splits: int, floats: int, what: str) -> None:
    if not isinstance(split, dict):
        raise ModelError(f"{what}: a split is none")
    check_range(whole_numbers([split.get("split_index")], what), splits, f"{what}: split_index")
    if split.get("split_type") == "FloatFeature":
        feature = whole_numbers([split.get("float_feature_index")], what)
        check_range(feature, floats, f"{what}: float_feature_index")


def _check_nested(tree: Any, splits: int, floats: int, width: int, what: str) -> None:
    for node in _nodes(tree, what):
        if "split" in node:
            _check_split(node["split"], splits, floats, what)
        else:
            value = node.get("value")
            leaf = value if isinstance(value, list) else [value]
            finite_numbers(leaf, f"{what}: a leaf", width)


def _nodes(tree: Any, what: str) -> Iterator[dict[str, Any]]:
    waiting = [(tree, 0)]
    while waiting:
        node, depth = waiting.pop()
        if not isinstance(node, dict) or depth > _MOST_NESTED:
            raise ModelError(f"{what}: a node is none, or nested deeper than {_MOST_NESTED}")
        yield node
        if "split" in node:
            waiting += [(node.get(side), depth + 1) for side in ("left", "right")]
