"""`target_encode`: categories as what the target was for them, in place.

Owns the formula, and that no row learns from its own label: the rows that are learned from get the
encoding of the other folds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field, field_validator

from batchinfer.errors import InputError
from batchinfer.transforms.category_places import Lookup
from batchinfer.transforms.column import CATEGORIES, UNKNOWN, Coded, Column, coded, unencoded
from batchinfer.transforms.statistics import MAX_CATEGORIES, pack, unpack
from batchinfer.transforms.step import Fields, Json, RowStep, State
from batchinfer.transforms.supervised import (
    ROW_HASH,
    TARGET,
    folds_of,
    has_classes,
    target_classes,
    target_is_text,
    target_numbers,
)

Smoothing = float | Literal["auto"]


class TargetEncode(RowStep):
    """The mean of the target over the rows of the category, drawn toward the mean over all rows, as
    double.

    With a target of several classes: a vector of one share a class, classes in the order of their
    names. `smoothing` m gives (sum + m * mean of all) / (rows + m); `auto` weighs by how much the
    target varies within the category and over all. Unseen: the mean of all. Missing is a category
    of its own if it was seen at fit, else unseen. Rows without a label count nowhere; without any
    label all is 0.

    The rows that the model learns from are encoded by the other `folds` - 1 folds, so that a rare
    category does not tell a row its own label; a row's fold is decided by the hash of its key.

    Attributes:
        smoothing: rows that the mean of all counts for; `auto` takes it from how much the target
            varies.
        folds: parts of the rows, each encoded by the others.

    Source: Micci-Barreca, "A preprocessing scheme for high-cardinality categorical attributes",
    SIGKDD Explorations 3 (2001); `auto` and the folds as in scikit-learn's TargetEncoder, whose
    folds are random instead.
    """

    name: ClassVar[str] = "target_encode"
    accepts: ClassVar[tuple[str, ...]] = CATEGORIES
    encodes: ClassVar[bool] = True

    smoothing: Smoothing = Field("auto")
    folds: int = Field(5, ge=2, le=100)

    @field_validator("smoothing")
    @classmethod
    def _not_negative(cls, smoothing: Smoothing) -> Smoothing:
        if isinstance(smoothing, float) and not (np.isfinite(smoothing) and smoothing >= 0):
            raise ValueError("auto, or a number from 0 up")
        return smoothing

    @property
    def fitted(self) -> bool:
        return True

    def learns_from(self) -> tuple[str, ...]:
        return (TARGET, ROW_HASH)

    def output_fields(self, fields: Mapping[str, pa.DataType], state: State = None) -> Fields:
        result = super().output_fields(fields, state)
        for name in self.columns:
            if result[name] == UNKNOWN:
                continue
            classes = state[name]["classes"] if state else [] if has_classes(fields) else None
            width = -1 if classes is not None and not state else len(classes or ())
            result[name] = pa.float64() if classes is None else pa.list_(pa.float32(), width)
        return result

    def accumulate(self, columns: Mapping[str, Column]) -> Json:
        folds = folds_of(columns, self.folds)
        if target_is_text(columns):
            target = target_classes(columns)
            return {
                name: _count_classes(coded(columns[name]), target, folds, self.folds)
                for name in self.columns
            }
        values = target_numbers(columns)
        return {
            name: _moments(coded(columns[name]), values, folds, self.folds) for name in self.columns
        }

    def merge(self, left: Json, right: Json) -> Json:
        return {name: _merged(left[name], right[name], self.folds, name) for name in self.columns}

    def conclude(self, partial: Json) -> Json:
        groups = [
            _group(partial, self.folds, None),
            *(_group(partial, self.folds, fold) for fold in range(self.folds)),
        ]
        encoded = [_encode(group, self.smoothing) for group in groups]
        order = sorted(range(len(partial["values"])), key=partial["values"].__getitem__)
        tables = [
            {
                "prior": prior.tolist(),
                "missing": table[-1].tolist(),
                "values": table[order].tolist(),
            }
            for prior, table in encoded
        ]
        classes = partial["classes"]
        if classes is not None:
            by_name = sorted(range(len(classes)), key=classes.__getitem__)
            tables = [_with_classes(table, by_name) for table in tables]
            classes = sorted(classes)
        categories = [partial["values"][place] for place in order]
        return {
            "categories": categories,
            "classes": classes,
            "encoding": tables[0],
            "out_of_fold": tables[1:],
        }

    def released(self, state: State) -> State:
        return {name: {**found, "out_of_fold": []} for name, found in (state or {}).items()}

    def prepare(self, fields: Mapping[str, pa.DataType], state: State) -> Any:
        return {
            name: (
                Lookup(found["categories"], fields[name]),
                *_tables(found),
                found["classes"] is not None,
            )
            for name, found in (state or {}).items()
        }

    def transform(self, frame: dict[str, Column], prepared: Any) -> None:
        for name, (lookup, encoding, out_of_fold, vector) in prepared.items():
            column = coded(frame[name])
            frame[unencoded(name)] = column
            # Places in a table whose last two rows are of unseen and of missing values.
            unseen, missing = len(encoding) - 2, len(encoding) - 1
            places = lookup.take(column, np.arange(unseen), unseen, missing)
            if len(out_of_fold) and ROW_HASH in frame:
                values = out_of_fold[folds_of(frame, self.folds), places]
            else:
                values = encoding[places]
            frame[name] = values.astype(np.float32) if vector else values[:, 0]

    def vector_names(self, column: str, state: State, width: int, before: list[str]) -> list[str]:
        return [f"{column}:{label}" for label in (state or {})[column]["classes"]]


def _tables(state: Json) -> tuple[np.ndarray, np.ndarray]:
    """(categories + 2, width) of all rows, and (folds, categories + 2, width) of the other folds;
    or none of these.
    """
    table, *others = (
        np.array([*found["values"], found["prior"], found["missing"]], np.float64)
        for found in (state["encoding"], *state["out_of_fold"])
    )
    return table, np.stack(others) if others else np.zeros((0, 0, 0))


def _with_classes(table: Json, order: list[int]) -> Json:
    return {
        "prior": [table["prior"][place] for place in order],
        "missing": [table["missing"][place] for place in order],
        "values": [[row[place] for place in order] for row in table["values"]],
    }


# Partial statistics of a column: `values` (categories), `classes` (or None), and for each category,
# then for missing, and each fold: rows, mean and sum of squared differences of the target; or of
# each class its rows.


def _kept(column: Coded, labelled: np.ndarray) -> tuple[list[Any], np.ndarray]:
    """The distinct categories, and each labelled row's place among them; missing is the last
    place.
    """
    values = column.values.to_pylist()
    places = {value: place for place, value in enumerate(dict.fromkeys(values))}
    table = np.array([*(places[value] for value in values), len(places)], np.int64)
    return list(places), table[column.codes[labelled]]


def _moments(column: Coded, target: np.ndarray, folds: np.ndarray, count: int) -> Json:
    labelled = np.isfinite(target)
    values, places = _kept(column, labelled)
    shape = (len(values) + 1, count)
    cells, kept = places * count + folds[labelled], target[labelled]
    rows = np.bincount(cells, minlength=shape[0] * count)
    with np.errstate(invalid="ignore"):
        mean = np.nan_to_num(np.bincount(cells, kept, minlength=shape[0] * count) / rows)
    spread = np.bincount(cells, np.square(kept - mean[cells]), minlength=shape[0] * count)
    return _packed(values, None, rows.reshape(shape), mean.reshape(shape), spread.reshape(shape))


def _count_classes(column: Coded, target: Coded, folds: np.ndarray, count: int) -> Json:
    labelled = target.codes >= 0
    values, places = _kept(column, labelled)
    classes = target.values.to_pylist()
    cells = (places * count + folds[labelled]) * len(classes) + target.codes[labelled]
    rows = np.bincount(cells, minlength=(len(values) + 1) * count * len(classes))
    return _packed(values, classes, rows.reshape(len(values) + 1, count, len(classes)))


def _packed(values: list[Any], classes: list[str] | None, *arrays: np.ndarray) -> Json:
    dtypes = ("<i8", "<f8", "<f8")
    return {
        "values": values,
        "classes": classes,
        "arrays": [
            pack(array.reshape(-1), dtype) for array, dtype in zip(arrays, dtypes, strict=False)
        ],
    }


def _arrays(partial: Json, folds: int) -> list[np.ndarray]:
    shape = (
        len(partial["values"]) + 1,
        folds,
        *(() if partial["classes"] is None else (len(partial["classes"]),)),
    )
    return [
        unpack(text, dtype).reshape(shape)
        for text, dtype in zip(partial["arrays"], ("<i8", "<f8", "<f8"), strict=False)
    ]


def _merged(left: Json, right: Json, folds: int, name: str) -> Json:
    values = list(dict.fromkeys([*left["values"], *right["values"]]))
    if len(values) > MAX_CATEGORIES:
        raise InputError(
            f"column '{name}' has more than {MAX_CATEGORIES:,} distinct values",
            "use `hashing`, which needs no table",
        )
    at = {value: place for place, value in enumerate(values)}
    classes = None
    if left["classes"] is not None:
        classes = list(dict.fromkeys([*left["classes"], *right["classes"]]))
    a, b = (_spread(part, at, classes, folds) for part in (left, right))
    if classes is not None:
        return _packed(values, classes, a[0] + b[0])
    return _packed(values, None, *_pooled(a, b))


def _spread(
    partial: Json, at: dict[Any, int], classes: list[str] | None, folds: int
) -> list[np.ndarray]:
    """The arrays of a partial with rows (and classes) for all that either side has."""
    rows = np.array([*(at[value] for value in partial["values"]), len(at)])
    result = []
    for array in _arrays(partial, folds):
        if classes is None:
            wide = np.zeros((len(at) + 1, folds), array.dtype)
            wide[rows] = array
        else:
            wide = np.zeros((len(at) + 1, folds, len(classes)), array.dtype)
            labels = np.array([classes.index(label) for label in partial["classes"]], np.int64)
            wide[rows[:, None, None], np.arange(folds)[:, None], labels] = array
        result.append(wide)
    return result


def _pooled(a: list[np.ndarray], b: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, means and sums of squared differences of two parts together; see `statistics.Moments`
    for the source.
    """
    rows = a[0] + b[0]
    share = b[0] / np.maximum(rows, 1)
    delta = b[1] - a[1]
    return rows, a[1] + delta * share, a[2] + b[2] + np.square(delta) * a[0] * share


