"""What all formats share: the artefact's bytes, what a model takes, and the module that runs it.

Owns the words in which formats speak of a model. Knows no format.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

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


def missing_package(package: str, extra: str) -> SetupError:
    """The error for a package that is not installed."""
    return SetupError(
        f"the package {package} is not installed, and this format needs it; allowed: batchinfer "
        f"with the extra {extra}",
        f"pip install 'batchinfer[{extra}]'",
    )
