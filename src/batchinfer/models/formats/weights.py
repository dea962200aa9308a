"""Weights as safetensors, and the class that they belong to: no other format is kept as it was from
the first.

Owns the finding of the class: a JSON file beside the weights, `{"class": "package.module:Class",
"arguments": {…}}`, or else what the pipeline says. The class is imported from PYTHONPATH, never
from the artefact.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from batchinfer.errors import ConfigError, ModelError
from batchinfer.models.formats.artifact import ForeignModule, ModelInput
from batchinfer.models.mlp import build_module

_BESIDE = (
    'a JSON file of the same name beside the weights: {"class": "package.module:Class", '
    '"arguments": {"features": 3}}'
)


class PlainModule(ForeignModule):
    """A module of a class of the user's own, called by its own arguments' names."""

    def __init__(self, module: torch.nn.Module, inputs: list[ModelInput]) -> None:
        super().__init__(inputs)
        self.module = module

    def forward(self, **tensors: torch.Tensor) -> Any:
        """What the module gives. Runs on: driver."""
        return self.module(**tensors)


def class_beside(path: Path) -> tuple[str, dict[str, Any]] | None:
    """Class path and arguments from the JSON file beside the weights; None if there is no such
    file.

    Runs on: driver.

    Raises:
        ModelError: the file says something else.
    """
    beside = path.with_suffix(".json")
    if not beside.is_file():
        return None
    try:
        described = json.loads(beside.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{beside}: no JSON: {error}; allowed: {_BESIDE}") from error
    if (
        not isinstance(described, dict)
        or not isinstance(described.get("class"), str)
        or not isinstance(described.get("arguments", {}), dict)
        or set(described) - {"class", "arguments"}
    ):
        raise ModelError(f"{beside}: got {json.dumps(described)[:200]}; allowed: {_BESIDE}")
    return described["class"], described.get("arguments", {})


def open_weights(data: bytes, class_path: str, arguments: Mapping[str, Any]) -> PlainModule:
    """A module of the class with these weights, in eval mode on the CPU.

    Runs on: driver.

    Raises:
        ModelError: no such class, arguments or weights that it does not take, or a damaged file.
    """
    try:
        module = build_module(class_path, arguments)
    except ConfigError as error:
        raise ModelError(list(error.problems), f"allowed: {_BESIDE}") from error
    except ModelError:
        raise
    except Exception as error:  # the constructor of a user's class may raise anything
        raise ModelError(
            f"{class_path}({_shown(arguments)}) cannot be made: {type(error).__name__}: {error}",
            _BESIDE,
        ) from error
    try:
        module.load_state_dict(safetensors.torch.load(data), strict=True)
    except safetensors.SafetensorError as error:
        raise ModelError(f"the safetensors file is damaged or cut off: {error}") from error
    except (RuntimeError, KeyError, ValueError) as error:
        raise ModelError(
            f"the weights do not fit {class_path}({_shown(arguments)}): "
            f"{' '.join(str(error).split())}",
            f"allowed: {_BESIDE}",
        ) from error
    module.eval()
    return PlainModule(module, _inputs(module, arguments))


def _shown(arguments: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in arguments.items())


def _inputs(module: torch.nn.Module, arguments: Mapping[str, Any]) -> list[ModelInput]:
    weights = next((one for one in module.parameters() if one.is_floating_point()), None)
    type_ = "float64" if weights is not None and weights.dtype == torch.float64 else "float32"
    taken = [
        parameter.name
        for parameter in inspect.signature(module.forward).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    width = arguments.get("features")
    known = len(taken) == 1 and isinstance(width, int)
    return [
        ModelInput(name, type_, (width,)) if known else ModelInput(name, type_, ranked=False)
        for name in taken
    ]
