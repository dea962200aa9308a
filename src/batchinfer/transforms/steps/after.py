"""Steps after the model, on prediction columns: `threshold`, `label_map`, `softmax`, `top_k`,
`round`, `clip`.

Owns what each does to a row's predictions. They work on Arrow arrays, on any rows alone; what is
not a number stays so, and the engine quarantines such rows. `calibrate` and `inverse` have modules
of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from batchinfer.transforms.after_step import (
    KIND_TYPES,
    LABEL,
    PREDICTION,
    SCORE,
    SCORES,
    AfterStep,
    Frame,
    Labels,
    OnNumbers,
    binary_labels,
)
from batchinfer.transforms.predictions import (
    ITEMS,
    as_map,
    by_length,
    greatest_shares,
    is_map,
    map_parts,
)
from batchinfer.transforms.step import Fields, Json, StepProblem


class Threshold(AfterStep):
    """`label` by a bound of `value` on one number: the second of `labels` from `value` up, the
    first below.

    Without `labels`, those of a model of two classes: its positive label from `value` up.

    Attributes:
        value: from which up the label is the second.
        labels: below and above; without it, those of a model of two classes.
    """

    name: ClassVar[str] = "threshold"
    usual: ClassVar[tuple[str, ...]] = (SCORE, PREDICTION)
    accepts: ClassVar[tuple[str, ...]] = ("number",)

    value: float = Field(allow_inf_nan=False)
    labels: Annotated[tuple[str, str], Field()] | None = None

    def output_fields(self, fields: Mapping[str, pa.DataType], labels: tuple[str, ...]) -> Fields:
        if len(self.chosen(fields)) != 1:
            raise StepProblem(f"threshold: got {len(self.chosen(fields))} columns; allowed: one")
        if self.labels is None and len(labels) != 2:
            known = "several classes" if labels else "no classes"
            raise StepProblem(
                f"threshold: labels are missing, and the model has {known}; allowed: labels: "
                "[below, above]"
            )
        return {**fields, LABEL: pa.string()}

    def words(self, words: frozenset[str] | None, labels: tuple[str, ...]) -> frozenset[str] | None:
        return frozenset(self.labels or labels)

    def transform(self, frame: Frame, state: Json, labels: tuple[str, ...]) -> None:
        (name,) = self.chosen({name: array.type for name, array in frame.items()})
        values = frame[name].cast(pa.float64()).to_numpy(zero_copy_only=False)
        with np.errstate(invalid="ignore"):
            frame[LABEL] = binary_labels(values >= self.value, self.labels or labels)


class LabelMap(AfterStep):
    """Other names for labels, in text and as the names of shares. A label that is not listed
    becomes `default`, or stays.

    Shares whose names become one are added up. In a row where that happened, `label` is the
    greatest share's and `score` that share, if the step changes both `label` and `scores`; in other
    rows `score` stays.

    Attributes:
        values: a new name for each of these labels.
        default: the name of all others; without it, they stay.
    """

    name: ClassVar[str] = "label_map"
    version: ClassVar[int] = 2
    usual: ClassVar[tuple[str, ...]] = (LABEL, SCORES)
    accepts: ClassVar[tuple[str, ...]] = ("text", "shares")

    values: dict[str, str] = Field(min_length=1)
    default: str | None = None

    def words(self, words: frozenset[str] | None, labels: tuple[str, ...]) -> frozenset[str] | None:
        if self.columns is not None and LABEL not in self.columns:
            return words
        if words is None:
            # Any word may come in.
            return (
                None if self.default is None else frozenset({*self.values.values(), self.default})
            )
        return frozenset(self._new_name(word) for word in words)

    def transform(self, frame: Frame, state: Json, labels: tuple[str, ...]) -> None:
        chosen = self.chosen({name: array.type for name, array in frame.items()})
        before = frame.get(SCORES)
        for name in chosen:
            array = frame[name]
            frame[name] = (
                self._renamed_shares(array) if is_map(array.type) else self._renamed(array)
            )
        if before is not None and is_map(before.type) and {LABEL, SCORES} <= set(chosen):
            self._name_greatest(frame, map_parts(before)[0] > map_parts(frame[SCORES])[0])

    def _name_greatest(self, frame: Frame, merged: np.ndarray) -> None:
        """Label and score of the rows in which shares were merged."""
        if not merged.any():
            return
        for name, greatest in zip((LABEL, SCORE), greatest_shares(frame[SCORES]), strict=True):
            if name in frame:
                frame[name] = pc.call_function("if_else", [pa.array(merged), greatest, frame[name]])

    def _renamed(self, texts: pa.Array) -> pa.Array:
        encoded = texts.dictionary_encode()
        new = [self._new_name(text) for text in encoded.dictionary.to_pylist()]
        return pa.array(new, pa.string()).take(encoded.indices)

    def _new_name(self, label: str) -> str:
        return self.values.get(label, label if self.default is None else self.default)

    def _renamed_shares(self, shares: pa.Array) -> pa.Array:
        lengths, names, values = map_parts(shares)
        encoded = self._renamed(names).dictionary_encode()
        count = max(1, len(encoded.dictionary))
        rows = np.repeat(np.arange(len(lengths)), lengths)
        cells = rows * count + encoded.indices.to_numpy()
        # One share for each row and name, names in the order in which the row has them.
        distinct, first, place = np.unique(cells, return_index=True, return_inverse=True)
        totals = np.bincount(place, values, minlength=len(distinct))
        order = np.lexsort((first, distinct // count))
        names = encoded.dictionary.take(pa.array(distinct[order] % count))
        kept = np.bincount(distinct // count, minlength=len(lengths))
        return as_map(kept, names, totals[order], shares)


class Softmax(AfterStep):
    """exp(x) over the sum of exp of the row's numbers: shares that add up to 1.

    With `labels`, one for each number, the column gives way to `label`, `score` (of the label) and
    `scores`, as a classifier of this project has them.

    Attributes:
        labels: one for each number; with it, the column gives way to `label`, `score` and `scores`.
    """

    name: ClassVar[str] = "softmax"
    usual: ClassVar[tuple[str, ...]] = (PREDICTION,)
    accepts: ClassVar[tuple[str, ...]] = ("numbers",)

    labels: Labels | None = None

    @model_validator(mode="after")
    def _distinct(self) -> Softmax:
        if self.labels is not None and len(set(self.labels)) < len(self.labels):
            raise ValueError(f"labels: got {list(self.labels)}; allowed: each label once")
        return self

    def output_fields(self, fields: Mapping[str, pa.DataType], labels: tuple[str, ...]) -> Fields:
        names = self.chosen(fields)
        if self.labels is None:
            return {**fields, **dict.fromkeys(names, KIND_TYPES["numbers"])}
        if len(names) != 1:
            raise StepProblem(f"softmax: got {len(names)} columns with labels; allowed: one")
        rest = {name: type_ for name, type_ in fields.items() if name != names[0]}
        return {
            **rest,
            LABEL: pa.string(),
            SCORE: pa.float64(),
            SCORES: pa.map_(pa.string(), pa.float64()),
        }

    def words(self, words: frozenset[str] | None, labels: tuple[str, ...]) -> frozenset[str] | None:
        return words if self.labels is None else frozenset(self.labels)

    def transform(self, frame: Frame, state: Json, labels: tuple[str, ...]) -> None:
        for name in self.chosen({name: array.type for name, array in frame.items()}):
            array = by_length(frame[name], softmax)
            if self.labels is None:
                frame[name] = array
            else:
                del frame[name]
                frame.update(classified(array, self.labels))


def softmax(matrix: np.ndarray) -> np.ndarray:
    """(rows, n) float64 -> the same shape, rows add up to 1; of n = 0 nothing."""
    if not matrix.shape[1]:
        return matrix
    with np.errstate(all="ignore"):
        powers = np.exp(matrix - matrix.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)


def classified(shares: pa.Array, labels: tuple[str, ...]) -> Frame:
    """`label`, `score` and `scores` of rows of shares, one for each label.

    Raises:
        ValueError: a row has another number of shares.
    """
    lengths = shares.value_lengths().fill_null(0).to_numpy()
    if len(lengths) and not (lengths == len(labels)).all():
        raise ValueError(
            f"softmax: got {int(lengths[lengths != len(labels)][0])} numbers; allowed: one for "
            f"each of {len(labels)} labels"
        )
    matrix = shares.flatten().to_numpy(zero_copy_only=False).reshape(len(lengths), len(labels))
    names = pa.array(list(labels), pa.string())
    keys = names.take(pa.array(np.tile(np.arange(len(labels)), len(lengths))))
    return {
        LABEL: names.take(pa.array(matrix.argmax(axis=1))),
        SCORE: pa.array(matrix.max(axis=1)),
        SCORES: as_map(lengths, keys, matrix.reshape(-1), shares),
    }


class TopK(AfterStep):
    """`items`: the `k` greatest shares or numbers of the row, the greatest first, as
    array<struct<item, score>>.

    The column they come from is left out. Items are the names of the shares; of numbers, `labels`,
    else their places from 0 as text. Of equal ones the earlier goes first; a row of fewer has fewer
    items.

    Attributes:
        k: how many are kept.
        labels: names of the numbers; without it, their places.
    """

    name: ClassVar[str] = "top_k"
    usual: ClassVar[tuple[str, ...]] = (SCORES, PREDICTION)
    accepts: ClassVar[tuple[str, ...]] = ("shares", "numbers")

    k: int = Field(ge=1, le=100_000)
    labels: Labels | None = None

    def output_fields(self, fields: Mapping[str, pa.DataType], labels: tuple[str, ...]) -> Fields:
        names = self.chosen(fields)
        if len(names) != 1:
            raise StepProblem(f"top_k: got {len(names)} columns; allowed: one")
        if self.labels is not None and is_map(fields[names[0]]):
            raise StepProblem(f"top_k: labels do not go with '{names[0]}', whose shares have names")
        rest = {name: type_ for name, type_ in fields.items() if name != names[0]}
        if "items" in rest:
            raise StepProblem("top_k makes the column 'items', which is there already")
        return {**rest, "items": ITEMS}

    def transform(self, frame: Frame, state: Json, labels: tuple[str, ...]) -> None:
        (name,) = self.chosen({name: array.type for name, array in frame.items()})
        array = frame.pop(name)
        if is_map(array.type):
            lengths, names, values = map_parts(array)
        else:
            lengths, names = array.value_lengths().fill_null(0).to_numpy(), None
            values = array.flatten().cast(pa.float64()).to_numpy(zero_copy_only=False)
        starts = np.cumsum(lengths) - lengths
        rows = np.repeat(np.arange(len(lengths)), lengths)
        # What is not a number comes first, so that it is seen.
        order = np.lexsort(
            (np.arange(len(values)), -np.where(np.isnan(values), np.inf, values), rows)
        )
        rank = np.arange(len(values)) - np.repeat(starts, lengths)
        chosen = order[rank < self.k]
        names = (
            self._names(chosen - starts[rows[chosen]])
            if names is None
            else names.take(pa.array(chosen))
        )
        items = pa.StructArray.from_arrays(
            [names, pa.array(values[chosen])], fields=list(ITEMS.value_type)
        )
        offsets = np.concatenate([[0], np.cumsum(np.minimum(lengths, self.k))]).astype(np.int32)
        frame["items"] = pa.ListArray.from_arrays(
            pa.array(offsets, mask=_null_offsets(array)), items
        ).cast(ITEMS)

    def _names(self, places: np.ndarray) -> pa.Array:
        if self.labels is None:
            return pa.array(places).cast(pa.string())
        if len(places) and int(places.max()) >= len(self.labels):
            raise ValueError(
                f"top_k: got at least {int(places.max()) + 1} numbers; allowed: one for each of "
                f"{len(self.labels)} labels"
            )
        return pa.array(list(self.labels), pa.string()).take(pa.array(places))


def _null_offsets(array: pa.Array) -> np.ndarray:
    return np.append(array.is_null().to_numpy(zero_copy_only=False), False)


class Round(OnNumbers):
    """To `digits` decimal places, halves to the even neighbour; `digits` below 0 round to tens,
    hundreds …

    Attributes:
        digits: decimal places; below 0, tens, hundreds …
    """

    name: ClassVar[str] = "round"
    usual: ClassVar[tuple[str, ...]] = (PREDICTION, SCORE, SCORES)

    digits: int = Field(0, ge=-15, le=15)

    def changed(self, values: np.ndarray, state: Json) -> np.ndarray:
        return np.round(values, self.digits)


class ClipAfter(OnNumbers):
    """Bounds on numbers: below `lower` becomes `lower`, above `upper` becomes `upper`.

    Attributes:
        lower: least value.
        upper: greatest value.
    """

    name: ClassVar[str] = "clip"

    lower: float | None = Field(None, allow_inf_nan=False)
    upper: float | None = Field(None, allow_inf_nan=False)

    @model_validator(mode="after")
    def _bounds(self) -> ClipAfter:
        if self.lower is None and self.upper is None:
            raise ValueError("no bound given; allowed: lower, upper")
        if self.lower is not None and self.upper is not None and self.lower > self.upper:
            raise ValueError(
                f"the lower bound {self.lower} lies above the upper bound {self.upper}"
            )
        return self

    def changed(self, values: np.ndarray, state: Json) -> np.ndarray:
        return np.clip(values, self.lower, self.upper)
