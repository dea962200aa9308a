"""Whether a model knows more than a trivial one is said of what the validation rows can tell."""

from __future__ import annotations

import numpy as np
import pytest

from batchinfer.models.metrics import (
    binary_metrics,
    metric_warnings,
    multiclass_metrics,
    regression_metrics,
)

RANDOM = np.random.default_rng(4)
CLASSES = RANDOM.integers(0, 2, 400)


@pytest.mark.parametrize(("signal", "doubtful"), [(0.0, True), (1.0, False)])
def test_scores_that_say_nothing_are_told(signal: float, doubtful: bool) -> None:
    score = 1 / (1 + np.exp(-(signal * 3 * (CLASSES - 0.5) + RANDOM.normal(size=400))))
    found = metric_warnings(binary_metrics(CLASSES, score))
    assert bool(found) == doubtful and all(
        "no better than chance" in text and "auc" in text for text in found
    )
    scores = np.stack([1 - score, score], axis=1)
    metrics = multiclass_metrics(CLASSES, scores)
    assert bool(metric_warnings(metrics)) == (metrics["auc"] <= 0.5)


def test_half_is_a_yes_and_accuracy_is_as_sure_as_its_rows_allow() -> None:
    """Source of the interval: Wilson (1927), at 1.96 standard deviations."""
    target, score = np.array([1] * 8 + [0] * 2), np.full(10, 0.5)
    metrics = binary_metrics(target, score)
    z, rows, share = 1.959963984540054, 10, 0.8
    centre = (share + z**2 / (2 * rows)) / (1 + z**2 / rows)
    half = z * np.sqrt(share * (1 - share) / rows + z**2 / (4 * rows**2)) / (1 + z**2 / rows)
    assert metrics["accuracy"] == 0.8
    assert (metrics["accuracy_low"], metrics["accuracy_high"]) == pytest.approx(
        (centre - half, centre + half)
    )


def test_the_area_is_as_sure_as_hanley_and_mcneil_say() -> None:
    """Source: Hanley and McNeil, Radiology 143 (1982), for an exponential distribution."""
    target = np.array([1] * 20 + [0] * 30)
    score = np.concatenate([np.linspace(0.3, 0.9, 20), np.linspace(0.1, 0.7, 30)])
    metrics = binary_metrics(target, score)
    area = metrics["auc"]
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    spread = area * (1 - area) + 19 * (q1 - area**2) + 29 * (q2 - area**2)
    half = 1.959963984540054 * np.sqrt(spread / (20 * 30))
    assert (metrics["auc_low"], metrics["auc_high"]) == pytest.approx((area - half, area + half))


def test_a_rare_class_that_is_ranked_well_is_no_doubt() -> None:
    target = np.zeros(400, int)
    target[:8] = 1
    metrics = binary_metrics(target, np.where(target == 1, 0.3, 0.1))
    assert metrics["accuracy"] == metrics["baseline"] and metric_warnings(metrics) == []


@pytest.mark.parametrize(
    ("prediction", "doubtful"), [(np.full(400, 0.5), True), (CLASSES * 0.9, False)]
)
def test_a_regression_is_held_against_the_mean(prediction: np.ndarray, doubtful: bool) -> None:
    found = metric_warnings(
        regression_metrics(CLASSES.astype(float), prediction, float(CLASSES.mean()))
    )
    assert bool(found) == doubtful and all("rmse" in text for text in found)


def test_without_rows_of_both_classes_nothing_is_said() -> None:
    assert metric_warnings(binary_metrics(np.ones(5), np.full(5, 0.9))) == []
