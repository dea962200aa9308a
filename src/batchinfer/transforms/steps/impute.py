"""`impute`: a value for what is missing.

Owns the choice of that value. Infinities and empty strings are values, not missing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import model_validator

from batchinfer.transforms.column import (
    CATEGORIES,
    Coded,
    Column,
    coded,
    is_arrow,
    kind,
    missing,
    numbers,
)
from batchinfer.transforms.statistics import (
    Moments,
    Ranks,
    Statistic,
    ValueCounts,
    by_frequency,
    quantile,
)
from batchinfer.transforms.step import Fields, Json, RowStep, State, StepProblem

_STATISTICS: dict[str, type[Statistic]] = {
    "mean": Moments,
    "median": Ranks,
    "most_frequent": ValueCounts,
}
_NEUTRAL: dict[str, Any] = {"text": "missing", "bool": False, "integer": 0, "float": 0.0}


class Impute(RowStep):
    """Replaces missing values, in place.

    `mean` and `median` take numbers and give double; `most_frequent` (of equally frequent values
    the smallest) and `constant` keep the type. A column with no value at all, or fitted on zero
    rows, gets 0, False or the text "missing". With `indicator`, `<column>_missing` is 1.0 where a
    value was missing, else 0.0.

    Attributes:
        strategy: which value takes the place of a missing one.
        value: with `strategy: constant`, that value.
        indicator: makes `<column>_missing`, 1 where a value was missing.
    """

    name: ClassVar[str] = "impute"
    accepts: ClassVar[tuple[str, ...]] = (*CATEGORIES, "float")

    strategy: Literal["mean", "median", "most_frequent", "constant"]
    value: bool | int | float | str | None = None
    indicator: bool = False

    @model_validator(mode="after")
    def _value_for_constant(self) -> Impute:
        if (self.strategy == "constant") != (self.value is not None):
            raise ValueError("value goes with strategy: constant, and only with it")
        if isinstance(self.value, float) and not math.isfinite(self.value):
            raise ValueError(f"value: got {self.value}; allowed: a finite number")
        return self

    def makes(self) -> Fields:
        return {f"{name}_missing": pa.float64() for name in self.columns} if self.indicator else {}

    def changed_type(self, before: pa.DataType, state: Json) -> pa.DataType:
        return before if self.strategy in ("most_frequent", "constant") else pa.float64()

    def output_fields(self, fields: Mapping[str, pa.DataType], state: State = None) -> Fields:
        result = super().output_fields(fields, state)
        problems = [
            problem
            for name in self.columns
            for problem in self._value_problems(name, kind(fields[name]))
        ]
        if problems:
            raise StepProblem(problems)
        return result

    def _value_problems(self, name: str, of: str) -> list[str]:
        if self.strategy in ("mean", "median") and of in ("text",):
            return [
                f"impute: column '{name}' is text, which has no {self.strategy}; allowed: "
                "most_frequent, constant"
            ]
        allowed = {"text": str, "bool": bool, "integer": int, "float": (int, float)}.get(of)
        wrong_bool = isinstance(self.value, bool) and of != "bool"
        if (
            self.strategy == "constant"
            and allowed
            and (not isinstance(self.value, allowed) or wrong_bool)
        ):
            return [
                f"impute: column '{name}' holds {of} values; got value {self.value!r}; allowed: a "
                "value of that type"
            ]
        return []

    def statistic(self) -> type[Statistic] | None:
        return _STATISTICS.get(self.strategy)

    def conclude(self, partial: Json) -> Json:
        if self.strategy == "mean":
            return {"value": partial["mean"] if partial["count"] else None}
        if self.strategy == "median":
            return {"value": quantile(partial, 0.5)}
        kept = (
            value
            for value, _ in by_frequency(partial)
            if not isinstance(value, float) or math.isfinite(value)
        )
        return {"value": next(kept, None)}

    def undo(self, state: Json) -> list[Json]:
        return []

    def prepare(self, fields: Mapping[str, pa.DataType], state: State) -> Any:
        fill = {}
        for name in self.columns:
            of = kind(fields[name])
            value = self.value if state is None else state[name]["value"]
            value = _NEUTRAL[of] if value is None else value
            scalar = (
                pa.scalar(value, fields[name])
                if of != "float" and self._keeps_type
                else float(value)
            )
            fill[name] = (of, value, scalar)
        return fill

    @property
    def _keeps_type(self) -> bool:
        return self.strategy in ("most_frequent", "constant")

    def transform(self, frame: dict[str, Column], prepared: Any) -> None:
        for name, (of, value, scalar) in prepared.items():
            column = frame[name]
            if self.indicator:
                frame[f"{name}_missing"] = missing(column).astype(np.float64)
            if of == "text":
                frame[name] = _filled(coded(column), value)
            elif of in ("integer", "bool") and self._keeps_type and is_arrow(column):
                frame[name] = column.fill_null(scalar) if column.null_count else column
            else:
                values = numbers(column)
                gaps = np.isnan(values)
                frame[name] = np.where(gaps, float(value), values) if gaps.any() else values


def _filled(column: Coded, value: str) -> Coded:
    gaps = column.codes < 0
    if not gaps.any():
        return column
    values = pa.concat_arrays([column.values, pa.array([value], column.values.type)])
    return Coded(np.where(gaps, np.int32(len(column.values)), column.codes), values)
