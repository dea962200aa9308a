"""Calibration: equal to scikit-learn's, and nothing that is no number becomes one."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from after_cases import FIELDS, LABELS, steps_of
from sklearn.calibration import _SigmoidCalibration, _TemperatureScaling
from sklearn.isotonic import IsotonicRegression

from batchinfer.transforms import (
    PostProcess,
    fit_after,
)


def scored(count: int = 400) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(2)
    odds = random.normal(0, 2, count)
    return odds, (random.random(count) < 1 / (1 + np.exp(-(0.5 * odds - 0.7)))).astype(int)


def calibrated(method: str, odds: np.ndarray, target: np.ndarray) -> PostProcess:
    score = 1 / (1 + np.exp(-odds))
    predictions = {"score": pa.array(score), "label": pa.array(np.where(score >= 0.5, "yes", "no"))}
    return fit_after(
        steps_of([{"calibrate": {"method": method}}]), predictions, LABELS, None, target
    )


@pytest.mark.parametrize("method", ["sigmoid", "isotonic", "temperature"])
def test_calibrate_equals_scikit_learn(method: str) -> None:
    odds, target = scored()
    steps = calibrated(method, odds, target)
    asked = np.linspace(-6, 6, 41)
    score = 1 / (1 + np.exp(-asked))
    got = steps.apply({"score": pa.array(score), "label": pa.array(["no"] * 41)})
    if method == "sigmoid":
        expected = _SigmoidCalibration().fit(odds, target).predict(asked)
    elif method == "isotonic":
        expected = (
            IsotonicRegression(out_of_bounds="clip")
            .fit(1 / (1 + np.exp(-odds)), target)
            .predict(score)
        )
    else:
        expected = _TemperatureScaling().fit(odds, target).predict(asked)[:, 1]
    np.testing.assert_allclose(got["score"].to_numpy(), expected, rtol=1e-4, atol=1e-5)
    assert (
        got["label"].to_pylist() == np.where(got["score"].to_numpy() >= 0.5, "yes", "no").tolist()
    )


def test_temperature_of_several_classes_softens_what_is_too_sure() -> None:
    random = np.random.default_rng(4)
    truth = random.normal(size=(600, 3))
    target = (truth + random.gumbel(size=(600, 3))).argmax(axis=1)
    shares = np.exp(3 * truth)
    shares /= shares.sum(axis=1, keepdims=True)
    maps = pa.array(
        [list(zip("abc", row, strict=True)) for row in shares.tolist()], FIELDS["scores"]
    )
    predictions = {
        "label": pa.array(["abc"[at] for at in shares.argmax(axis=1)]),
        "score": pa.array(shares.max(axis=1)),
        "scores": maps,
    }
    steps = fit_after(
        steps_of([{"calibrate": {"method": "temperature"}}]),
        predictions,
        ("a", "b", "c"),
        None,
        target,
    )
    assert steps.states[0]["temperature"] == pytest.approx(3, rel=0.15)
    got = steps.apply(predictions)
    assert all(
        dict(row)[label] == pytest.approx(score)
        for row, label, score in zip(
            got["scores"].to_pylist(),
            got["label"].to_pylist(),
            got["score"].to_pylist(),
            strict=True,
        )
    )
    assert got["score"].to_numpy().mean() < shares.max(axis=1).mean() - 0.05


def test_calibrate_without_rows_of_both_classes_changes_nothing() -> None:
    odds, _ = scored(10)
    steps = calibrated("sigmoid", odds, np.ones(10, int))
    frame = {"score": pa.array([0.2, float("nan")]), "label": pa.array(["no", "yes"])}
    assert repr(steps.apply(frame)["score"].to_pylist()) == "[0.2, nan]"


@pytest.mark.parametrize("method", ["sigmoid", "isotonic", "temperature"])
def test_a_score_that_is_no_number_stays_none(method: str) -> None:
    steps = calibrated(method, *scored())
    got = steps.apply({"score": pa.array([float("nan"), 0.5]), "label": pa.array(["no", "no"])})
    assert math.isnan(got["score"][0].as_py()) and not math.isnan(got["score"][1].as_py())
