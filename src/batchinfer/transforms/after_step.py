"""A step after the model: what all of them have, and what a prediction column can be.

Owns how a step finds its columns among the predictions. Knows no step.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import BeforeValidator, Field

from batchinfer.config.shapes.described import TEXT, one_or_more
from batchinfer.transforms.column import kind
from batchinfer.transforms.predictions import is_lists, is_map, mapped_numbers
from batchinfer.transforms.step import Fields, Item, Json, StepProblem, nearest_hint

LABEL, SCORE, SCORES, PREDICTION = "label", "score", "scores", "prediction"
Frame = dict[str, pa.Array]


def _one_or_many(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Columns = Annotated[
    tuple[str, ...],
    BeforeValidator(_one_or_many),
    Field(min_length=1),
    one_or_more("a prediction column, or a list of them", TEXT),
]
Labels = Annotated[tuple[str, ...], Field(min_length=2)]


class AfterStep(Item):
    """One step on prediction columns.

    Attributes:
        columns: the prediction columns that the step works on; without it, those of its usual ones
            that are there.

    Class attributes:
        usual: the prediction columns that the step takes where the pipeline file names none; those
        of them that are there. accepts: the kinds that a column may be of: number, numbers
        (array<double>), shares (map<string,double>), text. fitted: True if the step has a state
        that training gives.
    """

    usual: ClassVar[tuple[str, ...]] = (PREDICTION, SCORE)
    accepts: ClassVar[tuple[str, ...]]
    fitted: ClassVar[bool] = False

    columns: Columns | None = None

    def chosen(self, fields: Mapping[str, pa.DataType]) -> list[str]:
        """The columns that the step works on.

        Raises:
            StepProblem: no such prediction column, or of another type.
        """
        named = (
            list(self.columns)
            if self.columns is not None
            else [name for name in self.usual if name in fields]
        )
        there = ", ".join(fields)
        problems = [
            f"{self.name}: no prediction column '{name}'{nearest_hint(name, fields)}; predictions "
            f"at this step: {there}"
            for name in named
            if name not in fields
        ]
        if not named:
            problems.append(
                f"{self.name}: none of its usual columns ({', '.join(self.usual)}) is there; "
                f"predictions: {there}"
            )
        problems += [
            f"{self.name}: prediction column '{name}' is {fields[name]}; allowed: "
            f"{', '.join(self.accepts)}"
            for name in named
            if name in fields and prediction_kind(fields[name]) not in self.accepts
        ]
        if problems:
            raise StepProblem(problems)
        return named

    def output_fields(self, fields: Mapping[str, pa.DataType], labels: tuple[str, ...]) -> Fields:
        """The prediction columns and types after the step; `labels` are those of the model's
        classes, in order.

        Raises:
            StepProblem: the step does not fit the columns.
        """
        self.chosen(fields)
        return dict(fields)

    def words(self, words: frozenset[str] | None, labels: tuple[str, ...]) -> frozenset[str] | None:
        """What `label` can say after the step, of what it can say before; None: not known.

        Runs on: driver.
        """
        return words

    def transform(self, frame: Frame, state: Json, labels: tuple[str, ...]) -> None:
        """Changes the prediction columns of one batch; rows stay as many and in order. Runs on:
        executor.
        """
        raise NotImplementedError(type(self).__name__)


KIND_TYPES = {
    "number": pa.float64(),
    "numbers": pa.list_(pa.float64()),
    "shares": pa.map_(pa.string(), pa.float64()),
}


def prediction_kind(type_: pa.DataType) -> str:
    """The kind that a prediction column counts as: number, numbers, shares, text or other."""
    if is_map(type_):
        return "shares" if pa.types.is_floating(type_.item_type) else "other"
    if is_lists(type_):
        return (
            "numbers"
            if pa.types.is_floating(type_.value_type) or pa.types.is_integer(type_.value_type)
            else "other"
        )
    return {"integer": "number", "float": "number", "text": "text"}.get(kind(type_), "other")


def binary_labels(positive: np.ndarray, labels: tuple[str, ...]) -> pa.Array:
    """(rows,) bool -> the second label where true, else the first."""
    return pa.array(list(labels[:2]), pa.string()).take(pa.array(positive.astype(np.int8)))


class OnNumbers(AfterStep):
    """A step that changes each number by itself, in numbers, arrays and shares."""

    accepts: ClassVar[tuple[str, ...]] = ("number", "numbers", "shares")

    def output_fields(self, fields: Mapping[str, pa.DataType], labels: tuple[str, ...]) -> Fields:
        return {
            **fields,
            **{name: KIND_TYPES[prediction_kind(fields[name])] for name in self.chosen(fields)},
        }

    def changed(self, values: np.ndarray, state: Json) -> np.ndarray:
        """(n,) float64 -> (n,) float64."""
        raise NotImplementedError(type(self).__name__)

    def transform(self, frame: Frame, state: Json, labels: tuple[str, ...]) -> None:
        for name in self.chosen({name: array.type for name, array in frame.items()}):
            frame[name] = mapped_numbers(frame[name], lambda values: self.changed(values, state))
