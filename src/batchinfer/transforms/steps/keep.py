"""`keep`: columns that the model gets as they are.

Owns the one step that leaves missing values missing.
"""

from __future__ import annotations

from typing import Any, ClassVar

import pyarrow.types as pt

from batchinfer.transforms.column import (
    CATEGORIES,
    NUMBERS,
    TIMES,
    Column,
    is_arrow,
    kind,
)
from batchinfer.transforms.step import KEEP, Json, RowStep, State
from batchinfer.transforms.steps.feature_scores import dense


class Keep(RowStep):
    """Hands columns to the model as they are; a missing number is not-a-number in the matrix, not
    0.

    A pipeline whose only step it is feeds a model trained elsewhere the landed columns themselves,
    of whatever type: by name where the model has names, else in the order in which they stand here.
    After or beside other steps it takes numbers and vectors of a fixed length.
    """

    name: ClassVar[str] = KEEP
    accepts: ClassVar[tuple[str, ...]] = tuple(
        dict.fromkeys((*NUMBERS, *CATEGORIES, *TIMES, "vector", "bytes"))
    )
    keeps_missing: ClassVar[bool] = True

    def transform(self, frame: dict[str, Column], prepared: Any) -> None:
        for name in self.columns:
            column = frame[name]
            if is_arrow(column) and kind(column.type) == "vector" and not pt.is_list(column.type):
                frame[name] = dense(column)

    def undo(self, state: Json) -> list[Json]:
        return []

    def vector_names(self, column: str, state: State, width: int, before: list[str]) -> list[str]:
        named = len(before) == width
        return before if named else super().vector_names(column, state, width, before)
