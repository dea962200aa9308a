"""What an XGBoost file says, JSON or UBJSON, held against itself before XGBoost reads it.

Owns the reading of the file in Python. Needs no XGBoost. Source: the schema of XGBoost 3.2,
`doc/model.schema`, and `RegTree::LoadModel`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from batchinfer.errors import ModelError
from batchinfer.models.formats.boosting.tree_arrays import (
    any_numbers,
    check_children,
    check_range,
    check_rising,
    finite_numbers,
    whole_numbers,
)
from batchinfer.models.formats.boosting.ubjson import is_ubjson, read_ubjson

_MOST_OUTPUTS = 100_000
# XGBoost keeps categories as bits of this many values at most (`common::OutOfRangeCat`).
_MOST_CATEGORIES = 2**24
_PARENT_OF_ROOT = (2**31 - 1, -1)
_NO_CHILD = -1
# `ArrayInterfaceHandler::Type` of XGBoost 3.2.
_WHOLE_TYPES = {
    9: "int8", 10: "uint8", 11: "int16", 12: "uint16", 13: "int32", 14: "uint32", 15: "int64",
    16: "uint64",
}  # fmt: skip


@dataclass(frozen=True)
class XgboostFile:
    """What a file says of its model.

    Attributes:
        width: number of features.
        names: of the features; none where it was trained on an array.
        types: of the features as XGBoost writes them; `c` is a category.
        categories: values of each category by feature, in the order of their codes.
        category_types: NumPy's names of their types; None for texts.
        booster: gbtree, dart or gblinear.
        objective: its name.
        outputs: numbers a row.
        targets: of which each is one of these.
        estimator: `classifier`, `regressor`, … where a wrapper for scikit-learn saved it.
        best_iteration: where early stopping found one.
        missing: the number that a wrapper took for a missing one, where its file tells: those of
            XGBoost 1 do.
        rounds: of boosting.
    """

    width: int
    names: tuple[str, ...]
    types: tuple[str, ...]
    booster: str
    objective: str
    outputs: int
    targets: int
    rounds: int
    categories: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    category_types: Mapping[str, str | None] = field(default_factory=dict)
    estimator: str = ""
    best_iteration: int | None = None
    missing: float | None = None


def is_xgboost(data: bytes) -> bool:
    """True if the bytes hold a document with a learner. Reads no tree."""
    if is_ubjson(data):
        return b"learner" in data[:64] or (data.endswith(b"}") and b"learner" in data)
    return data.lstrip()[:1] == b"{" and b'"learner"' in data and b'"gradient_booster"' in data


def read_xgboost(data: bytes) -> XgboostFile:
    """What the file says, all its trees checked: sizes, children, features, categories.

    Runs on: driver and executor.

    Raises:
        ModelError: damaged, cut off, or holding what would lead XGBoost past its arrays.
    """
    return _described(_section(_document(data), "learner"))


def _document(data: bytes) -> Mapping[str, Any]:
    if is_ubjson(data):
        found = read_ubjson(data)
    else:
        try:
            found = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise ModelError(f"damaged or cut off: no JSON: {error}") from error
    if not isinstance(found, dict):
        raise ModelError(f"damaged: holds a {type(found).__name__}; expected a learner")
    return found


def _section(where: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = where.get(name)
    if not isinstance(found, dict):
        raise ModelError(f"damaged: has no section {name}")
    return found


def _list(where: Mapping[str, Any], name: str, length: int | None = None) -> list[Any]:
    found = where.get(name, [])
    found = found.tolist() if isinstance(found, np.ndarray) else found
    if not isinstance(found, list) or (length is not None and len(found) != length):
        raise ModelError(f"damaged: {name} is no list" + (f" of {length}" if length else ""))
    return found


def _count(where: Mapping[str, Any], name: str, least: int = 0, most: int = 2**31 - 1) -> int:
    """A whole number, which XGBoost writes as text."""
    try:
        found = int(where[name])
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"damaged: {name} is no whole number") from error
    if not least <= found <= most:
        raise ModelError(f"damaged: {name}: got {found}; allowed: {least} to {most}")
    return found


def _texts(where: Mapping[str, Any], name: str) -> tuple[str, ...]:
    found = _list(where, name)
    if not all(isinstance(one, str) for one in found):
        raise ModelError(f"damaged: {name} holds something else than texts")
    return tuple(found)


def _described(learner: Mapping[str, Any]) -> XgboostFile:
    params = _section(learner, "learner_model_param")
    width = _count(params, "num_feature", 1)
    names, types = _texts(learner, "feature_names"), _texts(learner, "feature_types")
    for what, given in (("feature_names", names), ("feature_types", types)):
        if given and len(given) != width:
            raise ModelError(f"damaged: {len(given)} {what} for {width} features")
    if len(set(names)) != len(names):
        raise ModelError("damaged: a name of a feature stands twice")
    classes = _count(params, "num_class", 0, _MOST_OUTPUTS)
    targets = _count(params, "num_target", 1, _MOST_OUTPUTS) if "num_target" in params else 1
    outputs = max(1, classes) if targets == 1 else targets
    _check_base_score(params, outputs)
    booster = _section(learner, "gradient_booster")
    kind = booster.get("name")
    categories: dict[str, tuple[tuple[Any, ...], str | None]] = {}
    if kind == "gblinear":
        model = _section(booster, "model")
        finite_numbers(model.get("weights", []), "weights", (width + 1) * outputs)
        rounds = _count(model, "boosted_rounds") if "boosted_rounds" in model else 0
    elif kind in ("gbtree", "dart"):
        trees = booster if kind == "gbtree" else _section(booster, "gbtree")
        model = _section(trees, "model")
        rounds, count = _check_trees(model, width, outputs)
        if kind == "dart":
            finite_numbers(booster.get("weight_drop", []), "weight_drop", count)
        categories = _categories(model, names or tuple(map(str, range(width))), types)
    else:
        raise ModelError(f"damaged: got the booster {kind!r}; allowed: gbtree, dart, gblinear")
    attributes = learner.get("attributes") or {}
    objective = _section(learner, "objective").get("name")
    if not isinstance(objective, str) or not isinstance(attributes, dict):
        raise ModelError("damaged: no name of an objective, or attributes that are none")
    return XgboostFile(
        width, names, types, kind, objective, outputs, targets, rounds,
        {name: values for name, (values, _) in categories.items()},
        {name: type_ for name, (_, type_) in categories.items()},
        _estimator(attributes), _best(attributes, rounds), _missing(attributes),
    )  # fmt: skip


def _check_base_score(params: Mapping[str, Any], outputs: int) -> None:
    """One number, or since XGBoost 3.1 one for each output, as text."""
    try:
        found = json.loads(str(params["base_score"]))
    except (KeyError, ValueError, RecursionError) as error:
        raise ModelError("damaged: base_score is no number") from error
    values = finite_numbers(found if isinstance(found, list) else [found], "base_score")
    if len(values) not in (1, outputs):
        raise ModelError(f"damaged: base_score: got {len(values)} values; expected {outputs}")


def _estimator(attributes: Mapping[str, Any]) -> str:
    """The kind that the wrapper for scikit-learn says; empty where none saved the file."""
    told = attributes.get("scikit_learn")
    if told is None:
        return ""
    try:
        return str(json.loads(told)["_estimator_type"])
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ModelError(
            "damaged: the attribute scikit_learn names no kind of estimator"
        ) from error


def _missing(attributes: Mapping[str, Any]) -> float | None:
    """`missing` of the wrapper; None where it is NaN, or nothing tells it."""
    told = json.loads(attributes["scikit_learn"]) if "scikit_learn" in attributes else {}
    number = told.get("missing")
    if not isinstance(number, (int, float)) or isinstance(number, bool) or math.isnan(number):
        return None
    return float(number)


def _best(attributes: Mapping[str, Any], rounds: int) -> int | None:
    if "best_iteration" not in attributes:
        return None
    return _count(attributes, "best_iteration", 0, max(0, rounds - 1))


def _check_trees(model: Mapping[str, Any], width: int, outputs: int) -> tuple[int, int]:
    """Rounds and trees."""
    trees = _list(model, "trees")
    count = _count(_section(model, "gbtree_model_param"), "num_trees", 0)
    if len(trees) != count or not count:
        raise ModelError(f"damaged: {len(trees)} trees; {count or 'some'} are expected")
    groups = whole_numbers(model.get("tree_info", []), "tree_info", count)
    check_range(groups, outputs, "tree_info")
    for place, tree in enumerate(trees):
        if not isinstance(tree, dict):
            raise ModelError(f"damaged: tree {place} is no tree")
        _check_tree(tree, width, f"tree {place}")
    if "iteration_indptr" not in model:  # before XGBoost 2.0
        parallel = _count(model["gbtree_model_param"], "num_parallel_tree", 1)
        return count // (outputs * parallel), count
    starts = whole_numbers(model["iteration_indptr"], "iteration_indptr")
    check_rising(starts, count, "iteration_indptr")
    return len(starts) - 1, count


def _check_tree(tree: Mapping[str, Any], width: int, what: str) -> None:
    param = _section(tree, "tree_param")
    nodes = _count(param, "num_nodes", 1)
    if _count(param, "size_leaf_vector") > 1 if "size_leaf_vector" in param else False:
        raise ModelError(
            "the model's leaves are vectors (multi_strategy: multi_output_tree); allowed: "
            "one_output_per_tree"
        )

    def whole(name: str, length: int | None = nodes) -> np.ndarray:
        return whole_numbers(tree.get(name, []), f"{what}: {name}", length)

    left, right = whole("left_children"), whole("right_children")
    inner = left != _NO_CHILD
    if ((right != _NO_CHILD) != inner).any():
        raise ModelError(f"{what}: a node has one child; allowed: two or none")
    check_children(np.concatenate([left[inner], right[inner]]), nodes, what)
    parents = whole("parents")
    places = np.flatnonzero(inner)
    wrong = (parents[left[inner]] != places) | (parents[right[inner]] != places)
    if wrong.any() or parents[0] not in _PARENT_OF_ROOT:
        raise ModelError(f"{what}: parents that are not those of the children")
    check_range(whole("split_indices")[inner], width, f"{what}: split_indices")
    any_numbers(tree.get("split_conditions", []), f"{what}: split_conditions", nodes)
    for name in ("base_weights", "loss_changes", "sum_hessian"):
        any_numbers(tree.get(name, []), f"{what}: {name}", nodes)
    whole("default_left")
    if "split_type" in tree:
        _check_categories(tree, whole("split_type"), inner, what)


def _check_categories(
    tree: Mapping[str, Any], types: np.ndarray, inner: np.ndarray, what: str
) -> None:
    """Of each node that splits by categories the values that go right."""
    check_range(types, 2, f"{what}: split_type")
    nodes = whole_numbers(tree.get("categories_nodes", []), f"{what}: categories_nodes")
    if not np.array_equal(nodes, np.flatnonzero((types == 1) & inner)):
        raise ModelError(f"{what}: categories_nodes are not the nodes that split by categories")
    values = whole_numbers(tree.get("categories", []), f"{what}: categories")
    check_range(values, _MOST_CATEGORIES, f"{what}: categories")
    starts = whole_numbers(
        tree.get("categories_segments", []), f"{what}: categories_segments", len(nodes)
    )
    sizes = whole_numbers(tree.get("categories_sizes", []), f"{what}: categories_sizes", len(nodes))
    ends = np.cumsum(sizes)
    if (
        (sizes < 1).any()
        or not np.array_equal(starts, ends - sizes)
        or (len(ends) and ends[-1] != len(values))
    ):
        raise ModelError(f"{what}: categories_segments and categories_sizes do not fit")


def _categories(
    model: Mapping[str, Any], names: Sequence[str], types: Sequence[str]
) -> dict[str, tuple[tuple[Any, ...], str | None]]:
    """Values and type of each category by feature, as XGBoost 3.1 and later write them."""
    if not isinstance(model.get("cats"), dict):
        return {}
    cats = _section(model, "cats")
    encoded = _list(cats, "enc")
    if not encoded:
        return {}
    if len(encoded) != len(names) or len(types) != len(names):
        raise ModelError(f"damaged: categories of {len(encoded)} features; expected {len(names)}")
    values = [
        _values(one, f"the categories of {name}") for name, one in zip(names, encoded, strict=True)
    ]
    segments = whole_numbers(cats.get("feature_segments", []), "feature_segments", len(names) + 1)
    sizes = [len(one) for one, _ in values]
    if not np.array_equal(segments, np.concatenate([[0], np.cumsum(sizes)])):
        raise ModelError("damaged: feature_segments do not fit the categories")
    order = whole_numbers(cats.get("sorted_idx", []), "sorted_idx", sum(sizes))
    for start, size in zip(segments[:-1].tolist(), sizes, strict=True):
        if not np.array_equal(np.sort(order[start : start + size]), np.arange(size)):
            raise ModelError("damaged: sorted_idx is no order of the categories")
    return {name: one for name, one in zip(names, values, strict=True) if one[0]}


def _values(stored: Any, what: str) -> tuple[tuple[Any, ...], str | None]:
    """Texts by their offsets, or whole numbers of a type."""
    if not isinstance(stored, dict):
        raise ModelError(f"damaged: {what} are none")
    if "offsets" not in stored:
        type_ = _WHOLE_TYPES.get(_count(stored, "type"))
        if type_ is None:
            raise ModelError(f"damaged: {what} are of no type of whole numbers")
        return tuple(whole_numbers(stored.get("values", []), what).tolist()), type_
    raw = whole_numbers(stored.get("values", []), what)
    raw = np.where(raw < 0, raw + 256, raw)  # written as signed bytes too
    check_range(raw, 256, what)
    offsets = whole_numbers(stored["offsets"], what)
    if not len(offsets):
        return (), None
    check_rising(offsets, len(raw), what)
    data = raw.astype(np.uint8).tobytes()
    try:
        texts = tuple(
            data[start:end].decode()
            for start, end in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)
        )
    except UnicodeDecodeError as error:
        raise ModelError(f"damaged: {what} are no UTF-8: {error.reason}") from error
    return texts, None
