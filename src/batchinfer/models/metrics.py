"""How good a model is on rows that it did not learn from.

Owns which figures are told, and how sure they are. They are a few lines of NumPy each: scikit-learn
and SciPy take longer to import than a small model takes to train. Arrays in, floats out; knows
nothing of networks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from batchinfer.transforms import Calibrate

# 95% of a normal distribution lies within so many standard deviations.
_Z = 1.959963984540054
_TINY = 1e-12


def binary_metrics(
    target: np.ndarray, score: np.ndarray, named: np.ndarray | None = None
) -> dict[str, float]:
    """`log_loss`, `accuracy`, `baseline` (accuracy of always naming the commoner class) and `auc`,
    with 95% intervals.

    Args:
        target: (rows,) 0 or 1.
        score: (rows,) float64, P(1).
        named: (rows,) bool, which rows are called 1; None: those of a score from 0.5 up.

    Runs on: driver. Source: Wilson (1927) for the accuracy; for the area under the ROC curve
    Newcombe, "Confidence intervals for an effect size measure based on the Mann-Whitney statistic,
    part 2", Statistics in Medicine 25 (2006), method 5.
    """
    positive = target > 0.5
    kept = np.clip(score, _TINY, 1 - _TINY)
    losses = -np.where(positive, np.log(kept), np.log1p(-kept))
    named = score >= 0.5 if named is None else named
    right = int(np.sum(named == positive))
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
    rows = np.arange(len(target))
    target = target.astype(np.int64)
    counts = np.bincount(target, minlength=scores.shape[1])
    metrics = label_metrics(scores.argmax(axis=1) == target, counts, scores[rows, target])
    return metrics | mean_auc(target, scores)


def label_metrics(
    right: np.ndarray, counts: np.ndarray, share: np.ndarray | None = None
) -> dict[str, float]:
    """`accuracy` and `baseline`, and `log_loss` where shares are known.

    Args:
        right: (rows,) bool, whether the class that was named came true.
        counts: (classes,) rows of each class that came true.
        share: (rows,) float64, the share that the class that came true was given.

    Runs on: driver.
    """
    losses = {} if share is None else _mean("log_loss", -np.log(np.clip(share, _TINY, 1)))
    return {
        **losses,
        **_share("accuracy", int(np.sum(right)), len(right)),
        "baseline": float(counts.max() / len(right)),
    }


def mean_auc(target: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    """`auc`, the mean over the classes of each class against the rest; nothing where there is no
    class that some rows are of and others not.

    Args:
        target: (rows,) int64 place of the class among the columns of scores; below 0: none of them.
        scores: (rows, classes) float64.

    Runs on: driver.
    """
    counts = np.bincount(target[target >= 0], minlength=scores.shape[1])
    areas = [
        _area(target == place, scores[:, place])
        for place in np.flatnonzero((counts > 0) & (counts < len(target)))
    ]
    return {"auc": float(np.mean(areas))} if areas else {}


def regression_metrics(
    target: np.ndarray, prediction: np.ndarray, learnt_mean: float | None
) -> dict[str, float]:
    """`rmse` and `mae` with 95% intervals, `baseline`: the rmse of always naming the mean of the
    rows learnt from, and `r2`: how much of the baseline's squared error the model saves.

    Both are measured against one trivial model, which is known before the validation rows are
    seen: `r2` is above 0 exactly where `rmse` is below the baseline. The mean of the validation
    rows themselves is no model, because nobody knows it before.

    Args:
        learnt_mean: None where it is not known: then there is neither `baseline` nor `r2`.

    Runs on: driver.
    Source: the central limit theorem for the mean of the squared and of the absolute errors;
    Campbell and Thompson, Review of Financial Studies 21 (2008), for R2 out of sample.
    """
    error = prediction.astype(np.float64) - target
    squares = _mean("rmse", error**2)
    metrics = {
        **{name: math.sqrt(value) for name, value in squares.items()},
        **_mean("mae", np.abs(error)),
    }
    if learnt_mean is None:
        return metrics
    trivial = float(np.mean((target - learnt_mean) ** 2))
    metrics["baseline"] = math.sqrt(trivial)
    return metrics | ({"r2": 1 - squares["rmse"] / trivial} if trivial > 0 else {})


def last_value_metrics(
    target: np.ndarray, prediction: np.ndarray, last: np.ndarray
) -> dict[str, float]:
    """`mae_last_value` and `rmse_last_value`, the errors of always naming the last value that was
    known, and `skill`, the share of that mean absolute error which the model saves.

    All are of the rows that have a last value; of none, there are no such metrics.

    Args:
        target, prediction: (rows,) float64.
        last: (rows,) float64, NaN where no value was known.

    Runs on: driver.
    Source: Hyndman and Koehler, International Journal of Forecasting 22 (2006), for the relative
    mean absolute error; `skill` is 1 less that.
    """
    known = np.isfinite(last)
    if not known.any():
        return {}
    trivial = last[known] - target[known]
    absolute = float(np.mean(np.abs(trivial)))
    own = float(np.mean(np.abs(prediction[known] - target[known])))
    metrics = {
        "mae_last_value": absolute,
        "rmse_last_value": math.sqrt(float(np.mean(trivial**2))),
    }
    return metrics | ({"skill": 1 - own / absolute} if absolute > 0 else {})


def measured_against(
    metrics: Mapping[str, float], rows: str = "validation rows", last: str = ""
) -> dict[str, str]:
    """Of each metric that is measured against a trivial model: which one.

    Args:
        rows: what the rows are that the metrics are of.
        last: where the last known value of a row stands.
    """
    mean = "always naming the mean of the rows that were learned from"
    told = {
        "accuracy": f"always naming the class that most {rows} have",
        "auc": "0.5, which is chance",
        "skill": f"always naming the last known value, {last}",
    }
    if "baseline" in metrics:
        told |= {"rmse": mean, "r2": mean}
    return {name: text for name, text in told.items() if name in metrics}


def metric_warnings(metrics: Mapping[str, float], rows: str = "validation rows") -> list[str]:
    """A sentence for each trivial model that the metrics do not show the model to know more than.

    Accuracy is no measure of that: with one rare class, naming the other is hard to beat for a
    model that ranks well.

    Args:
        rows: what the rows are that the metrics are of.

    Runs on: driver.
    """
    warnings: list[str] = []
    if metrics.get("rmse", 0.0) >= metrics.get("baseline", math.inf):
        warnings.append(
            f"no better than always naming the mean: rmse {metrics['rmse']:.4g}, baseline "
            f"{metrics['baseline']:.4g}"
        )
    if metrics.get("skill", 1.0) <= 0:
        warnings.append(
            "no better than always naming the last known value: skill "
            f"{metrics['skill']:.3g}, where 0 is no better"
        )
    if metrics.get("auc_low", metrics.get("auc", 1.0)) <= 0.5:
        warnings.append(
            f"no better than chance, as far as the {rows} can tell: auc {metrics['auc']:.3g} "
            "(0.5 is chance)"
        )
    return warnings


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
    area = _area(positive, score)
    low, high = _area_interval(area, int(positive.sum()), int((~positive).sum()))
    return {"auc": area, "auc_low": low, "auc_high": high}


def _area(positive: np.ndarray, score: np.ndarray) -> float:
    """Area under the receiver operating characteristic: the share of pairs of a positive row and
    another in which the positive one has the greater score; a tie counts half.

    Source: Hanley and McNeil, Radiology 143 (1982); it is Mann and Whitney's U over all pairs.
    """
    if np.isnan(score).any():
        raise ValueError("scores hold NaN, which has no rank")
    _, places, counts = np.unique(score, return_inverse=True, return_counts=True)
    # Rows of one score share the mean of their ranks, which count from 1.
    ranks = np.cumsum(counts) - (counts - 1) / 2
    positive = positive.astype(bool)
    ones, zeros = int(positive.sum()), int((~positive).sum())
    return float((ranks[places][positive].sum() - ones * (ones + 1) / 2) / (ones * zeros))


def _area_interval(area: float, ones: int, zeros: int) -> tuple[float, float]:
    """The areas that lie no more than 1.96 of their own standard deviations from the one found.

    The deviation is that of Hanley and McNeil (1982), both groups taken to be of the mean size; as
    in Wilson's interval it is taken at the bound, not at the area found, where it is 0 for an area
    of 0 or 1.
    """
    mean_others = (ones + zeros) / 2 - 1

    def bound(found: float) -> float:
        """The lower one of an area above 0."""

        def beyond(value: float) -> float:
            spread = 1 + mean_others * ((1 - value) / (2 - value) + value / (1 + value))
            if found == 1:  # less the root at 1, which is no bound
                return (1 - value) - _Z**2 * value * spread / (ones * zeros)
            return (found - value) ** 2 - _Z**2 * value * (1 - value) * spread / (ones * zeros)

        return _root(beyond, found)

    # The deviation is the same at an area and at what it lacks of 1.
    return (bound(area) if area > 0 else 0.0), (1 - bound(1 - area) if area < 1 else 1.0)


def _root(beyond: Callable[[float], float], high: float) -> float:
    """Where a function that is positive at 0 and negative below `high` changes its sign."""
    low = 0.0
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if beyond(middle) > 0 else (low, middle)
    return middle


def _mean(name: str, values: np.ndarray) -> dict[str, float]:
    """The mean of values from 0 up, and its 95% interval."""
    half = _Z * float(values.std()) / math.sqrt(len(values))
    mean = float(values.mean())
    return {name: mean, f"{name}_low": max(0.0, mean - half), f"{name}_high": mean + half}


def _share(name: str, right: int, rows: int) -> dict[str, float]:
    """A share of the rows, and its 95% interval, which is Wilson's (1927)."""
    share, square = right / rows, _Z**2
    middle = (right + square / 2) / (rows + square)
    half = _Z / (rows + square) * math.sqrt(rows * share * (1 - share) + square / 4)
    # At its ends the interval is exact, and rounding is not to put it elsewhere.
    low = 0.0 if right == 0 else max(0.0, middle - half)
    high = 1.0 if right == rows else min(1.0, middle + half)
    return {name: share, f"{name}_low": low, f"{name}_high": high}
