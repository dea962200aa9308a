"""Prediction columns taken apart and put together again: numbers, arrays of numbers, and shares by
name.

Owns the layouts. Knows no step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

ITEMS = pa.list_(pa.struct([("item", pa.string()), ("score", pa.float64())]))


def is_map(type_: pa.DataType) -> bool:
    """True for shares by name."""
    return pa.types.is_map(type_)


def is_lists(type_: pa.DataType) -> bool:
    """True for arrays of any kind."""
    return (
        pa.types.is_list(type_)
        or pa.types.is_large_list(type_)
        or pa.types.is_fixed_size_list(type_)
    )


def map_parts(shares: pa.Array) -> tuple[np.ndarray, pa.Array, np.ndarray]:
    """How many shares each row has, and the names and values of all rows, one after the other."""
    lists = shares.cast(pa.list_(pa.struct([shares.type.key_field, shares.type.item_field])))
    names, values = lists.flatten().flatten()
    return (
        lists.value_lengths().fill_null(0).to_numpy(),
        names,
        values.cast(pa.float64()).to_numpy(zero_copy_only=False),
    )


def as_map(lengths: np.ndarray, names: pa.Array, values: np.ndarray, like: pa.Array) -> pa.Array:
    """Shares from their parts; null where `like` is."""
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    nulls = np.append(like.is_null().to_numpy(zero_copy_only=False), False)
    return pa.MapArray.from_arrays(
        pa.array(offsets, mask=nulls if nulls.any() else None),
        names,
        pa.array(values, pa.float64()),
    )


def greatest_shares(shares: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Name and value of each row's greatest share, the first of equal ones; null for a row without
    shares.
    """
    lengths, names, values = map_parts(shares)
    starts = np.cumsum(lengths) - lengths
    rows = np.repeat(np.arange(len(lengths)), lengths)
    order = np.lexsort((-values, rows))
    first = pa.array(
        order[np.minimum(starts, max(0, len(order) - 1))] if len(order) else starts,
        mask=lengths == 0,
    )
    return names.take(first), pa.array(values).take(first)


def with_values(lists: pa.Array, values: np.ndarray) -> pa.Array:
    """The same rows with other numbers in them, as list<double>."""
    offsets = np.concatenate(
        [[0], np.cumsum(lists.value_lengths().fill_null(0).to_numpy())]
    ).astype(np.int32)
    nulls = np.append(lists.is_null().to_numpy(zero_copy_only=False), False)
    return pa.ListArray.from_arrays(
        pa.array(offsets, mask=nulls if nulls.any() else None), pa.array(values, pa.float64())
    )


def mapped_numbers(column: pa.Array, change: Callable[[np.ndarray], np.ndarray]) -> pa.Array:
    """A column of numbers, arrays or shares with each number changed; missing ones stay missing."""
    if is_map(column.type):
        lengths, names, values = map_parts(column)
        return as_map(lengths, names, change(values), column)
    if is_lists(column.type):
        return with_values(column, change(_numbers(column.flatten())))
    return pa.array(change(_numbers(column)), mask=column.is_null().to_numpy(zero_copy_only=False))


def by_length(lists: pa.Array, change: Callable[[np.ndarray], np.ndarray]) -> pa.Array:
    """Arrays changed row by row, through (rows, n) matrices of the rows that have n numbers."""
    lengths = lists.value_lengths().fill_null(0).to_numpy()
    values = _numbers(lists.flatten())
    starts = np.cumsum(lengths) - lengths
    result = np.empty(len(values))
    for length in np.unique(lengths).tolist():
        cells = starts[lengths == length][:, None] + np.arange(length)
        result[cells] = change(values[cells])
    return with_values(lists, result)


def _numbers(column: Any) -> np.ndarray:
    return column.cast(pa.float64()).to_numpy(zero_copy_only=False)
