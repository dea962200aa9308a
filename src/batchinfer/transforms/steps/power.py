"""`yeo_johnson`: bends a skewed column toward the normal curve, in place.

Owns the transform and the fit of its parameter.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from batchinfer.transforms.column import Column, numbers
from batchinfer.transforms.statistics import Ranks, Statistic
from batchinfer.transforms.step import Json
from batchinfer.transforms.steps.scale import Numeric

_WIDEST = 6.0
_GOLDEN = (np.sqrt(5) - 1) / 2


class YeoJohnson(Numeric):
    """The Yeo-Johnson power transform, as double, with the parameter of the greatest likelihood
    between -6 and 6.

    It does not scale: add `standardize`. A column with no spread or no value stays as it is. Fitted
    on the distinct values and their weights, so up to 50,000 of them exactly, beyond on groups of
    neighbours.

    Source: Yeo and Johnson, "A new family of power transformations to improve normality or
    symmetry" (2000).
    """

    name: ClassVar[str] = "yeo_johnson"

    def statistic(self) -> type[Statistic]:
        return Ranks

    def conclude(self, partial: Json) -> Json:
        values, weights = Ranks.read(partial)
        if len(values) < 2:
            return {"power": 1.0}
        return {"power": _lowest(lambda power: _unlikelihood(values, weights, power))}

    def undo(self, state: Json) -> list[Json]:
        return [{"step": "yeo_johnson", "power": state["power"]}]

    def transform(self, frame: dict[str, Column], prepared: Any) -> None:
        for name in self.columns:
            with np.errstate(all="ignore"):
                frame[name] = _bent(numbers(frame[name]), prepared[name]["power"])


def _bent(values: np.ndarray, power: float) -> np.ndarray:
    result = np.full(len(values), np.nan)
    up, down = values >= 0, values < 0
    result[up] = _one_side(values[up], power)
    result[down] = -_one_side(-values[down], 2 - power)
    return result


def _one_side(values: np.ndarray, power: float) -> np.ndarray:
    """((x + 1)^power - 1) / power for x >= 0, exact near power 0."""
    return np.log1p(values) if abs(power) < 1e-12 else np.expm1(power * np.log1p(values)) / power


def _unlikelihood(values: np.ndarray, weights: np.ndarray, power: float) -> float:
    """Negative log-likelihood per row, but for a constant."""
    with np.errstate(all="ignore"):
        bent = _bent(values, power)
        total = weights.sum()
        mean = (weights * bent).sum() / total
        variance = (weights * np.square(bent - mean)).sum() / total
        slope = (weights * np.sign(values) * np.log1p(np.abs(values))).sum() / total
        result = np.log(variance) / 2 - (power - 1) * slope
    return float(result) if np.isfinite(result) else np.inf


def _lowest(cost: Callable[[float], float]) -> float:
    """Where a function with one valley between -6 and 6 is lowest, to 1e-9: a grid, then
    golden-section search.
    """
    grid = np.linspace(-_WIDEST, _WIDEST, 49)
    best = int(np.argmin([cost(power) for power in grid.tolist()]))
    low, high = float(grid[max(best - 1, 0)]), float(grid[min(best + 1, len(grid) - 1)])
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_left, at_right = cost(left), cost(right)
    while high - low > 1e-9:
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - _GOLDEN * (high - low)
            at_left = cost(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + _GOLDEN * (high - low)
            at_right = cost(right)
    return float((low + high) / 2)
