"""What calibration is worth is judged on rows that it was not fitted on."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from batchinfer.models.metrics import calibrated_log_loss
from batchinfer.transforms.steps.calibrate import Calibrate

RANDOM = np.random.default_rng(11)
LABELS = ("no", "yes")


def _odds(score: np.ndarray) -> np.ndarray:
    return np.log(score) - np.log1p(-score)


def test_two_classes_are_judged_by_lines_that_the_other_folds_gave() -> None:
    truth = RANDOM.uniform(0.05, 0.95, 2_000)
    target = (RANDOM.uniform(size=2_000) < truth).astype(int)
    # Scores that are far too sure of themselves.
    score = 1 / (1 + np.exp(-3 * _odds(truth)))
    found = calibrated_log_loss(
        Calibrate(method="sigmoid"), {"score": pa.array(score)}, target, LABELS, folds=2
    )
    losses = []
    for held in (0, 1):
        inside, outside = slice(held, None, 2), slice(1 - held, None, 2)
        line = LogisticRegression(C=np.inf).fit(_odds(score[outside])[:, None], target[outside])
        losses.append(log_loss(target[inside], line.predict_proba(_odds(score[inside])[:, None])))
    # Platt's targets are a little less than 0 and 1, scikit-learn's are not.
    assert found == pytest.approx(np.mean(losses), rel=2e-3)
    assert found < log_loss(target, score) - 0.05


def test_several_classes_are_judged_by_the_share_of_the_true_one() -> None:
    labels, rows = ("a", "b", "c"), 1_500
    logs = RANDOM.normal(size=(rows, 3))
    shares = np.exp(logs) / np.exp(logs).sum(axis=1, keepdims=True)
    target = np.array([RANDOM.choice(3, p=share) for share in shares])
    sharp = np.exp(4 * logs) / np.exp(4 * logs).sum(axis=1, keepdims=True)
    scores = pa.array(
        [list(zip(labels, row, strict=True)) for row in sharp.tolist()],
        pa.map_(pa.string(), pa.float64()),
    )
    frame = {"scores": scores, "score": pa.array(sharp.max(axis=1))}
    found = calibrated_log_loss(Calibrate(method="temperature"), frame, target, labels)
    assert found == pytest.approx(log_loss(target, shares), rel=0.01), "the heat is found again"
    assert found < log_loss(target, sharp) - 0.5


def test_a_fit_to_noise_is_not_flattered() -> None:
    rows = 60
    score, target = RANDOM.uniform(size=rows), np.arange(rows) % 2
    RANDOM.shuffle(target)
    step, frame = Calibrate(method="isotonic"), {"score": pa.array(score)}
    own = dict(frame)
    step.transform(own, step.fit(frame, target, LABELS), LABELS)
    flattered = log_loss(target, np.clip(own["score"].to_numpy(), 1e-12, 1 - 1e-12))
    assert flattered < np.log(2) < calibrated_log_loss(step, frame, target, LABELS)


def test_fewer_rows_than_folds_are_each_judged_once() -> None:
    frame, target = {"score": pa.array([0.2, 0.7, 0.9])}, np.array([0, 1, 1])
    found = calibrated_log_loss(Calibrate(method="sigmoid"), frame, target, LABELS, folds=5)
    assert 0 < found < 5
