"""Whether a model knows more than a trivial one is said of what the validation rows can tell."""

from __future__ import annotations

import numpy as np
import pytest

from batchinfer.models.metrics import (
    binary_metrics,
    measured_against,
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


def deviation(area: float, ones: int, zeros: int) -> float:
    """Source: Hanley and McNeil, Radiology 143 (1982), for an exponential distribution; both groups
    of the mean size, as Newcombe (2006) has it.
    """
    others = (ones + zeros) / 2 - 1
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    spread = area * (1 - area) + others * (q1 - area**2) + others * (q2 - area**2)
    return np.sqrt(spread / (ones * zeros))


def of_classes(ones: np.ndarray, zeros: np.ndarray) -> dict[str, float]:
    target = np.array([1] * len(ones) + [0] * len(zeros))
    return binary_metrics(target, np.concatenate([ones, zeros]))


def test_the_bounds_of_the_area_lie_as_far_from_it_as_newcombe_says() -> None:
    """Source: Newcombe, Statistics in Medicine 25 (2006), method 5."""
    metrics = of_classes(np.linspace(0.3, 0.9, 20), np.linspace(0.1, 0.7, 30))
    area = metrics["auc"]
    for bound, side in ((metrics["auc_low"], -1), (metrics["auc_high"], 1)):
        assert bound - area == pytest.approx(side * 1.959963984540054 * deviation(bound, 20, 30))


@pytest.mark.parametrize("rows", [1, 3, 20, 2000])
def test_an_area_of_one_or_none_is_as_sure_as_its_rows_allow(rows: int) -> None:
    best = of_classes(np.full(rows, 0.9), np.full(2 * rows, 0.1))
    worst = of_classes(np.full(rows, 0.1), np.full(2 * rows, 0.9))
    assert (best["auc"], best["auc_high"], worst["auc"], worst["auc_low"]) == (1, 1, 0, 0)
    low = best["auc_low"]
    assert 0 < low < 1 and worst["auc_high"] == pytest.approx(1 - low)
    assert 1 - low == pytest.approx(1.959963984540054 * deviation(low, rows, 2 * rows))


def test_the_interval_of_the_area_holds_the_true_one_as_often_as_it_says() -> None:
    """Scores of two normal distributions that lie 2.3 deviations apart: an area of 0.948."""
    from scipy.stats import norm

    true, random = norm.cdf(2.3 / np.sqrt(2)), np.random.default_rng(7)
    held = 0
    for _ in range(600):
        scores = norm.cdf(random.normal(size=15) + 2.3), norm.cdf(random.normal(size=40))
        metrics = of_classes(*scores)
        held += metrics["auc_low"] <= true <= metrics["auc_high"]
    assert 0.92 < held / 600 < 0.99


def test_r2_and_the_baseline_are_of_one_mean_and_say_of_which() -> None:
    target, random = np.arange(50.0), np.random.default_rng(2)
    for off in (0.0, 5.0, 40.0):
        found = regression_metrics(target, target + random.normal(0, 12, 50), 24.5 + off)
        assert found["r2"] == pytest.approx(1 - (found["rmse"] / found["baseline"]) ** 2)
    trivial = regression_metrics(target, np.full(50, 30.0), 30.0)
    assert trivial["r2"] == 0 and trivial["rmse"] == trivial["baseline"]
    against = measured_against(trivial)
    assert against["r2"] == against["rmse"] and "rows that were learned from" in against["r2"]
    assert "validation rows" in measured_against(binary_metrics(CLASSES, CLASSES * 0.9))["accuracy"]
    assert measured_against({"mae": 1.0}) == {}


def test_a_target_that_is_always_the_mean_learnt_has_no_r2() -> None:
    assert "r2" not in regression_metrics(np.full(5, 2.0), np.full(5, 3.0), 2.0)


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


@pytest.mark.parametrize("digits", [0, 1, 3])
def test_areas_and_shares_are_those_of_scikit_learn_and_scipy(digits: int) -> None:
    from scipy.stats import binomtest
    from sklearn.metrics import roc_auc_score

    random = np.random.default_rng(digits)
    for rows in (2, 3, 40, 999):
        target = np.arange(rows) % 2
        score = random.random(rows).round(digits)
        found = binary_metrics(target, score)
        assert found["auc"] == pytest.approx(roc_auc_score(target, score), abs=1e-12)
        right = int(((score >= 0.5) == target).sum())
        sure = binomtest(right, rows).proportion_ci(0.95, "wilson")
        assert found["accuracy_low"] == pytest.approx(sure.low, abs=1e-12)
        assert found["accuracy_high"] == pytest.approx(sure.high, abs=1e-12)


def test_scores_that_are_no_numbers_have_no_area() -> None:
    with pytest.raises(ValueError, match="NaN, which has no rank"):
        binary_metrics(np.array([0, 1]), np.array([0.5, np.nan]))
