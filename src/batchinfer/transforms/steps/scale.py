"""Steps that shift and scale numbers, in place: `standardize`, `min_max`, `robust`, `clip`,
`log1p`.

Owns their formulas. All give double. Missing stays missing; see `step` for the rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from batchinfer.transforms.column import NUMBERS, Column, numbers
from batchinfer.transforms.statistics import Moments, Ranks, Statistic, quantile
from batchinfer.transforms.step import Json, RowStep, State


class Numeric(RowStep):
    """A step that changes numbers into double, in place."""

    accepts: ClassVar[tuple[str, ...]] = NUMBERS

    def changed_type(self, before: pa.DataType, state: Json) -> pa.DataType:
        return pa.float64()


class _Scaled(Numeric):
    """(x - shift) / scale with the state {shift, scale}; scale is 1 where the data does not
    vary.
    """

    def prepare(self, fields: Mapping[str, pa.DataType], state: State) -> Any:
        return [(name, found["shift"], found["scale"]) for name, found in (state or {}).items()]

    def undo(self, state: Json) -> list[Json]:
        return [{"step": "scale", "shift": state["shift"], "scale": state["scale"]}]

    def transform(self, frame: dict[str, Column], prepared: Any) -> None:
        with np.errstate(over="ignore"):  # beyond the greatest float64 lies infinity, as elsewhere
            for name, shift, scale in prepared:
                scaled = numbers(frame[name]) - shift
                scaled /= scale
                frame[name] = scaled


class Standardize(_Scaled):
    """(x - mean) / standard deviation of the population.

    A column with no spread (all equal, one row) becomes x - mean; one with no value at all stays as
    it is.
    """

    name: ClassVar[str] = "standardize"

    def statistic(self) -> type[Statistic]:
        return Moments

    def conclude(self, partial: Json) -> Json:
        if partial["low"] == partial["high"]:
            return {"shift": partial["low"], "scale": 1.0}
        # Below the smallest float64 the deviation of tiny numbers is 0 though they differ.
        return {
            "shift": partial["mean"],
            "scale": float(np.sqrt(partial["m2"] / partial["count"])) or 1.0,
        }


class MinMax(_Scaled):
    """(x - min) / (max - min); values beyond those of the fit go beyond 0 and 1. No spread: x -
    min.
    """

    name: ClassVar[str] = "min_max"

    def statistic(self) -> type[Statistic]:
        return Moments

    def conclude(self, partial: Json) -> Json:
        return {"shift": partial["low"], "scale": partial["high"] - partial["low"] or 1.0}


class Robust(_Scaled):
    """(x - median) / (third quartile - first quartile); x - median where the quartiles are
    equal.
    """

    name: ClassVar[str] = "robust"

    def statistic(self) -> type[Statistic]:
        return Ranks

    def conclude(self, partial: Json) -> Json:
        first, median, third = (quantile(partial, at) or 0.0 for at in (0.25, 0.5, 0.75))
        return {"shift": median, "scale": third - first or 1.0}


class Clip(Numeric):
    """Values below the lower bound become it, those above the upper bound likewise; infinities too.

    Bounds are numbers, or quantiles of the data; a quantile of a column without values is no bound,
    and one that lies beyond the other bound counts as that bound.

    Attributes:
        lower: least value.
        upper: greatest value.
        lower_quantile: quantile of the data that is the least value.
        upper_quantile: quantile of the data that is the greatest value.
    """

    name: ClassVar[str] = "clip"

    lower: float | None = Field(None, allow_inf_nan=False)
    upper: float | None = Field(None, allow_inf_nan=False)
    lower_quantile: float | None = Field(None, ge=0, le=1)
    upper_quantile: float | None = Field(None, ge=0, le=1)

    @model_validator(mode="after")
    def _bounds(self) -> Clip:
        if self.lower is not None and self.lower_quantile is not None:
            raise ValueError("lower and lower_quantile exclude each other")
        if self.upper is not None and self.upper_quantile is not None:
            raise ValueError("upper and upper_quantile exclude each other")
        if (self.lower, self.upper, self.lower_quantile, self.upper_quantile) == (
            None,
            None,
            None,
            None,
        ):
            raise ValueError(
                "no bound given; allowed: lower, upper, lower_quantile, upper_quantile"
            )
        for low, high in ((self.lower, self.upper), (self.lower_quantile, self.upper_quantile)):
            if low is not None and high is not None and low > high:
                raise ValueError(f"the lower bound {low} lies above the upper bound {high}")
        return self

    def statistic(self) -> type[Statistic] | None:
        return Ranks if self.lower_quantile is not None or self.upper_quantile is not None else None

    def conclude(self, partial: Json) -> Json:
        lower = (
            self.lower if self.lower_quantile is None else quantile(partial, self.lower_quantile)
        )
        upper = (
            self.upper if self.upper_quantile is None else quantile(partial, self.upper_quantile)
        )
        if lower is not None and upper is not None and lower > upper:
            lower, upper = (upper, upper) if self.lower is None else (lower, lower)
        return {"lower": lower, "upper": upper}

    def prepare(self, fields: Mapping[str, pa.DataType], state: State) -> Any:
        given = {"lower": self.lower, "upper": self.upper}
        bounds = {name: (state or {}).get(name, given) for name in self.columns}
        return [(name, found["lower"], found["upper"]) for name, found in bounds.items()]

    def undo(self, state: Json) -> list[Json]:
        return []

    def transform(self, frame: dict[str, Column], prepared: Any) -> None:
        for name, lower, upper in prepared:
            values = numbers(frame[name])
            values = values if lower is None else np.maximum(values, lower)
            frame[name] = values if upper is None else np.minimum(values, upper)


class Log1p(Numeric):
    """ln(1 + x); values from -1 down have no logarithm and become missing."""

    name: ClassVar[str] = "log1p"

    def undo(self, state: Json) -> list[Json]:
        return [{"step": "log1p"}]

    def transform(self, frame: dict[str, Column], prepared: Any) -> None:
        for name in self.columns:
            values = numbers(frame[name])
            with np.errstate(all="ignore"):
                frame[name] = np.log1p(np.where(values > -1, values, np.nan))
