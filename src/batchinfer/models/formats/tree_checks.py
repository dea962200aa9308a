"""Trees of scikit-learn whose numbers C follows without looking: each is checked before.

Owns what holds in a tree that scikit-learn has fitted. scikit-learn reads `nodes[child]` and
`row[feature]` as they stand in the file; a number out of range reads foreign memory, a child that
lies before its parent never ends. Knows no files.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from batchinfer.errors import ModelError

_BITSET_WORDS = 8


@dataclass(frozen=True)
class TreeState:
    """What `sklearn.tree._tree.Tree` is made of.

    Attributes:
        features: number of columns that it reads.
        classes: (outputs,) number of values of each output.
        outputs: number of outputs.
        max_depth: of its leaves.
        node_count: number of nodes.
        nodes: (nodes,) records.
        values: (nodes, outputs, most classes) float64.
    """

    features: int
    classes: np.ndarray
    outputs: int
    max_depth: int
    node_count: int
    nodes: np.ndarray
    values: np.ndarray


def check_tree_state(state: TreeState) -> None:
    """Refuses what scikit-learn would copy or follow out of bounds. Runs on: driver and executor.

    Raises:
        ModelError: shapes that do not fit each other; a child or a feature out of range; a circle.
    """
    from sklearn.tree._tree import NODE_DTYPE

    classes, nodes = state.classes, state.nodes
    if classes.dtype != np.dtype(np.intp) or classes.shape != (state.outputs,) or not classes.size:
        raise ModelError(
            f"a decision tree has {state.outputs} outputs and classes of {_described(classes)}; "
            "allowed: a whole number for each output"
        )
    if classes.min() < 1 or state.features < 1 or state.max_depth < 0:
        raise ModelError(
            f"a decision tree has {state.features} features, depth {state.max_depth} and as few as "
            f"{classes.min()} classes; allowed: one or more"
        )
    if nodes.dtype != np.dtype(NODE_DTYPE) or nodes.ndim != 1 or not nodes.flags.c_contiguous:
        raise ModelError(
            f"a decision tree has nodes of {_described(nodes)}; allowed: those of this version of "
            "scikit-learn on this kind of machine",
            "Save the model again by the version of scikit-learn that is installed here.",
        )
    if not len(nodes) or state.node_count != len(nodes):
        raise ModelError(f"a decision tree says {state.node_count} nodes and has {len(nodes)}")
    shape = (len(nodes), state.outputs, int(classes.max()))
    if state.values.dtype != np.float64 or state.values.shape != shape:
        raise ModelError(
            f"a decision tree has values of {_described(state.values)}; allowed: float64 {shape}"
        )
    inner = np.flatnonzero(nodes["left_child"] != -1)
    _check_children(nodes["left_child"], nodes["right_child"], inner, len(nodes), state.max_depth)
    _check_range("feature", nodes["feature"][inner], state.features)


def check_predictor(predictor: Any) -> None:
    """Checks a tree of histogram boosting, and has it ask for its columns at each use.

    Its rows may come from any preprocessing that the file describes; so their width is looked at
    when they arrive. Runs on: driver and executor.

    Raises:
        ModelError: a child or a set of categories out of range, or a circle.
    """
    from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE

    nodes, bitsets = predictor.nodes, predictor.raw_left_cat_bitsets
    if (
        not isinstance(nodes, np.ndarray)
        or nodes.dtype != PREDICTOR_RECORD_DTYPE
        or nodes.ndim != 1
        or not len(nodes)
    ):
        raise ModelError(f"a boosted tree has nodes of {_described(nodes)}; allowed: records")
    inner = np.flatnonzero(nodes["is_leaf"] == 0)
    _check_children(nodes["left"], nodes["right"], inner, len(nodes), len(nodes))
    # NumPy's longest index: how wide the rows are is asked when they come.
    _check_range("feature", nodes["feature_idx"][inner], np.iinfo(np.intp).max)
    by_category = inner[nodes["is_categorical"][inner] != 0]
    if (
        not isinstance(bitsets, np.ndarray)
        or bitsets.dtype != np.uint32
        or bitsets.ndim != 2
        or (by_category.size and bitsets.shape[1] != _BITSET_WORDS)
    ):
        raise ModelError(f"a boosted tree has categories of {_described(bitsets)}")
    _check_range("set of categories", nodes["bitset_idx"][by_category], len(bitsets))
    read = nodes["feature_idx"]
    predictor.reads_columns = int(read[inner].max(initial=-1)) + 1
    predictor.reads_categories = np.unique(read[by_category])
    predictor.__class__ = _careful_predictor()


@cache
def _careful_predictor() -> Any:
    from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor

    class CarefulPredictor(TreePredictor):
        reads_columns: int
        reads_categories: np.ndarray

        def predict(self, X: Any, known_cat_bitsets: Any, f_idx_map: Any, n_threads: int) -> Any:  # noqa: N803 -- scikit-learn's names
            if self.reads_columns > X.shape[1]:
                raise ModelError(
                    f"a boosted tree reads {self.reads_columns} columns and gets {X.shape[1]}"
                )
            if self.reads_categories.size:
                _check_range("category column", self.reads_categories, len(f_idx_map))
                categories = f_idx_map[self.reads_categories]
                _check_range("categories", categories, len(known_cat_bitsets))
            return super().predict(X, known_cat_bitsets, f_idx_map, n_threads)

    return CarefulPredictor


def check_neighbours_tree(tree: Any) -> None:
    """Refuses a KDTree or BallTree that would be followed out of bounds.

    Runs on: driver and executor.

    Raises:
        ModelError: points, nodes or weights that do not fit each other.
    """
    state = tree.__getstate__()
    data, index, nodes, bounds = state[:4]
    count, metric, weights = state[6], state[11], state[12]
    rows, width = data.shape
    if rows < 1 or width < 1 or index.shape != (rows,):
        raise ModelError(f"a tree of neighbours has {rows} points and {len(index)} places")
    sides = 2 if type(tree).__name__ == "KDTree" else 1
    if count < 1 or nodes.shape != (count,) or bounds.shape != (sides, count, width):
        raise ModelError(
            f"a tree of neighbours says {count} nodes and has {nodes.shape} with bounds "
            f"{bounds.shape}; allowed: ({sides}, {count}, {width})"
        )
    _check_range("point", index, rows)
    _check_range("first point", nodes["idx_start"], rows + 1)
    _check_range("last point", nodes["idx_end"], rows + 1)
    # Node i has the children 2 i + 1 and 2 i + 2.
    inner = np.flatnonzero(nodes["is_leaf"] == 0)
    _check_range("child", 2 * inner + 2, count)
    if weights is not None and np.shape(weights) != (rows,):
        raise ModelError(
            f"a tree of neighbours has weights {np.shape(weights)}; allowed: ({rows},)"
        )
    _check_metric(metric, data)


def _check_metric(metric: Any, data: np.ndarray) -> None:
    name, width = type(metric).__name__, data.shape[1]
    _, weights, matrix = metric.__getstate__()
    fits = {
        "SEuclideanDistance64": weights.shape == (width,),
        "MinkowskiDistance64": weights.shape in ((0,), (width,)),
        "MahalanobisDistance64": matrix.shape == (width, width),
        "HaversineDistance64": width == 2,
    }
    if not fits.get(name, True):
        raise ModelError(
            f"a tree of neighbours of {width} columns has {name} with weights {weights.shape} and "
            f"{matrix.shape}; allowed: as many as columns"
        )


def _check_children(
    left: np.ndarray, right: np.ndarray, inner: np.ndarray, count: int, most_levels: int
) -> None:
    left, right = left[inner].astype(np.int64), right[inner].astype(np.int64)
    children = np.concatenate([left, right])
    _check_range("child", children, count)
    if (left <= inner).any() or (right <= inner).any():
        raise ModelError("a tree has a child that lies before its parent; allowed: behind it")
    if len(np.unique(children)) != len(children):
        raise ModelError("a tree has a child of two parents; allowed: one")
    below = np.full((2, count), -1, np.int64)
    below[:, inner] = left, right
    level, depth = np.zeros(1, np.int64), 0
    while (level := below[:, level].ravel()[below[:, level].ravel() >= 0]).size:
        depth += 1
        if depth > most_levels:
            raise ModelError(f"a tree says depth {most_levels} and is deeper")


def _check_range(what: str, values: np.ndarray, below: int) -> None:
    if values.size and (values.min() < 0 or values.max() >= below):
        bad = int(values.min()) if values.min() < 0 else int(values.max())
        raise ModelError(f"a tree reads {what} {bad}; allowed: 0 to {below - 1}")


def _described(value: Any) -> str:
    if not isinstance(value, np.ndarray):
        return f"the type {type(value).__name__}"
    return f"the shape {value.shape} and the type {value.dtype}"
