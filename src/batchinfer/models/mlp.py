"""The built-in network, and how any network is built from its class path.

Owns the `Mlp` module and the construction of modules. Knows nothing of training or of files.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from batchinfer.config.suggestions import among, did_you_mean, listed
from batchinfer.errors import ConfigError, ModelError
from batchinfer.models.parameters import MODELS, check_class_path

__all__ = ["MODELS", "Mlp", "arguments_of", "build_module", "load_class", "takes"]


# fmt: off
class Mlp(torch.nn.Module):
    """Fully connected layers with ReLU and dropout between them, and a linear last layer.

    Inputs: `features` (rows, features) float32, left out where there are none; each integer input (rows,) or (rows, length)
    int64, which an embedding makes numbers of: of several integers a row, such as the words of a text, their mean without
    the zeros that fill up. Output (rows, outputs) float32: logits, or predictions of a regression.

    Args:
        integers: name -> [how many different integers, how many a row has, or None for one].

    Source: width of the embeddings, min(50, 1.6 * n ** 0.56), as in fastai's tabular models.
    """

    def __init__(
        self,
        features: int,
        outputs: int,
        hidden: Sequence[int] = (128, 64),
        dropout: float = 0.1,
        integers: Mapping[str, Sequence[Any]] | None = None,
    ) -> None:
        super().__init__()
        self.names = tuple(integers or {})
        self.embeddings = torch.nn.ModuleList(_embedding(*shape) for shape in (integers or {}).values())
        width = features + sum(_embedding_width(count) for count, _ in (integers or {}).values())
        layers: list[torch.nn.Module] = []
        for size in hidden:
            layers += [torch.nn.Linear(width, size), torch.nn.ReLU(), torch.nn.Dropout(dropout)]
            width = size
        self.layers = torch.nn.Sequential(*layers, torch.nn.Linear(width, outputs))

    def forward(self, features: torch.Tensor | None = None, **integers: torch.Tensor) -> torch.Tensor:
        """Named inputs -> (rows, outputs) float32. Runs on: driver and executor."""
        parts = [] if features is None else [features]
        parts += [embedding(integers[name]) for name, embedding in zip(self.names, self.embeddings, strict=True)]
        return self.layers(parts[0] if len(parts) == 1 else torch.cat(parts, dim=1))
# fmt: on


def _embedding_width(count: int) -> int:
    return min(50, max(1, round(1.6 * count**0.56)))


def _embedding(count: int, length: int | None) -> torch.nn.Module:
    width = _embedding_width(count)
    if length is not None:
        return torch.nn.EmbeddingBag(count, width, mode="mean", padding_idx=0)
    table = torch.nn.Embedding(count, width)
    # 0 is what was never seen: it says nothing until there are rows to learn it from.
    with torch.no_grad():
        table.weight[0] = 0.0
    return table


def load_class(path: str, base: type) -> type:
    """The class at `package.module:Class`, which must be a subclass of `base`.

    Runs on: driver and executor.

    Raises:
        ModelError: the path is malformed, cannot be imported, or is no such class.
    """
    if problems := check_class_path(path):
        raise ModelError(problems)
    module_name, _, name = path.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ModelError(
            f"{path}: the module {module_name} cannot be imported: {error}. It must be on "
            "PYTHONPATH."
        ) from error
    found = vars(module).get(name)
    if isinstance(found, type) and issubclass(found, base):
        return found
    if found is not None:
        raise ModelError(
            f"{path}: got {found!r}; allowed: a subclass of {base.__module__}.{base.__qualname__}"
        )
    known = [
        key
        for key, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, base)
    ]
    raise ModelError(
        f"{path}: {module_name} has no class {name}{did_you_mean(name, known)}; it has "
        f"{listed(known)}"
    )


def build_module(path: str, arguments: Mapping[str, Any]) -> torch.nn.Module:
    """A module of the class at `path`, which remembers the arguments that it was built with.

    `arguments` must be JSON-able: `features` and `outputs`, both whole numbers, `integers` where
    the model has integer inputs and the class takes that argument (see `Mlp`), and the class's own
    parameters.
    Runs on: driver and executor.

    Raises:
        ModelError: the class cannot be loaded.
        ConfigError: the class does not take one of the arguments, or memory does not suffice for
            them.
    """
    class_ = load_class(path, torch.nn.Module)
    taken = inspect.signature(class_).parameters
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in taken.values()):
        unknown = [name for name in arguments if name not in taken]
        if unknown:
            raise ConfigError([f"unknown parameter of {path}: {among(n, taken)}" for n in unknown])
    try:
        module = class_(**arguments)
    except (RuntimeError, MemoryError) as error:
        if "allocate" not in str(error) and not isinstance(error, MemoryError):
            raise
        own = ", ".join(f"{name} {value}" for name, value in arguments.items())
        raise ConfigError(
            f"{path} with {own} needs more memory than there is; allowed: fewer or smaller layers"
        ) from error
    vars(module)["batchinfer_arguments"] = dict(arguments)  # plain data: no parameter, no buffer
    return module


def takes(path: str, argument: str) -> bool:
    """Whether the constructor of the class at `path` takes an argument of that name.

    Runs on: driver.

    Raises:
        ModelError: the class cannot be loaded.
    """
    parameters = inspect.signature(load_class(path, torch.nn.Module)).parameters
    return argument in parameters or any(
        parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()
    )


def arguments_of(module: torch.nn.Module) -> dict[str, Any]:
    """The arguments that `build_module` built this module with.

    Runs on: driver.

    Raises:
        ModelError: the module was built in another way, so a bundle could not build it again.
    """
    arguments = vars(module).get("batchinfer_arguments")
    if arguments is None:
        name = f"{type(module).__module__}:{type(module).__qualname__}"
        raise ModelError(
            f"{name} was not built by build_module(path, arguments), so its constructor arguments "
            "are not known."
        )
    return arguments
