"""Which models can be trained by name, and which parameters they take.

Owns the names and the rules for parameters, so that a pipeline file can be judged before anything is loaded. Must not import
torch: it is read at every start.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Task = Literal["binary", "multiclass", "regression"]

ModelName = str | Mapping[Literal["python"], str]


@dataclass(frozen=True)
class ModelKind:
    """A built-in model: the class that is built, what it can learn, and its own parameters."""

    class_path: str
    tasks: tuple[Task, ...]
    params: tuple[str, ...]


_MLP = "batchinfer.models.mlp:Mlp"
MODELS: Mapping[str, ModelKind] = {
    "mlp_classifier": ModelKind(_MLP, ("binary", "multiclass"), ("hidden", "dropout")),
    "mlp_regressor": ModelKind(_MLP, ("regression",), ("hidden", "dropout")),
}


@dataclass(frozen=True)
class _Rule:
    allowed: str
    holds: Callable[[Any], bool]


def _whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _between(value: Any, low: float, high: float, low_counts: bool) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return (low <= value if low_counts else low < value) and value < high


def _layer_sizes(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and all(_whole(size, 1) for size in value)


_RULES: Mapping[str, _Rule] = {
    "epochs": _Rule("a whole number from 1 up", lambda value: _whole(value, 1)),
    "seed": _Rule("a whole number from 0 to 2**63 - 1", lambda value: _whole(value, 0) and value < 2**63),
    "batch_size": _Rule("a whole number from 1 up", lambda value: _whole(value, 1)),
    "patience": _Rule("a whole number from 1 up", lambda value: _whole(value, 1)),
    "learning_rate": _Rule("a number above 0 and below 10", lambda value: _between(value, 0, 10, low_counts=False)),
    "validation_share": _Rule("a number above 0 and below 1", lambda value: _between(value, 0, 1, low_counts=False)),
    "dropout": _Rule("a number from 0 to below 1", lambda value: _between(value, 0, 1, low_counts=True)),
    "hidden": _Rule("a list of whole numbers from 1 up, such as [128, 64]", _layer_sizes),
}

LEARNING_PARAMS = ("epochs", "seed", "batch_size", "learning_rate", "patience", "validation_share")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """` Did you mean 'x'?` for the nearest known name, or an empty text.

    Runs on: driver.
    """
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" Did you mean {near[0]!r}?" if near else ""


def check_model(model: ModelName) -> list[str]:
    """Problems of `train.model`: an unknown name, or a class path that is not `package.module:Class`.

    Runs on: driver.
    """
    if isinstance(model, str):
        if model in MODELS:
            return []
        return [
            f"unknown model {model!r}. Allowed: {', '.join(MODELS)}, or python: package.module:Class.{did_you_mean(model, MODELS)}"
        ]
    return check_class_path(str(model.get("python")))


def check_class_path(path: str) -> list[str]:
    """Problems of a class path; the form is `package.module:Class`.

    Runs on: driver.
    """
    module, _, name = path.partition(":")
    if name.isidentifier() and all(part.isidentifier() for part in module.split(".")):
        return []
    return [f"got the class path {path!r}; allowed: package.module:Class"]


def check_params(model: ModelName, params: Mapping[str, Any]) -> list[str]:
    """Problems of `train.params`: names that the model does not take, values out of range.

    Parameters that a class of the user's own takes are not judged here, because that needs its code: see `build_module`.
    Runs on: driver.
    """
    if check_model(model):
        return check_model(model)
    known = [*LEARNING_PARAMS, *(MODELS[model].params if isinstance(model, str) else ())]
    problems = []
    for name, value in params.items():
        if name not in known:
            if isinstance(model, str):
                problems.append(f"unknown parameter {name!r} of {model}. Allowed: {', '.join(known)}.{did_you_mean(name, known)}")
        elif not _RULES[name].holds(value):
            problems.append(f"{name}: got {value!r}; allowed: {_RULES[name].allowed}")
    return problems


def split_params(params: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parameters as (for learning, for the model's constructor).

    Runs on: driver.
    """
    learning = {name: value for name, value in params.items() if name in LEARNING_PARAMS}
    return learning, {name: value for name, value in params.items() if name not in LEARNING_PARAMS}


def class_path_of(model: ModelName) -> str:
    """Import path of the class that `train.model` names; the name was checked before.

    Runs on: driver.
    """
    return MODELS[model].class_path if isinstance(model, str) else model["python"]
