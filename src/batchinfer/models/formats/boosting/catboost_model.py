"""CatBoost's own files, asked by CatBoost: labels by its classifier's `predict`, which knows its
own threshold.

Owns how a model is asked and what its loss means. What is held of a file is `catboost_file`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from batchinfer.errors import ModelError, UnfitRows
from batchinfer.models.formats.artifact import Classified, ForeignModule, Trust, label_texts
from batchinfer.models.formats.boosting.boosted import (
    BoostedTrees,
    TreeInputs,
    library,
    output_numbers,
)
from batchinfer.models.formats.boosting.catboost_file import MAGIC, check_catboost

_SEVERAL_TARGETS = ("MultiLogloss", "MultiCrossEntropy")


def open_catboost(data: bytes, device: str, trust: Trust = "none") -> ForeignModule:
    """The model as a module, after `check_catboost`; on the CPU. Runs on: driver and executor.

    Raises:
        ModelError: as `check_catboost`; or CatBoost cannot load it, or it takes texts, or predicts
            several targets.
        SetupError: the package catboost is not installed.
    """
    return CatboostTrees(read_catboost(data))


def read_catboost(data: bytes) -> Any:
    """The model as CatBoost loads it: a classifier, or a regressor of whatever has no classes.

    Runs on: driver and executor.

    Raises:
        ModelError: as `open_catboost`.
        SetupError: the package catboost is not installed.
    """
    check_catboost(data)
    catboost = library("catboost")
    try:
        found = _loaded(catboost.CatBoost, data)
        classes = len(found.classes_)
        model = _loaded(
            catboost.CatBoostClassifier if classes else catboost.CatBoostRegressor, data
        )
    except catboost.CatBoostError as error:
        raise ModelError(
            f"CatBoost {catboost.__version__} cannot load this file: {error}"
        ) from error
    loss = str(model.get_all_params().get("loss_function", ""))
    if loss.partition(":")[0] in _SEVERAL_TARGETS:
        raise ModelError(f"the model predicts several targets at once ({loss}); allowed: one")
    inner = model._object
    if inner._get_text_feature_indices() or inner._get_embedding_feature_indices():
        raise ModelError("the model takes texts or embeddings; allowed: numbers and categories")
    return model


def _loaded(kind: Any, data: bytes) -> Any:
    # From a file: of bytes in memory CatBoost forgets the loss, and with it what `predict` means.
    with tempfile.TemporaryDirectory(prefix="batchinfer-catboost-") as folder:
        file = Path(folder) / "model"
        file.write_bytes(data)
        return kind().load_model(str(file), format="cbm" if data.startswith(MAGIC) else "json")


def takes_of_catboost(model: Any) -> TreeInputs:
    """What the model takes.

    Raises:
        ModelError: categories, and no names to find them by.
    """
    names = tuple(str(name) for name in model.feature_names_)
    named = names != tuple(map(str, range(len(names))))
    categories = tuple(names[place] for place in model.get_cat_feature_indices())
    if categories and not named:
        raise ModelError(
            "the model takes categories, and was trained without names of columns; allowed: names, "
            "as a DataFrame has them"
        )
    if named:
        return TreeInputs(len(names), names, texts=categories)
    return TreeInputs(len(names), spare=names)


def _told(categories: tuple[str, ...]) -> Iterator[str]:
    if categories:
        yield (
            f"CatBoost takes text for {', '.join(categories)}, and its file does not tell which "
            "text stood for a missing one: a row with null there goes to quarantine where "
            "no --missing COLUMN=TEXT tells it; a category that was not there in training has the "
            "statistics of one that was never seen, which is CatBoost's own way"
        )


# fmt: off
class CatboostTrees(BoostedTrees):
    """A model of CatBoost: its own labels and probabilities, or the numbers that its loss means, of float32 values."""

    def __init__(self, model: Any) -> None:
        takes = takes_of_catboost(model)
        super().__init__(takes, [str(one) for one in np.asarray(model.classes_).tolist()], list(_told(takes.texts)))
        self._model = model

    def asked(self, given: Any) -> Any:
        """What CatBoost says of the rows of a frame or a matrix. Runs on: driver and executor."""
        # As many threads as PyTorch's, which the worker limits to its share of the cores.
        threads = torch.get_num_threads()
        rows = library("catboost").Pool(check_texts(given, self.takes.texts), cat_features=list(self.takes.texts) or None, thread_count=threads)
        if not self.labels:
            return output_numbers(self._model.predict(rows, thread_count=threads))
        labels = label_texts(self._model.predict(rows, prediction_type="Class", thread_count=threads))
        scores = self._model.predict(rows, prediction_type="Probability", thread_count=threads)
        return Classified(labels, np.asarray(scores, np.float64))
# fmt: on


def check_texts(given: Any, texts: tuple[str, ...]) -> Any:
    """A frame in which each category has a text.

    Raises:
        UnfitRows: rows that have none.
    """
    unfit: dict[int, str] = {}
    for name in texts:
        for row in np.flatnonzero(given[name].isna().to_numpy()).tolist():
            unfit[row] = (
                f"column {name}: got null; CatBoost takes text, and nothing tells which text stood "
                "for a missing value (register --missing)"
            )
    if unfit:
        raise UnfitRows(unfit)
    return given
