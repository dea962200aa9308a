"""How much each feature says, and of what: the scores by which `select` chooses.

Owns three scores, each a partial that is gathered from a batch, merged with others, and judged at
the end: (features,) float64, NaN or a greater number for what is better. Knows neither which
features are kept nor how.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from batchinfer.errors import InputError
from batchinfer.transforms.column import Column, OneHotColumn, is_arrow, kind, numbers, write
from batchinfer.transforms.statistics import pack, unpack
from batchinfer.transforms.step import Json
from batchinfer.transforms.supervised import (
    row_hashes,
    target_classes,
    target_is_text,
    target_numbers,
)

MAX_SAMPLE = 10_000
_MAX_CELLS = 4_000_000


def width_of(column: Column) -> int:
    """How many features a column holds."""
    if isinstance(column, OneHotColumn):
        return column.width
    if isinstance(column, np.ndarray) and column.ndim == 2:
        return column.shape[1]
    if is_arrow(column) and kind(column.type) == "vector":
        return (
            column.type.list_size
            if pa.types.is_fixed_size_list(column.type)
            else dense(column).shape[1]
        )
    return 1


def dense(column: Column, rows: np.ndarray | None = None) -> np.ndarray:
    """(rows, width) float64; NaN where a number is missing."""
    if isinstance(column, OneHotColumn):
        index = column.index if rows is None else column.index[rows]
        matrix = np.zeros((len(index), column.width), np.float32)
        write(OneHotColumn(index, column.width), matrix, 0)
        return matrix.astype(np.float64)
    if is_arrow(column) and kind(column.type) == "vector":
        flat = column.flatten().to_numpy(zero_copy_only=False).astype(np.float64)
        column = (
            flat.reshape(len(column), -1)
            if len(column)
            else flat.reshape(0, max(0, getattr(column.type, "list_size", 0)))
        )
    values = (
        column if isinstance(column, np.ndarray) and column.ndim == 2 else numbers(column)[:, None]
    )
    return (values if rows is None else values[rows]).astype(np.float64)


# variance: rows, mean, sum of squared differences, lowest and highest value of each feature.

_SPREAD = ("rows", "mean", "spread", "low", "high")


def _spreads(found: Mapping[str, Column], frame: Mapping[str, Column], rows: int) -> Json:
    parts = [_spread(column) for column in found.values()]
    return _packed_spread([np.concatenate(arrays) for arrays in zip(*parts, strict=True)])


def _spread(column: Column) -> tuple[np.ndarray, ...]:
    if isinstance(column, OneHotColumn):
        ones = np.bincount(column.index[column.index >= 0], minlength=column.width).astype(
            np.float64
        )
        rows = np.full(column.width, len(column.index), np.float64)
        mean = ones / np.maximum(rows, 1)
        return (
            rows,
            mean,
            ones * (1 - mean),
            np.where(ones == rows, 1.0, 0.0),
            np.where(ones > 0, 1.0, 0.0),
        )
    values = dense(column)
    finite = np.isfinite(values)
    rows = finite.sum(axis=0).astype(np.float64)
    mean = np.where(finite, values, 0.0).sum(axis=0) / np.maximum(rows, 1)
    spread = np.square(np.where(finite, values - mean, 0.0)).sum(axis=0)
    low, high = (np.where(finite, values, fill) for fill in (np.inf, -np.inf))
    return rows, mean, spread, low.min(axis=0, initial=np.inf), high.max(axis=0, initial=-np.inf)


def _packed_spread(arrays: Sequence[np.ndarray]) -> Json:
    return {name: pack(array, "<f8") for name, array in zip(_SPREAD, arrays, strict=True)}


def _pooled(left: Json, right: Json) -> Json:
    a, b = ([unpack(part[name], "<f8") for name in _SPREAD] for part in (left, right))
    rows = a[0] + b[0]
    share = b[0] / np.maximum(rows, 1)
    delta = b[1] - a[1]
    spread = a[2] + b[2] + np.square(delta) * a[0] * share
    return _packed_spread(
        [rows, a[1] + delta * share, spread, np.minimum(a[3], b[3]), np.maximum(a[4], b[4])]
    )


def _variances(partial: Json) -> np.ndarray:
    rows, _, spread, low, high = (unpack(partial[name], "<f8") for name in _SPREAD)
    # The mean of equal numbers may differ from them in its last bit; they do not vary all the same.
    return np.where(low < high, spread / np.maximum(rows, 1), 0.0)


# chi2: rows of each class, and the sum of each feature over them.


def _sums(found: Mapping[str, Column], frame: Mapping[str, Column], rows: int) -> Json:
    target = target_classes(frame)
    labelled = np.flatnonzero(target.codes >= 0)
    codes, count = target.codes[labelled], len(target.values)
    sums = np.concatenate(
        [_class_sums(name, column, labelled, codes, count) for name, column in found.items()],
        axis=1,
    )
    return _of_classes(
        target.values.to_pylist(), np.bincount(codes, minlength=count).astype(np.float64), sums
    )


def _class_sums(
    name: str, column: Column, labelled: np.ndarray, codes: np.ndarray, count: int
) -> np.ndarray:
    """(classes, width) float64."""
    if isinstance(column, OneHotColumn):
        index = column.index[labelled]
        cells = (codes.astype(np.int64) * column.width + index)[index >= 0]
        return (
            np.bincount(cells, minlength=count * column.width)
            .reshape(count, column.width)
            .astype(np.float64)
        )
    values = np.nan_to_num(dense(column, labelled), nan=0.0)
    if not np.isfinite(values).all() or (values < 0).any():
        raise InputError(
            f"column '{name}' has {float(values.min())}, which chi2 cannot judge; allowed: finite "
            "numbers from 0 up",
            "min_max first",
        )
    sums = np.zeros((count, values.shape[1]))
    np.add.at(sums, codes, values)
    return sums


def _of_classes(classes: list[str], rows: np.ndarray, sums: np.ndarray) -> Json:
    return {"classes": classes, "rows": pack(rows, "<f8"), "sums": pack(sums.reshape(-1), "<f8")}


def _added(left: Json, right: Json) -> Json:
    classes = list(dict.fromkeys([*left["classes"], *right["classes"]]))
    width = sum(left["widths"].values())
    rows, sums = np.zeros(len(classes)), np.zeros((len(classes), width))
    for part in (left, right):
        at = [classes.index(label) for label in part["classes"]]
        rows[at] += unpack(part["rows"], "<f8")
        sums[at] += unpack(part["sums"], "<f8").reshape(-1, width)
    return _of_classes(classes, rows, sums)


def _chi2(partial: Json) -> np.ndarray:
    """Pearson's statistic of the sums against those that would be there if classes did not
    matter.
    """
    rows = unpack(partial["rows"], "<f8")
    observed = unpack(partial["sums"], "<f8").reshape(len(rows), -1)
    expected = rows[:, None] / max(rows.sum(), 1.0) * observed.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (np.square(observed - expected) / expected).sum(axis=0)


# mutual information: a sample of labelled rows, those with the lowest hashes.


def _sample(found: Mapping[str, Column], frame: Mapping[str, Column], rows: int) -> Json:
    text = target_is_text(frame)
    target = target_classes(frame) if text else None
    values = target_numbers(frame) if target is None else target.codes.astype(np.float64)
    labelled = np.isfinite(values) if target is None else values >= 0
    hashes = row_hashes(frame)
    order = np.flatnonzero(labelled)[np.argsort(hashes[labelled], kind="stable")]
    width = sum(width_of(column) for column in found.values())
    order = order[: _sample_rows(width)]
    matrix = np.concatenate([dense(column, order) for column in found.values()], axis=1)
    discrete = [
        flag for column in found.values() for flag in [_is_discrete(column)] * width_of(column)
    ]
    labels = (
        target.values.take(pa.array(target.codes[order])).to_pylist()
        if target is not None
        else None
    )
    return _sampled(hashes[order], matrix, values[order], labels, discrete)


def _sample_rows(width: int) -> int:
    return max(100, min(MAX_SAMPLE, _MAX_CELLS // max(width, 1)))


def _is_discrete(column: Column) -> bool:
    return isinstance(column, OneHotColumn) or (
        is_arrow(column) and kind(column.type) in ("integer", "bool")
    )


def _sampled(
    hashes: np.ndarray,
    matrix: np.ndarray,
    target: np.ndarray,
    labels: list[str] | None,
    discrete: list[bool],
) -> Json:
    matrix = np.where(np.isfinite(matrix), matrix, 0.0)
    return {
        "hashes": pack(hashes, "<u8"),
        "matrix": pack(matrix.reshape(-1), "<f8"),
        "target": pack(target, "<f8"),
        "labels": labels,
        "discrete": discrete,
    }


def _lowest(left: Json, right: Json) -> Json:
    width = len(left["discrete"])
    hashes = np.concatenate([unpack(part["hashes"], "<u8") for part in (left, right)])
    order = np.argsort(hashes, kind="stable")[: _sample_rows(width)]
    matrix = np.concatenate(
        [unpack(part["matrix"], "<f8").reshape(-1, width) for part in (left, right)]
    )[order]
    target = np.concatenate([unpack(part["target"], "<f8") for part in (left, right)])[order]
    labels = (
        None
        if left["labels"] is None
        else [(left["labels"] + right["labels"])[place] for place in order.tolist()]
    )
    return _sampled(hashes[order], matrix, target, labels, left["discrete"])


def _information(partial: Json) -> np.ndarray:
    # Loaded where it is needed: once a training, on the driver.
    from sklearn.feature_selection import mutual_info_classif, mutual_info_regression

    width = len(partial["discrete"])
    matrix = unpack(partial["matrix"], "<f8").reshape(-1, width)
    target: Any = (
        unpack(partial["target"], "<f8")
        if partial["labels"] is None
        else np.array(partial["labels"], dtype=object)
    )
    if len(matrix) < 5 or not width:  # fewer rows than neighbours and oneself
        return np.zeros(width)
    classes = partial["labels"] is not None or set(np.unique(target).tolist()) <= {0.0, 1.0}
    estimate = mutual_info_classif if classes else mutual_info_regression
    discrete: Any = np.array(partial["discrete"])
    scores = np.asarray(estimate(matrix, target, discrete_features=discrete, random_state=0))
    # The estimate adds noise, of which what never changes would get a little information; it has
    # none.
    return np.where((matrix == matrix[0]).all(axis=0), 0.0, scores)


@dataclass(frozen=True)
class Score:
    """One way to score features.

    Attributes:
        gather: (the features' columns, the whole frame, rows) -> the partial of a batch.
        merge: two partials -> one; both also hold `widths`, the features of each column.
        judge: the last partial -> (features,) float64.
    """

    gather: Callable[[Mapping[str, Column], Mapping[str, Column], int], Json]
    merge: Callable[[Json, Json], Json]
    judge: Callable[[Json], np.ndarray]


SCORES = {
    "variance": Score(_spreads, _pooled, _variances),
    "chi2": Score(_sums, _added, _chi2),
    "mutual_information": Score(_sample, _lowest, _information),
}
