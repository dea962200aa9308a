"""What a LightGBM text file says, held against itself before LightGBM reads it.

Owns the reading of the file in Python. Needs no LightGBM. Source: `GBDT::LoadModelFromString` and
`Tree::Tree(const char*, …)` of LightGBM 4.7.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from batchinfer.errors import ModelError
from batchinfer.models.formats.boosting.tree_arrays import (
    check_children,
    check_range,
    check_rising,
)

_MAGIC = re.compile(rb"tree\r?\n(?:[^\n]*\n)?version=v\d+\r?\n")
_END = b"end of trees"
_MOST_OUTPUTS = 100_000
_SPLITS_BY_CATEGORY = 1
_PANDAS = "pandas_categorical:"
_NO_NAME = re.compile(r"Column_\d+")


@dataclass(frozen=True)
class LightgbmFile:
    """What a file says of its model.

    Attributes:
        names: of the features.
        objective: its name; empty where the model was trained on one of somebody's own.
        outputs: numbers a row.
        categories: values of each category of a pandas frame by feature, in the order of codes.
        whole: features that are categories as whole numbers, without a list.
    """

    names: tuple[str, ...]
    objective: str
    outputs: int
    categories: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    whole: tuple[str, ...] = ()

    @property
    def named(self) -> bool:
        """False where LightGBM itself named the columns of an array."""
        return not all(_NO_NAME.fullmatch(name) for name in self.names)


def is_lightgbm(data: bytes) -> bool:
    """True if the bytes begin as LightGBM's text does."""
    return _MAGIC.match(data) is not None


def read_lightgbm(data: bytes) -> LightgbmFile:
    """What the file says, all its trees checked: sizes, children, features, categories.

    Runs on: driver and executor.

    Raises:
        ModelError: damaged, cut off, or holding what would lead LightGBM past its arrays.
    """
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise ModelError(f"damaged: no UTF-8: {error.reason}") from error
    if "\0" in text:
        raise ModelError("damaged: holds a zero byte")
    head, separator, _ = data.partition(b"Tree=0")
    if not separator or not is_lightgbm(data):
        raise ModelError("damaged or cut off: no LightGBM model with a tree in it")
    header = _pairs(head.decode(), "the header")
    width = _whole(header, "max_feature_idx", 0) + 1
    names = tuple(header.get("feature_names", "").split(" "))
    if len(names) != width or len(header.get("feature_infos", "").split()) != width:
        raise ModelError(
            f"damaged: feature_names or feature_infos are not those of {width} features"
        )
    if len(set(names)) != width:
        raise ModelError("damaged: a name of a feature stands twice")
    outputs = _whole(header, "num_tree_per_iteration", 1, _MOST_OUTPUTS)
    _whole(header, "num_class", 1, _MOST_OUTPUTS)
    end = _check_trees(data, len(head), header, width, outputs)
    objective, _, rest = header.get("objective", "").partition(" ")
    _check_objective(objective, rest, outputs)
    listed, whole = _categories(data[end:].decode(), names)
    return LightgbmFile(names, objective, outputs, listed, whole)


