"""scikit-learn estimators that are asked for what they say themselves: `predict` for the label,
`predict_proba` for its probability.

Owns how an estimator is asked, and that it is asked no more than needed. Knows no files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch

from batchinfer.errors import ModelError
from batchinfer.models.formats.artifact import Classified, ModelInput, Predictor, label_texts
from batchinfer.models.formats.estimator_words import missing_words, takes_texts

Told = TypeVar("Told")

_MATRIX, _TEXT = "features", "text"


# fmt: off
class EstimatorPredictor(Predictor):
    """A fitted estimator: a classifier gives its own labels, with probabilities where it has them; all others give numbers."""

    def __init__(self, estimator: Any) -> None:
        check_estimator(estimator)
        classes: Any = getattr(estimator, "classes_", None)
        names: Any = getattr(estimator, "feature_names_in_", None)
        frame: list[str] | None = None if names is None else [str(name) for name in names]
        inputs = [] if frame else [matrix_or_text(estimator)]
        self_method = next(name for name in ("predict", "transform") if hasattr(estimator, name))
        labelled = classes is not None and self_method == "predict"
        labels = class_names(classes) if labelled and hasattr(estimator, "predict_proba") else ()
        words = missing_words(estimator, frame) if frame else {}
        super().__init__(inputs, frame, labels, "classes" if labelled else "values", words=words)
        self._estimator, self._method = estimator, self_method

    def forward(self, **inputs: Any) -> Any:
        """`frame`, a pandas frame of those columns, or `features` (rows, width). Runs on: driver and executor."""
        given = next(iter(inputs.values()))
        given = given.detach().cpu().numpy() if isinstance(given, torch.Tensor) else given
        if self.gives == "classes":
            return ask_classifier(self._estimator, given, len(self.labels))
        if len(given) == 0:  # estimators want at least one row
            return torch.zeros((0, 1), dtype=torch.float64)
        output = getattr(self._estimator, self._method)(given)
        output = output.toarray() if hasattr(output, "toarray") else output
        return torch.from_numpy(np.ascontiguousarray(np.asarray(output), np.float64))
# fmt: on


def told_by_steps(
    module: Any, find: Callable[[Any, Sequence[str]], dict[str, Told]]
) -> dict[str, Told]:
    """What `category_texts` or `nan_fills` finds in a model's steps, by column; empty where it is
    no estimator, or was fitted without names.
    """
    if not isinstance(module, EstimatorPredictor) or not module.frame:
        return {}
    return find(module._estimator, module.frame)


def class_names(classes: Any) -> tuple[str, ...]:
    """Texts of an estimator's `classes_`, in the order of its probabilities."""
    return tuple(str(label) for label in classes)


def check_estimator(estimator: Any) -> None:
    """Refuses what is no fitted estimator that predicts or transforms.

    Raises:
        ModelError: no such method, not fitted, or several targets at once.
    """
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    name = type(estimator).__name__
    if not (hasattr(estimator, "predict") or hasattr(estimator, "transform")):
        raise ModelError(
            f"the file holds a {name}; allowed: an estimator with predict or transform"
        )
    try:
        check_is_fitted(estimator)
    except NotFittedError as error:
        raise ModelError(f"the {name} is not fitted; allowed: a fitted estimator") from error
    except TypeError as error:  # no estimator of scikit-learn's kind
        raise ModelError(f"the file holds a {name}: {error}") from error
    if isinstance(getattr(estimator, "classes_", None), list):
        raise ModelError("the classifier predicts several targets at once; allowed: one target")


def matrix_or_text(estimator: Any) -> ModelInput:
    """What an estimator that was fitted without names takes: raw texts, or a matrix."""
    if takes_texts(estimator):
        return ModelInput(_TEXT, "string", ())
    width = getattr(estimator, "n_features_in_", None)
    return ModelInput(_MATRIX, "float64", (None if width is None else int(width),))


def ask_classifier(estimator: Any, given: Any, classes: int) -> Classified:
    """The labels that `predict` gives, and (rows, classes) probabilities where there are classes.

    What stands before a pipeline's last step is done once. Runs on: driver and executor.

    Args:
        given: a frame, a matrix or texts.
        classes: how many the estimator has probabilities for; 0: none.
    """
    if len(given) == 0:  # estimators want at least one row
        return Classified(np.zeros(0, object), np.zeros((0, classes)) if classes else None)
    last, rows = _last_step(estimator, given) if classes else (estimator, given)
    labels = label_texts(last.predict(rows))
    if not classes:
        return Classified(labels)
    return Classified(labels, np.asarray(last.predict_proba(rows), np.float64))


def _last_step(estimator: Any, given: Any) -> tuple[Any, Any]:
    """The last step of a pipeline and what the others make of the rows; else what was given.

    Source: `Pipeline.predict` and `Pipeline.predict_proba` of scikit-learn 1.9, which both are the
    last step's own on the rows that all others have transformed.
    """
    from sklearn.pipeline import Pipeline

    while type(estimator) is Pipeline:
        for _, step in estimator.steps[:-1]:
            if step is not None and step != "passthrough":
                given = step.transform(given)
        estimator = estimator.steps[-1][1]
    return estimator, given
