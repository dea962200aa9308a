"""`inverse`: predictions back in the units of a source column.

Owns how each feature step is undone. Which steps those were stands in the state, so that nothing of
the features is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar, Literal

import numpy as np
from pydantic import model_validator

from batchinfer.transforms.after_step import OnNumbers
from batchinfer.transforms.step import Json


class Inverse(OnNumbers):
    """Back to the units of a source column: the steps that `features` has on the column `of`,
    undone, the last one first.

    `impute`, `clip` and `cast` have nothing to undo; `standardize`, `min_max`, `robust`, `log1p`
    and `yeo_johnson` are undone. With `step: log1p` in place of `of`, that step alone is undone,
    for a target that was logarithms already.

    Attributes:
        of: the source column whose steps are undone; either this or `step`.
        step: the one step that is undone; either this or `of`.
    """

    name: ClassVar[str] = "inverse"
    fitted: ClassVar[bool] = True

    of: str | None = None
    step: Literal["log1p"] | None = None

    @model_validator(mode="after")
    def _one_of(self) -> Inverse:
        if (self.of is None) == (self.step is None):
            raise ValueError("give either of: a column of the features, or step: log1p")
        return self

    def changed(self, values: np.ndarray, state: Json) -> np.ndarray:
        with np.errstate(all="ignore"):
            for undo in state["undo"]:
                values = _UNDO[undo["step"]](values, undo)
        return values


def _unbend(values: np.ndarray, undo: Json) -> np.ndarray:
    power, result = undo["power"], np.full(len(values), np.nan)
    up, down = values >= 0, values < 0
    result[up] = _one_side(values[up], power)
    result[down] = -_one_side(-values[down], 2 - power)
    return result


def _one_side(values: np.ndarray, power: float) -> np.ndarray:
    """What `power._one_side` was given."""
    return np.expm1(values) if abs(power) < 1e-12 else np.expm1(np.log1p(values * power) / power)


_UNDO: Mapping[str, Callable[[np.ndarray, Json], np.ndarray]] = {
    "scale": lambda values, undo: values * undo["scale"] + undo["shift"],
    "log1p": lambda values, _: np.expm1(values),
    "yeo_johnson": _unbend,
}
