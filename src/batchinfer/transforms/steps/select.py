"""`select`: which features the model gets; the choice made at training is state.

Owns which features are kept, and how; by what they are scored is `feature_scores`. A feature is a
number, or one place of a vector.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from batchinfer.transforms.column import NUMBERS, Column, OneHotColumn, is_arrow, kind, length
from batchinfer.transforms.step import Json, RowStep, State
from batchinfer.transforms.steps.feature_scores import SCORES, dense, width_of
from batchinfer.transforms.supervised import ROW_HASH, TARGET

# About ten decimal digits.
_DIGIT_BITS = 34

Method = Literal["variance", "mutual_information", "chi2", "names"]


class Select(RowStep):
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

    Attributes:
        method: how the features are chosen.
        k: how many are kept; with `variance` it may be left out.

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
        return {
            "widths": widths,
            "method": self.method,
            **SCORES[self.method].gather(found, columns, rows),
        }

    def merge(self, left: Json, right: Json) -> Json:
        return {
            "widths": left["widths"],
            "method": self.method,
            **SCORES[self.method].merge(left, right),
        }

    def finish(self, partial: Json) -> State:
        scores = np.nan_to_num(SCORES[self.method].judge(partial), nan=-1.0)
        # Partial sums come in any order: what differs in the last digits is a tie.
        order = np.argsort(-_first_digits(scores), kind="stable")
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
            if isinstance(column, OneHotColumn):
                place = np.full(width + 1, -1, np.int64)
                place[kept] = np.arange(len(kept))
                frame[name] = OneHotColumn(place[column.index], len(kept))
            elif isinstance(column, np.ndarray) and column.ndim == 2:
                frame[name] = column[:, kept]
            elif is_arrow(column) and kind(column.type) == "vector":
                frame[name] = dense(column)[:, kept]
            elif not len(kept):
                frame[name] = np.zeros((length(column), 0), np.float32)

    def vector_names(self, column: str, state: State, width: int, before: list[str]) -> list[str]:
        return before if state is None else [before[place] for place in state[column]["kept"]]


def _first_digits(scores: np.ndarray) -> np.ndarray:
    """The scores, to about ten digits."""
    mantissa, exponent = np.frexp(scores)
    return np.ldexp(np.round(np.ldexp(mantissa, _DIGIT_BITS)), exponent - _DIGIT_BITS)


def _item(type_: pa.DataType) -> pa.DataType:
    return type_.value_type if kind(type_) == "vector" else pa.float32()
