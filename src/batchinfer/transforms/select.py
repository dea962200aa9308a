"""`select`: which features the model gets; the choice made at training is state.

Owns the scores by which features are chosen. A feature is a number, or one place of a vector.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from batchinfer.errors import InputError
from batchinfer.transforms.column import (
    NUMBERS,
    Column,
    Places,
    is_arrow,
    kind,
    length,
    numbers,
    write,
)
from batchinfer.transforms.statistics import pack, unpack
from batchinfer.transforms.step import Json, State, Step
from batchinfer.transforms.supervised import (
    ROW_HASH,
    TARGET,
    row_hashes,
    target_classes,
    target_is_text,
    target_numbers,
)

MAX_SAMPLE = 10_000
_MAX_CELLS = 4_000_000

Method = Literal["variance", "mutual_information", "chi2", "names"]


class Select(Step):
    """Keeps some of the features that its columns hold; the model does not get the others.

    - `variance`: the `k` that vary most; without `k` all that vary at all. Missing values are left
    out.
    - `chi2`: the `k` with the greatest chi-squared statistic between feature and class; features
      from 0 up, a target of classes. Missing counts as 0, as the model sees it.
    - `mutual_information`: the `k` that say most about the target, estimated from nearest
      neighbours (whole numbers, bools and vectors of a one count as categories) on at most 10,000
      labelled rows, those of the lowest key hash. Infinite values count as missing, and missing as
      0.
    - `names`: exactly these columns, and no feature besides them; nothing is fitted.

    Of equal scores the earlier column goes first. A number that is not chosen becomes a vector of
    length 0. Fitted on zero rows, the first `k` are kept.

    Source: chi2 and mutual information as in scikit-learn's feature_selection; the latter is
    Kraskov, Stoegbauer and Grassberger (2004) and Ross (2014).
    """

    name: ClassVar[str] = "select"
    accepts: ClassVar[tuple[str, ...]] = (*NUMBERS, "vector")

    method: Method
    k: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _k_where_it_is_used(self) -> Select:
        if self.method in ("mutual_information", "chi2") and self.k is None:
            raise ValueError(f"k is missing: how many features {self.method} keeps")
        if self.method == "names" and self.k is not None:
            raise ValueError(
                "k does not go with method: names, which keeps the columns that it names"
            )
        return self

    @property
    def fitted(self) -> bool:
        return self.method != "names"

    @property
    def only(self) -> bool:
        return self.method == "names"

    def learns_from(self) -> tuple[str, ...]:
        return {"chi2": (TARGET,), "mutual_information": (TARGET, ROW_HASH)}.get(self.method, ())

    def target_problems(self, target: str | None) -> list[str]:
        if self.method == "chi2" and target == "number":
            return [
                "select: chi2 needs a target of classes; got a number; allowed: "
                "mutual_information, variance, names"
            ]
        return super().target_problems(target)

    def changed_type(self, before: pa.DataType, state: Json) -> pa.DataType:
        if not self.fitted or (state is None and kind(before) != "vector"):
            return before
        if state is None:
            return pa.list_(before.value_type, -1)
        whole = kind(before) != "vector" and len(state["kept"]) == 1
        return before if whole else pa.list_(_item(before), len(state["kept"]))

    def accumulate(self, columns: Mapping[str, Column]) -> Json:
        found = {name: columns[name] for name in self.columns}
        rows = length(next(iter(found.values())))
        widths = {name: width_of(column) for name, column in found.items()}
        gather: dict[str, Callable[..., Json]] = {
            "variance": _spreads,
            "chi2": _sums,
            "mutual_information": _sample,
        }
        return {
            "widths": widths,
            "method": self.method,
            **gather[self.method](found, columns, rows),
        }

    def merge(self, left: Json, right: Json) -> Json:
        together: dict[str, Callable[[Json, Json], Json]] = {
            "variance": _pooled, "chi2": _added, "mutual_information": _lowest,
        }  # fmt: skip
        return {
            "widths": left["widths"],
            "method": self.method,
            **together[self.method](left, right),
        }

    def finish(self, partial: Json) -> State:
        judge: dict[str, Callable[[Json], np.ndarray]] = {
            "variance": _variances, "chi2": _chi2, "mutual_information": _information,
        }  # fmt: skip
        scores = np.nan_to_num(judge[self.method](partial), nan=-1.0)
        order = np.argsort(-scores, kind="stable")
        chosen = order[: self.k] if self.k is not None else order[scores[order] > 0]
        state, start = {}, 0
        for name in self.columns:
            width = partial["widths"][name]
            kept = np.sort(chosen[(chosen >= start) & (chosen < start + width)]) - start
            state[name] = {
                "width": width,
                "kept": kept.tolist(),
                "scores": scores[start + kept].tolist(),
            }
            start += width
        return state

    def prepare(self, fields: Mapping[str, pa.DataType], state: State) -> Any:
        return {
            name: (found["width"], np.array(found["kept"], np.int64))
            for name, found in (state or {}).items()
        }

    def transform(self, frame: dict[str, Column], prepared: Any) -> None:
        for name, (width, kept) in prepared.items():
            column = frame[name]
            if isinstance(column, Places):
                place = np.full(width + 1, -1, np.int64)
                place[kept] = np.arange(len(kept))
                frame[name] = Places(place[column.index], len(kept))
            elif isinstance(column, np.ndarray) and column.ndim == 2:
                frame[name] = column[:, kept]
            elif is_arrow(column) and kind(column.type) == "vector":
                frame[name] = _dense(column)[:, kept]
            elif not len(kept):
                frame[name] = np.zeros((length(column), 0), np.float32)

    def vector_names(self, column: str, state: State, width: int, before: list[str]) -> list[str]:
        return before if state is None else [before[place] for place in state[column]["kept"]]


def _item(type_: pa.DataType) -> pa.DataType:
    return type_.value_type if kind(type_) == "vector" else pa.float32()


def width_of(column: Column) -> int:
    """How many features a column holds."""
    if isinstance(column, Places):
        return column.width
    if isinstance(column, np.ndarray) and column.ndim == 2:
        return column.shape[1]
    if is_arrow(column) and kind(column.type) == "vector":
        return (
            column.type.list_size
            if pa.types.is_fixed_size_list(column.type)
            else _dense(column).shape[1]
        )
    return 1


def _dense(column: Column, rows: np.ndarray | None = None) -> np.ndarray:
    """(rows, width) float64; NaN where a number is missing."""
    if isinstance(column, Places):
        index = column.index if rows is None else column.index[rows]
        matrix = np.zeros((len(index), column.width), np.float32)
        write(Places(index, column.width), matrix, 0)
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
    if isinstance(column, Places):
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
    values = _dense(column)
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
    if isinstance(column, Places):
        index = column.index[labelled]
        cells = (codes.astype(np.int64) * column.width + index)[index >= 0]
        return (
            np.bincount(cells, minlength=count * column.width)
            .reshape(count, column.width)
            .astype(np.float64)
        )
    values = np.nan_to_num(_dense(column, labelled), nan=0.0)
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
    matrix = np.concatenate([_dense(column, order) for column in found.values()], axis=1)
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
    return isinstance(column, Places) or (
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