Group = tuple[np.ndarray, np.ndarray, np.ndarray]


def _group(partial: Json, folds: int, without: int | None) -> Group:
    """Rows (categories + 1, 1), means and sums of squared differences (categories + 1, width) over
    the folds but one.
    """
    arrays = _arrays(partial, folds)
    chosen = [fold for fold in range(folds) if fold != without]
    if partial["classes"] is not None:
        counts = arrays[0][:, chosen].sum(axis=1).astype(np.float64)
        rows = counts.sum(axis=1, keepdims=True)
        means = counts / np.maximum(rows, 1)
        return rows, means, rows * means * (1 - means)
    total = [array[:, chosen[0]] for array in arrays]
    for fold in chosen[1:]:
        total = list(_pooled(total, [array[:, fold] for array in arrays]))
    return total[0][:, None].astype(np.float64), total[1][:, None], total[2][:, None]


def _encode(group: Group, smoothing: Smoothing) -> tuple[np.ndarray, np.ndarray]:
    """The mean of all (width,), and the encoding of each category and of missing (categories + 1,
    width).
    """
    rows, means, spreads = group
    total = rows.sum()
    if not total:
        return np.zeros(means.shape[1]), np.zeros(means.shape)
    prior = (rows * means).sum(axis=0) / total
    if smoothing == "auto":
        variance = (spreads.sum(axis=0) + (rows * np.square(means - prior)).sum(axis=0)) / total
        with np.errstate(invalid="ignore", divide="ignore"):
            weight = variance * rows / (variance * rows + spreads / rows)
        weight = np.nan_to_num(weight)
    else:
        weight = rows / np.maximum(rows + smoothing, np.finfo(np.float64).tiny)
    return prior, weight * means + (1 - weight) * prior
