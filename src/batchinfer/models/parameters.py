"""Which models can be trained by name, which parameters they take, and what they are to learn.

Owns the names, the rules for parameters and the choice of the task, so that a pipeline file can be
judged before anything is loaded. Must not import torch: it is read at every start.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa

from batchinfer.config.suggestions import among, shown
from batchinfer.errors import ConfigError

if TYPE_CHECKING:
    from batchinfer.config.pipeline import Target

Task = Literal["binary", "multiclass", "regression"]

ModelName = str | Mapping[Literal["python"], str]

LEARNING_PARAMS = (
    "epochs",
    "seed",
    "batch_size",
    "learning_rate",
    "patience",
    "validation_share",
    "validation_by",
)


@dataclass(frozen=True)
class ModelKind:
    """A built-in model: the class that is built, what it can learn, and its own parameters.

    Attributes:
        class_path: empty where another library builds it.
        learning: parameters of the learning itself.
        library: that builds and trains it; empty for PyTorch, which does so here.
    """

    class_path: str
    tasks: tuple[Task, ...]
    params: tuple[str, ...]
    learning: tuple[str, ...] = LEARNING_PARAMS
    library: str = ""


_MLP = "batchinfer.models.mlp:Mlp"
_TREES = (
    "rounds",
    "depth",
    "learning_rate",
    "seed",
    "early_stopping_rounds",
    "subsample",
    "colsample",
    "l2",
    "validation_share",
    "validation_by",
)
_LEAVES = ("leaves", "least_rows")
MODELS: Mapping[str, ModelKind] = {
    "mlp_classifier": ModelKind(_MLP, ("binary", "multiclass"), ("hidden", "dropout")),
    "mlp_regressor": ModelKind(_MLP, ("regression",), ("hidden", "dropout")),
    "xgboost_classifier": ModelKind("", ("binary", "multiclass"), (), _TREES, "xgboost"),
    "xgboost_regressor": ModelKind("", ("regression",), (), _TREES, "xgboost"),
    "lightgbm_classifier": ModelKind("", ("binary", "multiclass"), _LEAVES, _TREES, "lightgbm"),
    "lightgbm_regressor": ModelKind("", ("regression",), _LEAVES, _TREES, "lightgbm"),
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


def _within(value: Any, least: int, most: int) -> bool:
    return _whole(value, least) and value <= most


def _share(value: Any) -> bool:
    return value == 1 or _between(value, 0, 1, low_counts=False)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _layer_sizes(value: Any) -> bool:
    return (
        isinstance(value, Sequence)
        and not isinstance(value, str)
        and all(_whole(size, 1) for size in value)
    )


_RULES: Mapping[str, _Rule] = {
    "epochs": _Rule("a whole number from 1 up", lambda value: _whole(value, 1)),
    "seed": _Rule(
        "a whole number from 0 to 2**63 - 1", lambda value: _whole(value, 0) and value < 2**63
    ),
    "batch_size": _Rule("a whole number from 1 up", lambda value: _whole(value, 1)),
    "patience": _Rule("a whole number from 1 up", lambda value: _whole(value, 1)),
    "learning_rate": _Rule(
        "a number above 0 and below 10", lambda value: _between(value, 0, 10, low_counts=False)
    ),
    "validation_share": _Rule(
        "a number above 0 and below 1", lambda value: _between(value, 0, 1, low_counts=False)
    ),
    "validation_by": _Rule(
        "key, or a column of times or numbers, whose latest rows are validated on", _is_name
    ),
    "dropout": _Rule(
        "a number from 0 to below 1", lambda value: _between(value, 0, 1, low_counts=True)
    ),
    "rounds": _Rule("a whole number from 1 to 100,000", lambda value: _within(value, 1, 100_000)),
    "depth": _Rule("a whole number from 1 to 30", lambda value: _within(value, 1, 30)),
    "early_stopping_rounds": _Rule("a whole number from 1 up", lambda value: _whole(value, 1)),
    "subsample": _Rule("a number above 0, at most 1", _share),
    "colsample": _Rule("a number above 0, at most 1", _share),
    "l2": _Rule(
        "a number from 0 to 10^9", lambda value: _between(value, 0, 1e9 + 1, low_counts=True)
    ),
    "leaves": _Rule("a whole number from 2 to 131,072", lambda value: _within(value, 2, 131_072)),
    "least_rows": _Rule(
        "a whole number from 0 to 2**31 - 1", lambda value: _within(value, 0, 2**31 - 1)
    ),
    "hidden": _Rule("a list of whole numbers from 1 up, such as [128, 64]", _layer_sizes),
}

# What the libraries of boosted trees take is less than PyTorch takes.
_TREE_RULES: Mapping[str, _Rule] = {
    **_RULES,
    "seed": _Rule("a whole number from 0 to 2**31 - 1", lambda value: _within(value, 0, 2**31 - 1)),
    "learning_rate": _Rule("a number above 0, at most 1", _share),
}

VALIDATION_BY_KEY = "key"


def check_class_path(path: object) -> list[str]:
    """Problems of a class path; the form is `package.module:Class`.

    Runs on: driver.
    """
    if isinstance(path, str):
        module, _, name = path.partition(":")
        if name.isidentifier() and all(part.isidentifier() for part in module.split(".")):
            return []
    return [f"got {shown(path)}; allowed: a class on PYTHONPATH as package.module:Class"]


def check_params(model: object, params: Mapping[str, Any]) -> list[tuple[tuple[str, ...], str]]:
    """Problems of `train.model` and `train.params`, each as (place below `train`, message).

    `model` is as it was read from the file. Parameters that a class of the user's own takes are not
    judged here, because that needs its code: see `build_module`. Runs on: driver.
    """
    if isinstance(model, Mapping):
        if set(model) != {"python"}:
            return []  # the shape of the file is the loader's business
        if problems := check_class_path(model["python"]):
            return [(("model", "python"), problem) for problem in problems]
        own, rules = LEARNING_PARAMS, _RULES
    elif isinstance(model, str) and model in MODELS:
        own = (*MODELS[model].learning, *MODELS[model].params)
        rules = _TREE_RULES if MODELS[model].library else _RULES
    else:
        return [(("model",), f"{among(model, MODELS)}, or python: package.module:Class")]
    found = []
    for name, value in params.items():
        if name in own:
            if not rules[name].holds(value):
                found.append((("params", name), f"got {value!r}; allowed: {rules[name].allowed}"))
        elif isinstance(model, str):
            found.append(
                (
                    ("params", str(name)),
                    f"unknown parameter of {model}: {among(name, own)}",
                )
            )
    return found


def split_params(params: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parameters as (for learning, for the model's constructor).

    Runs on: driver.
    """
    learning = {name: value for name, value in params.items() if name in LEARNING_PARAMS}
    return learning, {name: value for name, value in params.items() if name not in LEARNING_PARAMS}


