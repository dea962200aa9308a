"""XGBoost's own files, asked by XGBoost: as its classifiers and regressors ask where these saved
the file, as its `Booster` does else.

Owns how a booster is asked and what its objective means. What a file may hold is `xgboost_file`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from batchinfer.errors import ModelError, UnfitRows
from batchinfer.models.formats.artifact import ForeignModule, Trust, first_line
from batchinfer.models.formats.boosting.boosted import (
    BoostedTrees,
    TreeInputs,
    library,
    likeliest,
    output_numbers,
    two_classes,
)
from batchinfer.models.formats.boosting.category_codes import with_unseen_values
from batchinfer.models.formats.boosting.xgboost_file import XgboostFile, read_xgboost

_CATEGORY = "c"


def open_xgboost(data: bytes, device: str, trust: Trust = "none") -> ForeignModule:
    """The model as a module, after `read_xgboost`; on the CPU. Runs on: driver and executor.

    Raises:
        ModelError: as `read_xgboost`; or XGBoost cannot load it.
        SetupError: the package xgboost is not installed.
    """
    described = read_xgboost(data)
    xgboost = library("xgboost")
    booster = xgboost.Booster()
    try:
        booster.load_model(bytearray(data))
    except xgboost.core.XGBoostError as error:
        raise ModelError(
            f"XGBoost {xgboost.__version__} cannot load this file: {first_line(error)}"
        ) from error
    # As many threads as PyTorch's, which the worker limits to its share of the cores.
    booster.set_param({"nthread": torch.get_num_threads(), "device": "cpu"})
    return XgboostTrees(booster, described)


def takes_of(described: XgboostFile) -> TreeInputs:
    """What the model takes.

    Raises:
        ModelError: categories whose values the file does not list, so that nobody knows their codes.
    """
    names = described.names
    places = names or tuple(map(str, range(described.width)))
    unknown = [
        name
        for name, type_ in zip(places, described.types, strict=False)
        if type_ == _CATEGORY and name not in described.categories
    ]
    if described.categories and not names:
        raise ModelError("the file lists categories of features that have no names")
    if unknown and described.categories:
        raise ModelError(f"the file lists no categories of {', '.join(unknown)}")
    spare = () if names else tuple(f"f{place}" for place in range(described.width))
    return TreeInputs(described.width, names, described.categories, spare=spare)


def labels_of(described: XgboostFile) -> tuple[str, ...]:
    """Labels of a classifier: XGBoost numbers its classes from 0, and its files have no others."""
    if described.targets > 1:
        return ()
    if described.objective in ("multi:softprob", "multi:softmax"):
        return tuple(map(str, range(described.outputs)))
    return ("0", "1") if described.objective in ("binary:logistic", "binary:hinge") else ()


def _told(described: XgboostFile) -> Iterator[str]:
    if labels_of(described):
        yield (
            f"an XGBoost file knows no names of classes: label is 0 to {len(labels_of(described)) - 1}, "
            "as it was trained"
        )
    if described.targets > 1 and described.objective == "binary:logistic":
        yield (
            f"the model has {described.targets} targets: prediction holds the probability of each, "
            "and there is no label"
        )
    if described.missing is not None:
        yield (
            f"the wrapper that saved this file took {described.missing:g} for a missing number; it "
            f"counts as one here where the pipeline says model: {{missing: {described.missing:g}}}"
        )
    best = described.best_iteration
    if best is not None and not described.estimator and best + 1 < described.rounds:
        yield (
            f"early stopping found round {best + 1} of {described.rounds} to be the best; the model "
            "scores with all of them, as Booster.predict does: slice it (booster[:best + 1]) before "
            "it is saved to score with the best"
        )
    if any(type_ == _CATEGORY for type_ in described.types):
        yield (
            "XGBoost takes a category that was not there in training for the next one in sorted "
            "order, without a word, and refuses those behind the last; model: {unseen: null|fail} "
            "takes it for a missing value, or puts its row into quarantine"
        )


# fmt: off
class XgboostTrees(BoostedTrees):
    """A booster of XGBoost: the classes or numbers that its objective means, of float32 values."""

    def __init__(self, booster: Any, described: XgboostFile) -> None:
        super().__init__(takes_of(described), labels_of(described), list(_told(described)))
        self._booster, self._described = booster, described
        best = described.best_iteration
        self._rounds = (0, best + 1) if best is not None and described.estimator else (0, 0)

    def asked(self, given: Any) -> Any:
        """What XGBoost says of the rows of a frame or a matrix. Runs on: driver and executor."""
        rows = given if isinstance(given, np.ndarray) else with_categories(given, self._described)
        softmax = self._described.objective == "multi:softmax"
        output = predicted(self._booster, rows, self._described, self._rounds, margin=softmax)
        if not self.labels:
            return output_numbers(output)
        if softmax:  # as XGBClassifier.predict_proba
            from scipy.special import softmax as probabilities

            return likeliest(np.asarray(probabilities(output, axis=1)), self.labels)
        return two_classes(output, self.labels) if output.ndim == 1 else likeliest(output, self.labels)
# fmt: on


def predicted(
    booster: Any, rows: Any, described: XgboostFile, rounds: tuple[int, int], *, margin: bool
) -> np.ndarray:
    """What a booster gives for a frame, or for (rows, width) float32.

    Boosters of trees read the rows where they lie, as XGBoost's wrappers have them do; others want
    XGBoost's own copy of them, as `Booster.predict` does.
    """
    if described.booster == "gbtree" or (described.booster == "dart" and described.estimator):
        kind = "margin" if margin else "value"
        return booster.inplace_predict(
            rows, iteration_range=rounds, predict_type=kind, validate_features=False
        )
    types = list(described.types) if isinstance(rows, np.ndarray) and described.types else None
    made = library("xgboost").DMatrix(
        rows, feature_types=types, enable_categorical=True, nthread=torch.get_num_threads()
    )
    return booster.predict(
        made, iteration_range=rounds, output_margin=margin, validate_features=False
    )


def with_categories(frame: Any, described: XgboostFile) -> Any:
    """The frame with its categories as such, for XGBoost to recode.

    Runs on: driver and executor.

    Raises:
        UnfitRows: values that XGBoost itself refuses, and all rows of a batch with them: those
            behind the last of the sorted categories.
    """
    made: dict[str, Any] = {}
    unfit: dict[int, str] = {}
    for name, known in described.categories.items():
        series = frame[name]
        made[name] = with_unseen_values(series, known, described.category_types[name])
        if len(made[name].categories) > len(known):
            last = max(known)
            for row in np.flatnonzero((made[name].codes >= len(known)) & (series > last)).tolist():
                unfit[row] = (
                    f"column {name}: got {series[row]!r}, a category that was not there in "
                    f"training, which XGBoost refuses behind the last one ({last!r})"
                )
    if unfit:
        raise UnfitRows(unfit)
    return frame.assign(**made)
