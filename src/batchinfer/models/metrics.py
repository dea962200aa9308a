"""How good a model is on rows that it did not learn from.

Owns which figures are told, and how sure they are; what scikit-learn and SciPy know is theirs.
Arrays in, floats out; knows nothing of networks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from batchinfer.transforms import Calibrate

# 95% of a normal distribution lies within so many standard deviations.
_Z = 1.959963984540054
_TINY = 1e-12


def binary_metrics(target: np.ndarray, score: np.ndarray) -> dict[str, float]:
    """`log_loss`, `accuracy`, `baseline` (accuracy of always naming the commoner class) and `auc`,
    with 95% intervals.

    Args:
        target: (rows,) 0 or 1.
        score: (rows,) float64, P(1).

    Runs on: driver. Source: Wilson (1927) for the accuracy; Hanley and McNeil, Radiology 143 (1982)
    for the area under the ROC curve.
    """
    positive = target > 0.5
    kept = np.clip(score, _TINY, 1 - _TINY)
    losses = -np.where(positive, np.log(kept), np.log1p(-kept))
    right = int(np.sum((score >= 0.5) == positive))
    share = float(np.mean(positive))
    metrics = {
        **_mean("log_loss", losses),
        **_share("accuracy", right, len(target)),
        "baseline": max(share, 1 - share),
    }
    if 0 < share < 1:  # of one class only, there is no curve
        metrics |= _auc(positive, score)
    return metrics


def multiclass_metrics(target: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    """`log_loss`, `accuracy`, `baseline`, and `auc`, the mean over the classes of each class
    against the rest.

    Args:
        target: (rows,) whole numbers below `classes`.
        scores: (rows, classes) float64, rows add up to 1.

    Runs on: driver.
    """
    from sklearn.metrics import roc_auc_score

    rows = np.arange(len(target))
    target = target.astype(np.int64)
    losses = -np.log(np.clip(scores[rows, target], _TINY, 1))
    right = int(np.sum(scores.argmax(axis=1) == target))
    counts = np.bincount(target, minlength=scores.shape[1])
    areas = [
        roc_auc_score(target == place, scores[:, place])
        for place in np.flatnonzero((counts > 0) & (counts < len(target)))
    ]
    metrics = {
        **_mean("log_loss", losses),
        **_share("accuracy", right, len(target)),
        "baseline": float(counts.max() / len(target)),
    }
    return metrics | ({"auc": float(np.mean(areas))} if areas else {})


def regression_metrics(
    target: np.ndarray, prediction: np.ndarray, learnt_mean: float
) -> dict[str, float]:
    """`rmse` and `mae` with 95% intervals, `r2`, and `baseline`: the rmse of always naming the mean
    of the rows learnt from.

    Runs on: driver.
    Source: the central limit theorem for the mean of the squared and of the absolute errors.
    """
    from sklearn.metrics import r2_score

    error = prediction.astype(np.float64) - target
    squares = _mean("rmse", error**2)
    metrics = {
        **{name: math.sqrt(value) for name, value in squares.items()},
        **_mean("mae", np.abs(error)),
        "baseline": math.sqrt(float(np.mean((target - learnt_mean) ** 2))),
    }
    return metrics | ({"r2": float(r2_score(target, prediction))} if np.ptp(target) > 0 else {})


def metric_warnings(metrics: Mapping[str, float]) -> list[str]:
    """A sentence if the metrics do not show that the model knows more than a trivial one.

    Accuracy is no measure of that: with one rare class, naming the other is hard to beat for a
    model that ranks well.

    Runs on: driver.
    """
    if "rmse" in metrics and metrics["rmse"] >= metrics["baseline"]:
        return [
            f"no better than always naming the mean: rmse {metrics['rmse']:.4g}, baseline "
            f"{metrics['baseline']:.4g}"
        ]
    if "auc" in metrics and metrics.get("auc_low", metrics["auc"]) <= 0.5:
        return [
            "no better than chance, as far as the validation rows can tell: auc "
            f"{metrics['auc']:.3g} (0.5 is chance)"
        ]
    return []


def calibrated_log_loss(
    step: Calibrate,
    predictions: Mapping[str, pa.Array],
    target: np.ndarray,
    labels: tuple[str, ...],
    folds: int = 5,
) -> float:
    """Log loss of calibrated scores, each row calibrated by a fit on the other folds: a fit judged
    on its own rows flatters.

    Args:
        target: (rows,) place of each row's class among the labels.

    Runs on: driver.
    """
    fold = np.arange(len(target)) % folds
    losses = np.zeros(len(target))
    for held in range(folds):
        inside, outside = np.flatnonzero(fold == held), np.flatnonzero(fold != held)
        if not len(inside):
            continue
        state = step.fit(
            {name: array.take(pa.array(outside)) for name, array in predictions.items()},
            target[outside],
            labels,
        )
        frame = {name: array.take(pa.array(inside)) for name, array in predictions.items()}
        step.transform(frame, state, labels)
        losses[inside] = -np.log(np.clip(_share_of_truth(frame, target[inside], labels), _TINY, 1))
    return float(losses.mean())


def _share_of_truth(
    frame: Mapping[str, pa.Array], target: np.ndarray, labels: tuple[str, ...]
) -> np.ndarray:
    if "scores" in frame:
        rows = [dict(row) for row in frame["scores"].to_pylist()]
        return np.array(
            [row[labels[place]] for row, place in zip(rows, target.tolist(), strict=True)]
        )
    score = frame["score"].to_numpy(zero_copy_only=False)
    return np.where(target == 1, score, 1 - score)


def _auc(positive: np.ndarray, score: np.ndarray) -> dict[str, float]:
    from sklearn.metrics import roc_auc_score

    area = float(roc_auc_score(positive, score))
    ones = int(positive.sum())
    zeros = len(positive) - ones
    both_above = area / (2 - area) - area**2
    both_below = 2 * area**2 / (1 + area) - area**2
    variance = (area * (1 - area) + (ones - 1) * both_above + (zeros - 1) * both_below) / (
        ones * zeros
    )
    half = _Z * math.sqrt(max(variance, 0.0))
    return {"auc": area, "auc_low": max(0.0, area - half), "auc_high": min(1.0, area + half)}


def _mean(name: str, values: np.ndarray) -> dict[str, float]:
    """The mean of values from 0 up, and its 95% interval."""
    half = _Z * float(values.std()) / math.sqrt(len(values))
    mean = float(values.mean())
    return {name: mean, f"{name}_low": max(0.0, mean - half), f"{name}_high": mean + half}


def _share(name: str, right: int, rows: int) -> dict[str, float]:
    from scipy.stats import binomtest

    sure = binomtest(right, rows).proportion_ci(0.95, "wilson")
    return {name: right / rows, f"{name}_low": float(sure.low), f"{name}_high": float(sure.high)}
