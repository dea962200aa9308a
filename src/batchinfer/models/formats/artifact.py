"""What all formats share: the artefact's bytes, what a model takes, and the module that runs it.

Owns the words in which formats speak of a model. Knows no format.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from batchinfer.errors import ModelError, SetupError

Trust = Literal["none", "pickle"]

TRUST_HINT = (
    "Only if you know who made it, say `model: {trust: pickle}` in the pipeline file: "
    "loading it may run any code that it holds."
)


@dataclass(frozen=True)
class Artifact:
    """A model trained elsewhere, as one file.

    Attributes:
        format: one of `catalogue.FORMATS`.
        data: the file's bytes.
        origin: what it was read from, for messages.
        columns: names of its inputs where something beside the model tells them (MLflow's
            signature); else none.
    """

    format: str
    data: bytes
    origin: str
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModelInput:
    """One input of a model.

    Attributes:
        type: NumPy's name of its values' type; `string` for text.
        shape: of one row; None for a length that may vary, or that the format does not tell. () is
            one value a row.
        ranked: False where not even the number of dimensions is told.
        fixed_rows: the number of rows it takes, where it takes no other; else None.
    """

    name: str
    type: str = "float32"
    shape: tuple[int | None, ...] = (None,)
    ranked: bool = True
    fixed_rows: int | None = None

    @property
    def width(self) -> int | None:
        """Values a row, where that is told."""
        total = 1
        for size in self.shape:
            if size is None:
                return None
            total *= size
        return total if self.ranked else None


# fmt: off
class ForeignModule(torch.nn.Module):
    """A model of another format as a torch module.

    Attributes:
        inputs: what `forward` takes by name; empty where it takes rows of named columns instead: see `frame`.
        frame: the columns of the pandas frame that `forward` takes as `frame`; None where it takes tensors.
        labels: of the classes, in the order of the probabilities that `forward` gives; none where it gives no probabilities.
        gives: `values` a tensor (rows, …); `probabilities` a tensor (rows, classes); `text` a list of strings;
            `columns` a pandas frame.
    """

    def __init__(
        self,
        inputs: Sequence[ModelInput] = (),
        frame: Sequence[str] | None = None,
        labels: Sequence[str] = (),
        gives: Literal["values", "probabilities", "text", "columns"] = "values",
    ) -> None:
        super().__init__()
        self.inputs = tuple(inputs)
        self.frame = None if frame is None else tuple(frame)
        self.labels = tuple(labels)
        self.gives = gives


class TensorProgram(ForeignModule):
    """A program of PyTorch's own: tensors in, one tensor out.

    Args:
        program: called with its inputs in their order, those of `named` by name.
    """

    def __init__(self, program: Any, inputs: Sequence[ModelInput], named: Sequence[str] = ()) -> None:
        super().__init__(inputs)
        self.program = program
        self._named = tuple(named)

    def forward(self, **tensors: torch.Tensor) -> torch.Tensor:
        """(rows, …) tensors by the names of `inputs` -> one tensor. Runs on: driver and executor."""
        placed = [tensors[one.name] for one in self.inputs if one.name not in self._named]
        return only_tensor(self.program(*placed, **{name: tensors[name] for name in self._named}))
# fmt: on


@dataclass(frozen=True)
class Classified:
    """What a classifier says of each row, in its own words.

    Attributes:
        labels: (rows,) objects, the text of the label that the model itself gives.
        scores: (rows, classes) float64 probabilities; None: it gives none.
    """

    labels: np.ndarray
    scores: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)


def label_texts(labels: Any) -> np.ndarray:
    """(rows,) objects: a model's own labels as text; 1.0 stays `1.0`, True `True`.

    Raises:
        ModelError: several labels a row.
    """
    array = np.asarray(labels)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise ModelError(f"the model gives labels of shape {array.shape}; allowed: one label a row")
    known, places = (
        np.unique(array, return_inverse=True) if array.dtype != object else (array, None)
    )
    texts = np.array([str(label) for label in known.tolist()], object)
    return texts if places is None else texts[places]


# fmt: off
class Predictor(ForeignModule):
    """A model that says itself what it predicts: nothing that it gives is derived again.

    Attributes:
        gives: besides what other modules give, `classes`: `forward` gives `Classified`.
        names: of the columns of its one matrix, in its order, where the model knows them; else none.
        words: of a frame's columns what stands for a missing value, as far as the model tells.
        casts: of a frame's columns the Arrow type (as Spark SQL) that the model asks for, as far as it tells.
    """

    def __init__(
        self,
        inputs: Sequence[ModelInput] = (),
        frame: Sequence[str] | None = None,
        labels: Sequence[str] = (),
        gives: Any = "values",
        names: Sequence[str] = (),
        words: Mapping[str, Any] | None = None,
        casts: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(inputs, frame, labels, gives)
        self.names = tuple(names)
        self.words = dict(words or {})
        self.casts = dict(casts or {})
# fmt: on


def only_tensor(output: Any) -> torch.Tensor:
    """The one tensor that a program gives.

    Raises:
        ModelError: it gives several, or something else.
    """
    while isinstance(output, tuple | list) and len(output) == 1:
        output = output[0]
    if isinstance(output, Mapping) and len(output) == 1:
        output = next(iter(output.values()))
    if isinstance(output, torch.Tensor):
        return output
    got = (
        f"{len(output)} outputs"
        if isinstance(output, tuple | list | Mapping)
        else f"a {type(output).__name__}"
    )
    raise ModelError(
        f"the model gives {got}; allowed: one tensor with a row for each row that goes in"
    )


def first_line(error: Exception) -> str:
    """The first line of a library's error that says something, else the error's class."""
    return next(
        (line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__
    )


def missing_package(package: str, extra: str) -> SetupError:
    """The error for a package that is not installed."""
    return SetupError(
        f"the package {package} is not installed, and this format needs it; allowed: batchinfer "
        f"with the extra {extra}",
        f"pip install 'batchinfer[{extra}]'",
    )
