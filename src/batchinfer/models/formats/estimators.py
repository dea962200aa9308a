"""scikit-learn estimators as torch modules: a frame of named columns or a matrix in, values,
probabilities or text out.

Owns how an estimator is asked. Knows no files.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from batchinfer.errors import ModelError
from batchinfer.models.formats.artifact import ForeignModule, ModelInput

MATRIX = "features"


# fmt: off
class EstimatorModule(ForeignModule):
    """A fitted estimator: classifiers give probabilities, or labels where they have none; all others give numbers."""

    def __init__(self, estimator: Any) -> None:
        method = next((name for name in ("predict_proba", "predict", "transform") if hasattr(estimator, name)), None)
        if method is None:
            raise ModelError(f"the file holds a {type(estimator).__name__}; allowed: an estimator with predict or transform")
        width = getattr(estimator, "n_features_in_", None)
        if width is None:
            raise ModelError(f"the {type(estimator).__name__} is not fitted; allowed: a fitted estimator")
        names = getattr(estimator, "feature_names_in_", None)
        classes = getattr(estimator, "classes_", None)
        labels: tuple[str, ...] = ()
        gives: Any = "values"
        if method == "predict_proba":
            if not isinstance(classes, np.ndarray):
                raise ModelError("the classifier predicts several targets at once; allowed: one target")
            labels, gives = tuple(str(label) for label in classes), "probabilities"
        elif classes is not None and method == "predict":
            gives = "text"
        frame = None if names is None else [str(name) for name in names]
        super().__init__([] if frame else [ModelInput(MATRIX, "float64", (int(width),))], frame, labels, gives)
        self._estimator, self._method = estimator, method

    def forward(self, **inputs: Any) -> Any:
        """`frame`, a pandas frame of those columns, or `features` (rows, width). Runs on: driver and executor."""
        given = inputs["frame"] if self.frame is not None else _array(inputs[MATRIX])
        if len(given) == 0:  # estimators want at least one row
            return [] if self.gives == "text" else torch.zeros((0, max(1, len(self.labels))), dtype=torch.float64)
        output = getattr(self._estimator, self._method)(given)
        if hasattr(output, "toarray"):
            output = output.toarray()
        if self.gives == "text":
            return [str(label) for label in np.asarray(output).reshape(-1)]
        return torch.from_numpy(np.ascontiguousarray(np.asarray(output), np.float64))
# fmt: on


def _array(value: Any) -> np.ndarray:
    return value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value