def class_path_of(model: ModelName) -> str:
    """Import path of the class that `train.model` names; the name was checked before.

    Runs on: driver.

    Raises:
        ConfigError: a model that is built by another library.
    """
    path = MODELS[model].class_path if isinstance(model, str) else model["python"]
    if not path:
        raise ConfigError(f"train.model: got {model}; allowed here: a class of PyTorch")
    return path


def library_of(model: object) -> str:
    """The library that trains a model; empty: PyTorch, here.

    Runs on: driver.
    """
    known = MODELS.get(model) if isinstance(model, str) else None
    return known.library if known is not None else ""


def task_of(target: Target, type_: pa.DataType, model: Any) -> Task:
    """What a model is to learn from a column: `positive`… means two classes; without it, text and
    an explicit classifier mean several classes, and a number means regression.

    Runs on: driver.

    Raises:
        ConfigError: the model cannot learn that, or the column is neither text nor a number.
    """
    allowed = (
        MODELS[model].tasks if isinstance(model, str) else ("binary", "multiclass", "regression")
    )
    discrete = pa.types.is_integer(type_) or pa.types.is_boolean(type_)
    if target.positive or target.positive_pattern:
        task: Task = "binary"
    elif is_text(type_) or (discrete and "regression" not in allowed) or pa.types.is_boolean(type_):
        task = "multiclass"
    elif discrete or pa.types.is_floating(type_) or pa.types.is_decimal(type_):
        task = "regression"
    else:
        raise ConfigError(
            f"train.target.column {target.column}: got {type_}; allowed: text, boolean or a number"
        )
    if task not in allowed:
        fitting = ", ".join(name for name, known in MODELS.items() if task in known.tasks)
        raise ConfigError(
            f"got {model}, but target {target.column} ({type_}) asks for {task}; "
            f"allowed: {fitting}",
            "train.target.positive or positive_pattern makes two classes; train.model "
            "mlp_regressor or another regressor learns a number",
        )
    return task


def is_text(type_: pa.DataType) -> bool:
    """Whether a column of this type, or its dictionary, holds text."""
    value = type_.value_type if isinstance(type_, pa.DictionaryType) else type_
    return (
        pa.types.is_string(value)
        or pa.types.is_large_string(value)
        or pa.types.is_string_view(value)
    )
