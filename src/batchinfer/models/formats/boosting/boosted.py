"""What all boosted trees share: what they are asked, and what they say of themselves.

Owns the base class of the three libraries' models. Knows no library.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np
import torch

from batchinfer.models.formats.artifact import Classified, ModelInput, Predictor, missing_package

MATRIX = "features"


@dataclass(frozen=True)
class TreeInputs:
    """What a model of trees takes, as its file tells.

    Attributes:
        width: number of its features.
        names: of its features in their order; none where it was trained on an array.
        categories: of each feature that is a category and whose values the file lists, these values,
            in the order of their codes.
        texts: features that are categories of which the file lists no values.
        type: in which it compares numbers.
        finite: True where it takes no infinity.
        spare: names that are used only where all of them have landed: those that the library itself
            gives to the columns of an array.
    """

    width: int
    names: tuple[str, ...] = ()
    categories: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    texts: tuple[str, ...] = ()
    type: str = "float32"
    finite: bool = True
    spare: tuple[str, ...] = ()


def library(name: str) -> Any:
    """One of the libraries of the extra `boosting`.

    Runs on: driver and executor.

    Raises:
        SetupError: it is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise missing_package(name, "boosting") from error


# fmt: off
class BoostedTrees(Predictor):
    """A model of boosted trees: a matrix in, or a frame where there are categories; classes or numbers out.

    Attributes:
        takes: what its file tells of its features.
        told: sentences for whoever registers it.
    """

    def __init__(self, takes: TreeInputs, labels: Sequence[str] = (), told: Sequence[str] = ()) -> None:
        mixed = bool(takes.categories or takes.texts)
        inputs = [] if mixed else [ModelInput(MATRIX, takes.type, (takes.width,))]
        frame = takes.names if mixed else None
        super().__init__(inputs, frame, labels, "classes" if labels else "values", takes.names)
        self.takes, self.told = takes, tuple(told)

    def forward(self, **inputs: Any) -> Any:
        """`frame`, a pandas frame of those columns, or `features` (rows, width). Runs on: driver and executor."""
        (given,) = inputs.values()
        given = given.detach().cpu().numpy() if isinstance(given, torch.Tensor) else given
        if len(given) == 0:  # the libraries want at least one row
            width = max(1, len(self.labels))
            return Classified(np.zeros(0, object), np.zeros((0, width))) if self.labels else torch.zeros((0, 1), dtype=torch.float64)
        return self.asked(given)

    def asked(self, given: Any) -> Any:
        """What the library says of the rows of a frame or a matrix."""
        raise NotImplementedError(f"{type(self).__qualname__} must define asked")
# fmt: on


def output_numbers(values: Any) -> torch.Tensor:
    """(rows,) or (rows, outputs) numbers of a library as float64."""
    return torch.from_numpy(np.ascontiguousarray(values, np.float64))


def two_classes(scores: np.ndarray, labels: Sequence[str]) -> Classified:
    """Labels and probabilities of (rows,) probabilities of the second of two classes: it is the
    label where it is above one half, as in the libraries' own classifiers.
    """
    wide = np.asarray(scores, np.float64)
    return Classified(
        np.array(labels, object)[(scores > 0.5).astype(np.intp)],
        np.stack([1.0 - wide, wide], axis=1),
    )


def likeliest(scores: np.ndarray, labels: Sequence[str]) -> Classified:
    """Labels and probabilities of (rows, classes): the first of the greatest, as in the libraries'
    own classifiers.
    """
    return Classified(
        np.array(labels, object)[scores.argmax(axis=1)], np.asarray(scores, np.float64)
    )
