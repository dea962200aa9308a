"""Estimators with habits, importable by their path."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin


class NoneCounter(RegressorMixin, BaseEstimator):
    """1 for None, 2 for NaN, 3 for `?`, else 0."""

    def fit(self, frame: Any, target: Any) -> NoneCounter:
        self.feature_names_in_ = np.array(frame.columns, object)
        self.n_features_in_ = len(frame.columns)
        return self

    def predict(self, frame: Any) -> np.ndarray:
        values = frame.iloc[:, 0].tolist()
        return np.array(
            [1.0 if one is None else 2.0 if one != one else 3.0 * (one == "?") for one in values]
        )


class FirstRowGap(RegressorMixin, BaseEstimator):
    """How far a row is from the first one of its batch."""

    def fit(self, frame: Any, target: Any) -> FirstRowGap:
        self.feature_names_in_ = np.array(frame.columns, object)
        self.n_features_in_ = len(frame.columns)
        return self

    def predict(self, frame: Any) -> np.ndarray:
        values = frame.iloc[:, 0].to_numpy()
        return values - values[0]


class Half(ClassifierMixin, BaseEstimator):
    """`yes` from one half up, or only above it, as its parameter says."""

    def __init__(self, up: bool = True) -> None:
        self.up = up

    def fit(self, frame: Any, target: Any) -> Half:
        self.feature_names_in_ = np.array(frame.columns, object)
        self.n_features_in_ = len(frame.columns)
        self.classes_ = np.array(["no", "yes"], object)
        return self

    def predict_proba(self, frame: Any) -> np.ndarray:
        score = 1 / (1 + np.exp(-frame.iloc[:, 0].to_numpy()))
        return np.stack([1 - score, score], axis=1)

    def predict(self, frame: Any) -> np.ndarray:
        score = self.predict_proba(frame)[:, 1]
        return self.classes_[((score >= 0.5) if self.up else (score > 0.5)).astype(int)]
