"""`calibrate`: scores that mean what they say, fitted on rows that the model did not learn from.

Owns the three methods and their fit. Fitted on the driver, once a training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa

from batchinfer.transforms.after_step import LABEL, SCORE, SCORES, AfterStep, Frame, binary_labels
from batchinfer.transforms.predictions import as_map, map_parts
from batchinfer.transforms.step import Fields, Json, StepProblem
from batchinfer.transforms.steps.after import softmax

_TINY = 1e-12
_STEPS = 100


class Calibrate(AfterStep):
    """`score` (and `scores`) as the share of rows for which it came true on the validation rows;
    `label` follows.

    - `sigmoid`: a straight line on the log-odds (Platt); two classes.
    - `isotonic`: the best step function that does not fall; two classes; needs a thousand rows or
    so.
    - `temperature`: log-odds divided by one number; two classes or several.

    With no rows of both classes to fit on, nothing changes.

    Attributes:
        method: how scores are turned into shares.

    Source: Platt, "Probabilistic outputs for support vector machines" (1999), with his targets;
    Zadrozny and Elkan (2002); Guo et al., "On calibration of modern neural networks" (2017).
    """

    name: ClassVar[str] = "calibrate"
    usual: ClassVar[tuple[str, ...]] = (SCORES, SCORE)
    accepts: ClassVar[tuple[str, ...]] = ("number", "shares")
    fitted: ClassVar[bool] = True

    method: Literal["sigmoid", "isotonic", "temperature"]

    def output_fields(self, fields: Mapping[str, pa.DataType], labels: tuple[str, ...]) -> Fields:
        self.chosen(fields)
        if not labels or SCORE not in fields:
            raise StepProblem(
                "calibrate: the model is no classifier; allowed: for a model with `score`"
            )
        if self.columns is not None and set(self.columns) - {SCORE, SCORES}:
            raise StepProblem(f"calibrate: got {', '.join(self.columns)}; allowed: score, scores")
        if len(labels) > 2 and self.method != "temperature":
            raise StepProblem(
                f"calibrate: {self.method} is for two classes, and the model has several; allowed: "
                "temperature"
            )
        return dict(fields)

    def words(self, words: frozenset[str] | None, labels: tuple[str, ...]) -> frozenset[str] | None:
        # Of two classes `label` is made anew; several keep theirs.
        return frozenset(labels) if len(labels) == 2 else words

    def fit(self, frame: Frame, target: np.ndarray, labels: tuple[str, ...]) -> Json:
        """The state, from predictions of rows and the (rows,) places of their classes among the
        labels. Runs on: driver.
        """
        if len(np.unique(target)) < 2:
            return {"method": self.method, "fitted": False}
        if SCORES in frame:
            logs = np.log(np.clip(_shares(frame[SCORES], len(labels)), _TINY, 1))
            found: Json = {"temperature": _temperature(logs, target)}
        else:
            odds, positive = _odds(frame[SCORE].to_numpy(zero_copy_only=False)), target == 1
            found = _FITS[self.method](odds, positive)
        return {"method": self.method, "fitted": True, **found}

    def transform(self, frame: Frame, state: Json, labels: tuple[str, ...]) -> None:
        if not state["fitted"]:
            return
        if SCORES in frame:
            shares = frame[SCORES]
            matrix = _shares(shares, len(labels))
            with np.errstate(divide="ignore"):
                matrix = softmax(np.log(np.clip(matrix, _TINY, None)) / state["temperature"])
            lengths, names, _ = map_parts(shares)
            frame[SCORES] = as_map(lengths, names, matrix.reshape(-1), shares)
            frame[SCORE] = pa.array(
                matrix.max(axis=1, initial=-np.inf) if len(matrix) else np.zeros(0)
            )
            return
        score = _calibrated(frame[SCORE].to_numpy(zero_copy_only=False), state)
        frame[SCORE] = pa.array(score)
        if LABEL in frame:
            with np.errstate(invalid="ignore"):
                frame[LABEL] = binary_labels(score >= 0.5, labels)


def _shares(shares: pa.Array, classes: int) -> np.ndarray:
    _, _, values = map_parts(shares)
    return values.reshape(len(shares), classes)


def _odds(score: np.ndarray) -> np.ndarray:
    kept = np.clip(score, _TINY, 1 - _TINY)
    return np.log(kept) - np.log1p(-kept)


def _calibrated(score: np.ndarray, state: Json) -> np.ndarray:
    """(rows,) float64 scores as the state has it."""
    if state["method"] == "isotonic":
        return np.interp(score, state["scores"], state["shares"])
    odds = _odds(score)
    line = (
        odds / state["temperature"]
        if state["method"] == "temperature"
        else state["slope"] * odds + state["offset"]
    )
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-line))


def _sigmoid(odds: np.ndarray, positive: np.ndarray) -> Json:
    """Newton's method on Platt's log-likelihood, whose targets are drawn in from 0 and 1 by the
    numbers of rows.
    """
    ones, zeros = int(positive.sum()), int((~positive).sum())
    target = np.where(positive, (ones + 1) / (ones + 2), 1 / (zeros + 2))
    slope, offset = 1.0, 0.0

    def cost(a: float, b: float) -> float:
        line = a * odds + b
        return float(np.sum(np.logaddexp(0, line) - target * line))

    for _ in range(_STEPS):
        share = 1 / (1 + np.exp(-np.clip(slope * odds + offset, -500, 500)))
        wrong, weight = share - target, np.maximum(share * (1 - share), _TINY)
        gradient = np.array([np.sum(wrong * odds), np.sum(wrong)])
        curve = np.array(
            [
                [np.sum(weight * odds * odds), np.sum(weight * odds)],
                [np.sum(weight * odds), np.sum(weight)],
            ]
        )
        step = np.linalg.solve(curve + 1e-12 * np.eye(2), gradient)
        length, now = 1.0, cost(slope, offset)
        while length > 1e-10 and cost(slope - length * step[0], offset - length * step[1]) > now:
            length /= 2
        slope, offset = slope - length * float(step[0]), offset - length * float(step[1])
        if np.abs(length * step).max() < 1e-10:
            break
    return {"slope": slope, "offset": offset}


def _isotonic(odds: np.ndarray, positive: np.ndarray) -> Json:
    from sklearn.isotonic import IsotonicRegression

    score = 1 / (1 + np.exp(-odds))
    found = IsotonicRegression(out_of_bounds="clip", y_min=0, y_max=1).fit(
        score, positive.astype(np.float64)
    )
    thresholds: Any = found.X_thresholds_
    values: Any = found.y_thresholds_
    return {
        "scores": np.asarray(thresholds, np.float64).tolist(),
        "shares": np.asarray(values, np.float64).tolist(),
    }


def _temperature(logs: np.ndarray, target: np.ndarray) -> float:
    """The divisor of the logarithms of the shares with the greatest likelihood, between 0.01 and
    100: golden section.
    """
    rows = np.arange(len(target))

    def cost(at: float) -> float:
        scaled = logs / np.exp(at)
        top = scaled.max(axis=1)
        return float(
            np.mean(np.log(np.exp(scaled - top[:, None]).sum(axis=1)) + top - scaled[rows, target])
        )

    low, high, ratio = np.log(0.01), np.log(100.0), (np.sqrt(5) - 1) / 2
    while high - low > 1e-9:
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, right) if cost(left) <= cost(right) else (left, high)
    return float(np.exp((low + high) / 2))


_FITS: Mapping[str, Callable[[np.ndarray, np.ndarray], Json]] = {
    "sigmoid": _sigmoid,
    "isotonic": _isotonic,
    "temperature": lambda odds, positive: {
        "temperature": _temperature(
            np.stack([-np.logaddexp(0, odds), -np.logaddexp(0, -odds)], axis=1),
            positive.astype(int),
        )
    },
}