def _pairs(text: str, what: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in text.splitlines():
        name, _, value = line.partition("=")
        if name in found and line:
            raise ModelError(f"damaged: {what}: {name} stands twice")
        found[name] = value
    return found


def _whole(header: Mapping[str, str], name: str, least: int, most: int = 2**31 - 2) -> int:
    try:
        found = int(header[name])
    except (KeyError, ValueError) as error:
        raise ModelError(f"damaged: {name} is no whole number") from error
    if not least <= found <= most:
        raise ModelError(f"damaged: {name}: got {found}; allowed: {least} to {most}")
    return found


def _check_objective(name: str, rest: str, outputs: int) -> None:
    told = (one.partition(":") for one in rest.split())
    classes = {key: value for key, _, value in told}.get("num_class")
    if name.startswith("multiclass") and classes != str(outputs):
        raise ModelError(f"damaged: {name} of {classes} classes gives {outputs} numbers")
    if name == "binary" and outputs != 1:
        raise ModelError(f"damaged: binary gives {outputs} numbers; expected one")


def _check_trees(
    data: bytes, start: int, header: Mapping[str, str], width: int, outputs: int
) -> int:
    """The place where the trees end; LightGBM finds each of them by the sizes that the header says.

    Raises:
        ModelError: sizes that are not those of the trees, or a tree that is none.
    """
    sizes = _integers(header, "tree_sizes", None, "the header")
    if not len(sizes) or len(sizes) % outputs or (sizes < 1).any():
        raise ModelError(f"damaged: {len(sizes)} trees for {outputs} outputs a round")
    place = start
    for number, size in enumerate(sizes.tolist()):
        block = data[place : place + size]
        if len(block) != size or not block.startswith(b"Tree=%d\n" % number):
            raise ModelError(f"damaged or cut off: tree {number} is not where the header says")
        _check_tree(_pairs(block.decode().rstrip(), f"tree {number}"), width, f"tree {number}")
        place += size
    if not data.startswith(_END, place):
        raise ModelError("damaged or cut off: the trees do not end where the header says")
    return place


def _numbers(
    tree: Mapping[str, str], name: str, length: int | None, what: str, kind: type = np.float64
) -> np.ndarray:
    try:
        found = np.array(tree.get(name, "").split(), kind)
    except (ValueError, OverflowError) as error:
        raise ModelError(f"damaged: {what}: {name}: {error}") from error
    if length is not None and len(found) != length:
        raise ModelError(f"damaged: {what}: {name}: got {len(found)} values; expected {length}")
    return found


def _integers(tree: Mapping[str, str], name: str, length: int | None, what: str) -> np.ndarray:
    return _numbers(tree, name, length, what, np.int64)


def _check_tree(tree: Mapping[str, str], width: int, what: str) -> None:
    leaves = _whole(tree, "num_leaves", 1)
    cats = _whole(tree, "num_cat", 0)
    _numbers(tree, "leaf_value", leaves, what)
    if leaves > 1:
        inner = leaves - 1
        left, right = (_integers(tree, name, inner, what) for name in ("left_child", "right_child"))
        children = np.concatenate([left, right])
        check_range(-1 - children[children < 0], leaves, f"{what}: a leaf")
        # Leaves behind the inner nodes: one array of all nodes, of which each has one parent.
        check_children(np.where(children < 0, inner - 1 - children, children), inner + leaves, what)
        check_range(_integers(tree, "split_feature", inner, what), width, f"{what}: split_feature")
        kinds = _integers(tree, "decision_type", inner, what)
        check_range(kinds, 16, f"{what}: decision_type")
        thresholds = _numbers(tree, "threshold", inner, what)
        _check_categories(tree, thresholds[kinds % 2 == _SPLITS_BY_CATEGORY], cats, what)
    if _whole(tree, "is_linear", 0, 1) if "is_linear" in tree else 0:
        _check_linear(tree, leaves, width, what)


def _check_categories(tree: Mapping[str, str], places: np.ndarray, cats: int, what: str) -> None:
    if not cats:
        if len(places):
            raise ModelError(f"damaged: {what}: splits by categories, and has none")
        return
    if (places != np.trunc(places)).any():
        raise ModelError(f"damaged: {what}: a place of categories that is no whole number")
    # As they are: a number past 64 bits would become another one.
    check_range(places, cats, f"{what}: categories")
    bits = _integers(tree, "cat_threshold", None, what)
    check_range(bits, 2**32, f"{what}: cat_threshold")
    check_rising(
        _integers(tree, "cat_boundaries", cats + 1, what), len(bits), f"{what}: cat_boundaries"
    )


def _check_linear(tree: Mapping[str, str], leaves: int, width: int, what: str) -> None:
    _numbers(tree, "leaf_const", leaves, what)
    counts = _integers(tree, "num_features", leaves, what)
    check_range(counts, width + 1, f"{what}: num_features")
    total = int(counts.sum())
    check_range(_integers(tree, "leaf_features", total, what), width, f"{what}: leaf_features")
    _numbers(tree, "leaf_coeff", total, what)


def _categories(
    tail: str, names: tuple[str, ...]
) -> tuple[dict[str, tuple[Any, ...]], tuple[str, ...]]:
    """Values of each category of a frame by feature, and the categories that are whole numbers.

    Which features are categories stands among the parameters, their values in the last line.
    """
    chosen = re.search(r"^\[categorical_feature: ([\d,]*)\]$", tail, re.MULTILINE)
    places = [int(one) for one in chosen.group(1).split(",") if one] if chosen else []
    check_range(np.array(places, object), len(names), "categorical_feature")
    features = tuple(names[place] for place in sorted(places))
    last = tail.rstrip().rpartition("\n")[2]
    if not last.startswith(_PANDAS):
        return {}, features
    try:
        listed = json.loads(last.removeprefix(_PANDAS))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"damaged: pandas_categorical: {error}") from error
    if not listed:
        return {}, features
    if not isinstance(listed, list) or not all(isinstance(one, list) for one in listed):
        raise ModelError("damaged: pandas_categorical is no list of lists")
    if len(listed) != len(features):
        raise ModelError(
            f"the file lists {len(listed)} categories for {len(features)} features that are: which "
            "list is whose cannot be told"
        )
    return {name: tuple(one) for name, one in zip(features, listed, strict=True)}, ()
