"""Are the arrays of a tree one tree? Asked before a library walks it: a child that is its own
parent is a loop without an end, one past the array is somebody else's memory.

Owns that check. Knows no format.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from batchinfer.errors import ModelError


def whole_numbers(values: Any, what: str, length: int | None = None) -> np.ndarray:
    """(length,) int64.

    Raises:
        ModelError: something else than whole numbers, or another number of them.
    """
    try:
        array = np.asarray(values)
        if array.size == 0:
            array = array.astype(np.int64)
        if array.ndim != 1 or array.dtype.kind not in "iub":
            raise ModelError(
                f"{what}: got {array.dtype} of shape {array.shape}; allowed: whole numbers"
            )
    except (ValueError, OverflowError) as error:
        raise ModelError(f"{what}: no list of whole numbers: {error}") from error
    return _sized(array, what, length).astype(np.int64)


def finite_numbers(values: Any, what: str, length: int | None = None) -> np.ndarray:
    """(length,) float64, none of them infinite or not a number.

    Raises:
        ModelError: something else, or another number of them.
    """
    array = any_numbers(values, what, length)
    if not np.isfinite(array).all():
        raise ModelError(f"{what}: holds not-a-number or infinity; allowed: finite numbers")
    return array


def any_numbers(values: Any, what: str, length: int | None = None) -> np.ndarray:
    """(length,) float64.

    Raises:
        ModelError: something else, or another number of them.
    """
    try:
        array = np.asarray(values)
        if array.dtype.kind not in "fiub" or array.ndim != 1:
            raise ModelError(f"{what}: got {array.dtype} of shape {array.shape}; allowed: numbers")
    except (ValueError, OverflowError) as error:
        raise ModelError(f"{what}: no list of numbers: {error}") from error
    return _sized(array, what, length).astype(np.float64)


def _sized(array: np.ndarray, what: str, length: int | None) -> np.ndarray:
    if length is not None and len(array) != length:
        raise ModelError(f"{what}: got {len(array)} values; expected {length}")
    return array


def check_range(values: np.ndarray, below: int, what: str) -> None:
    """Refuses values that are no places in an array of so many.

    Raises:
        ModelError: a value below 0, or not below `below`.
    """
    if len(values) and (values.min() < 0 or values.max() >= below):
        wrong = values[(values < 0) | (values >= below)][0]
        raise ModelError(f"{what}: got {wrong}; allowed: 0 to {below - 1}")


def check_children(children: np.ndarray, nodes: int, what: str) -> None:
    """Refuses children of which a node has two parents, or the first node has one: from there on no
    walk could go in a circle.

    Args:
        children: the places of all nodes that are a child.
        nodes: how many there are.

    Raises:
        ModelError: a place out of range, a circle, or a node with two parents.
    """
    check_range(children, nodes, f"{what}: a child")
    parents = np.bincount(children, minlength=nodes)
    if parents[0] or parents.max() > 1:
        raise ModelError(
            f"{what}: its nodes are no tree: node {int(parents.argmax()) if not parents[0] else 0} "
            "is the child of another way round; allowed: one parent for each node but the first"
        )


def check_rising(values: np.ndarray, last: int, what: str) -> None:
    """Refuses offsets that do not go from 0 to `last` without a step back.

    Raises:
        ModelError: they do not.
    """
    if not len(values) or values[0] != 0 or values[-1] != last or (np.diff(values) < 0).any():
        raise ModelError(f"{what}: offsets that do not rise from 0 to {last}")
