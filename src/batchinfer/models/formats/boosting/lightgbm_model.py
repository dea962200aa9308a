"""LightGBM's own text files, asked by LightGBM.

Owns how a booster is asked and what its objective means. What a file may hold is `lightgbm_file`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from batchinfer.errors import ModelError
from batchinfer.models.formats.artifact import ForeignModule, Trust
from batchinfer.models.formats.boosting.boosted import (
    BoostedTrees,
    TreeInputs,
    library,
    likeliest,
    output_numbers,
    two_classes,
)
from batchinfer.models.formats.boosting.category_codes import codes_of
from batchinfer.models.formats.boosting.lightgbm_file import LightgbmFile, read_lightgbm


def open_lightgbm(data: bytes, device: str, trust: Trust = "none") -> ForeignModule:
    """The model as a module, after `read_lightgbm`; on the CPU. Runs on: driver and executor.

    Raises:
        ModelError: as `read_lightgbm`; or LightGBM cannot load it.
        SetupError: the package lightgbm is not installed.
    """
    described = read_lightgbm(data)
    lightgbm = library("lightgbm")
    try:
        booster = lightgbm.Booster(model_str=data.decode())
    except (lightgbm.basic.LightGBMError, ValueError, KeyError) as error:
        raise ModelError(
            f"LightGBM {lightgbm.__version__} cannot load this file: {error}"
        ) from error
    return LightgbmTrees(booster, described)


def labels_of_lightgbm(described: LightgbmFile) -> tuple[str, ...]:
    """Labels of a classifier: LightGBM numbers its classes from 0, and its files have no others."""
    if described.objective in ("multiclass", "multiclassova"):
        return tuple(map(str, range(described.outputs)))
    return ("0", "1") if described.objective == "binary" else ()


def _told(described: LightgbmFile) -> Iterator[str]:
    labels = labels_of_lightgbm(described)
    if labels:
        yield (
            f"a LightGBM file knows no names of classes: label is 0 to {len(labels) - 1}, in the "
            "order of the classes that LGBMClassifier was fitted with"
        )
    if described.categories or described.whole:
        yield (
            "a category that was not there in training is a missing value to LightGBM; model: "
            "{unseen: fail} puts its row into quarantine"
        )


# fmt: off
class LightgbmTrees(BoostedTrees):
    """A booster of LightGBM: the classes or numbers that its objective means, of float64 values."""

    def __init__(self, booster: Any, described: LightgbmFile) -> None:
        names, spare = (described.names, ()) if described.named else ((), described.names)
        takes = TreeInputs(len(described.names), names, described.categories, (), "float64", False, spare)
        super().__init__(takes, labels_of_lightgbm(described), list(_told(described)))
        self._booster, self._described = booster, described

    def asked(self, given: Any) -> Any:
        """What LightGBM says of the rows of a frame or a matrix. Runs on: driver and executor."""
        rows = given if isinstance(given, np.ndarray) else self._coded(given)
        # As many threads as PyTorch's, which the worker limits to its share of the cores.
        output = np.asarray(self._booster.predict(rows, num_threads=torch.get_num_threads()))
        if not self.labels:
            return output_numbers(output)
        return two_classes(output, self.labels) if output.ndim == 1 else likeliest(output, self.labels)

    def _coded(self, frame: Any) -> np.ndarray:
        """(rows, columns) float64 of a frame, as LightGBM's own recoding makes it: a category that was not there is missing."""
        rows = np.empty((len(frame), len(frame.columns)), np.float64)
        for place, name in enumerate(frame.columns):
            if name in self.takes.categories:
                codes = codes_of(frame[name], self.takes.categories[name]).astype(np.float64)
                codes[codes < 0] = np.nan
                rows[:, place] = codes
            else:
                rows[:, place] = frame[name].to_numpy(np.float64, na_value=np.nan)
        return rows
# fmt: on
