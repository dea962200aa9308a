"""Training of boosted trees: labelled rows -> a model in its library's own format, how good it is,
and the handler that decodes it.

Owns what the parameters mean to each library, early stopping, and that the same rows give the same
bytes. Knows neither tables nor files of pipelines, and no registry.
"""

from __future__ import annotations

import math
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from batchinfer.errors import ConfigError
from batchinfer.models.elsewhere.as_fitted import AsFitted, AsFittedValues
from batchinfer.models.elsewhere.named_classes import NamedClasses
from batchinfer.models.examples import FEATURES, Examples, ExampleWriter, Shapes
from batchinfer.models.formats.artifact import Artifact, Classified
from batchinfer.models.formats.boosting.boosted import library
from batchinfer.models.formats.catalogue import XGBOOST, open_artifact
from batchinfer.models.metrics import binary_metrics, multiclass_metrics, regression_metrics
from batchinfer.models.objectives import Objective
from batchinfer.models.parameters import MODELS, check_params
from batchinfer.models.target_reader import Batch, TargetReader
from batchinfer.models.training import OnEpoch, Trained, TrainSpec, validation_rows

_DEFAULTS: Mapping[str, Any] = {
    "rounds": 200,
    "depth": 6,
    "learning_rate": 0.1,
    "seed": 0,
    "early_stopping_rounds": 20,
    "subsample": 1.0,
    "colsample": 1.0,
    "l2": 1.0,
    "leaves": 31,
    "least_rows": 20,
}
_XGBOOST_OBJECTIVES = {
    "binary": ("binary:logistic", "logloss"),
    "multiclass": ("multi:softprob", "mlogloss"),
    "regression": ("reg:squarederror", "rmse"),
}
_LIGHTGBM_OBJECTIVES = {
    "binary": ("binary", "binary_logloss"),
    "multiclass": ("multiclass", "multi_logloss"),
    "regression": ("regression", "rmse"),
}
_BATCH_ROWS = 65_536


def tree_setting(params: Mapping[str, Any], name: str) -> Any:
    """A parameter of boosted trees, or its default."""
    return params.get(name, _DEFAULTS[name])


@dataclass(frozen=True)
class _Rows:
    """What a library learns from.

    Attributes:
        learn, valid: (features, target), (rows, width) float32 and (rows,) float64; NaN is a
            missing number. None: there is nothing to validate on.
        names: of the features, as both libraries take them.
    """

    learn: tuple[np.ndarray, np.ndarray]
    valid: tuple[np.ndarray, np.ndarray] | None
    names: Sequence[str]


@dataclass(frozen=True)
class _Learned:
    """A model's file, and the losses of each round: of the rows learned from, of the others."""

    data: bytes
    losses: list[tuple[float, float]] = field(default_factory=list)


def train_trees(
    spec: TrainSpec,
    names: Sequence[str],
    data: Callable[[], Iterable[Batch]],
    on_round: OnEpoch | None = None,
) -> Trained:
    """Trains on the rows that `data` gives, which it is asked for once; the same rows, seed and
    number of cores give the same bytes. Batches are as `training.train_model` takes them; a missing
    number may be NaN.

    Args:
        names: of the features, in order.

    Runs on: driver, on all its cores.

    Raises:
        InputError: no labelled rows, one class only, features that are infinite.
        ConfigError: parameters, a target or steps that boosted trees do not take.
        SetupError: the library is not installed.
        StorageError: the disk is full.
    """
    if problems := check_params(spec.model, spec.params):
        raise ConfigError([f"train.{'.'.join(place)}: {message}" for place, message in problems])
    if spec.integers:
        raise ConfigError(
            f"features: {', '.join(spec.integers)} become whole numbers for a network to look up; "
            f"{spec.model} takes numbers alone",
            "one_hot or target_encode make such columns numbers",
        )
    kind = MODELS[spec.model].library
    library(kind)
    with tempfile.TemporaryDirectory(prefix="batchinfer-train-", dir=spec.scratch) as scratch:
        reader = TargetReader(spec.target, spec.model, spec.mapped)
        share = spec.setting("validation_share")
        writer = ExampleWriter(Path(scratch), Shapes(spec.width), share, missing=True, names=names)
        learn, valid = writer.write(reader.read(data()))
        objective = reader.objective(learn, valid)
        valid, warnings = validation_rows(spec, learn, valid)
        rows = _Rows(
            (learn.inputs[FEATURES], _target(objective, learn)),
            None if valid is learn else (valid.inputs[FEATURES], _target(objective, valid)),
            feature_names(names),
        )
        train = _train_xgboost if kind == XGBOOST else _train_lightgbm
        learned = train(spec, objective, rows, on_round)
        artifact = Artifact(kind, learned.data, str(spec.model))
        handler = _handler(artifact, objective)
        outputs = _outputs(handler, valid.inputs[FEATURES])
        places = _target(objective, valid)
        counts = len(learn), 0 if valid is learn else len(valid), writer.dropped
    metrics = _metrics(objective, outputs, places)
    curve = [
        {"epoch": place, "train_loss": train_loss, "valid_loss": valid_loss}
        for place, (train_loss, valid_loss) in enumerate(learned.losses, 1)
    ]
    assert handler.module is not None
    return Trained(
        handler.module,
        handler,
        objective.task,
        {name: float(value) for name, value in metrics.items() if math.isfinite(value)},
        curve,
        objective.labels,
        *counts,
        outputs,
        places.astype(np.int64) if objective.labels else places,
        warnings,
        artifact,
    )


def feature_names(names: Sequence[str]) -> list[str]:
    """The names with nothing in them that one of the libraries refuses, each of them once."""
    plain = [re.sub(r"[^\w.=:-]", "_", name) or "_" for name in names]
    taken: set[str] = set()
    for place, name in enumerate(plain):
        if name in taken:
            plain[place] = f"{name}_{place}"
        taken.add(plain[place])
    return plain


def _target(objective: Objective, examples: Examples) -> np.ndarray:
    """(rows,) float64: the place of the class, 1 for the positive one of two, or the number."""
    target = np.array(examples.target)
    if objective.task != "multiclass":
        return target
    return objective.prepared(torch.from_numpy(target)).numpy().astype(np.float64)


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _train_xgboost(
    spec: TrainSpec, objective: Objective, rows: _Rows, on_round: OnEpoch | None
) -> _Learned:
    xgboost = library("xgboost")
    name, metric = _XGBOOST_OBJECTIVES[objective.task]
    params = {
        "objective": name,
        "eval_metric": metric,
        "tree_method": "hist",
        "device": "cpu",
        "nthread": _cores(),
        "max_depth": tree_setting(spec.params, "depth"),
        "learning_rate": tree_setting(spec.params, "learning_rate"),
        "seed": tree_setting(spec.params, "seed"),
        "subsample": tree_setting(spec.params, "subsample"),
        "colsample_bytree": tree_setting(spec.params, "colsample"),
        "lambda": tree_setting(spec.params, "l2"),
    } | ({"num_class": len(objective.labels)} if objective.task == "multiclass" else {})
    how = {"feature_names": list(rows.names), "nthread": _cores()}
    learn = xgboost.QuantileDMatrix(*rows.learn, **how)
    sets = [(learn, "learn")]
    if rows.valid is not None:
        sets.append((xgboost.QuantileDMatrix(*rows.valid, ref=learn, **how), "valid"))
    stop = tree_setting(spec.params, "early_stopping_rounds")
    rounds = tree_setting(spec.params, "rounds")
    told: dict[str, dict[str, list[float]]] = {}

    class Told(xgboost.callback.TrainingCallback):
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            if on_round is not None:
                last = [evals_log[name][metric][-1] for _, name in sets]
                on_round(epoch + 1, rounds, last[0], last[-1])
            return False

    booster = xgboost.train(
        params,
        learn,
        rounds,
        evals=sets,
        evals_result=told,
        verbose_eval=False,
        early_stopping_rounds=stop if rows.valid is not None else None,
        callbacks=[Told()],
    )
    if rows.valid is not None:
        booster = booster[: booster.best_iteration + 1]
    losses = [told[name][metric] for _, name in sets]
    data = bytes(booster.save_raw("ubj"))
    return _Learned(data, list(zip(losses[0], losses[-1], strict=True)))


def _train_lightgbm(
    spec: TrainSpec, objective: Objective, rows: _Rows, on_round: OnEpoch | None
) -> _Learned:
    lightgbm = library("lightgbm")
    name, metric = _LIGHTGBM_OBJECTIVES[objective.task]
    params = {
        "objective": name,
        "metric": metric,
        "verbosity": -1,
        "num_threads": _cores(),
        # Without these, the last digits hang on which way of counting was the faster.
        "deterministic": True,
        "force_row_wise": True,
        "max_depth": tree_setting(spec.params, "depth"),
        "num_leaves": tree_setting(spec.params, "leaves"),
        "min_data_in_leaf": tree_setting(spec.params, "least_rows"),
        "learning_rate": tree_setting(spec.params, "learning_rate"),
        "seed": tree_setting(spec.params, "seed"),
        "bagging_fraction": tree_setting(spec.params, "subsample"),
        "bagging_freq": int(tree_setting(spec.params, "subsample") < 1),
        "feature_fraction": tree_setting(spec.params, "colsample"),
        "lambda_l2": tree_setting(spec.params, "l2"),
    } | ({"num_class": len(objective.labels)} if objective.task == "multiclass" else {})
    learn = lightgbm.Dataset(*rows.learn, feature_name=list(rows.names), params=params)
    sets, names = [learn], ["learn"]
    rounds = tree_setting(spec.params, "rounds")
    told: dict[str, dict[str, list[float]]] = {}
    callbacks = [lightgbm.record_evaluation(told)]
    if rows.valid is not None:
        sets.append(lightgbm.Dataset(*rows.valid, reference=learn, params=params))
        names.append("valid")
        stop = tree_setting(spec.params, "early_stopping_rounds")
        callbacks.append(lightgbm.early_stopping(stop, verbose=False))

    def tell(state: Any) -> None:
        if on_round is not None:
            last = [told[name][metric][-1] for name in names]
            on_round(state.iteration + 1, rounds, last[0], last[-1])

    setattr(tell, "order", 25)  # noqa: B010 - behind what records; strict types know no such attribute
    callbacks.append(tell)
    booster = lightgbm.train(
        params, learn, rounds, valid_sets=sets, valid_names=names, callbacks=callbacks
    )
    best = booster.best_iteration if rows.valid is not None else None
    losses = [told[name][metric] for name in names]
    data = booster.model_to_string(num_iteration=best).encode()
    return _Learned(data, list(zip(losses[0], losses[-1], strict=True)))


def _handler(artifact: Artifact, objective: Objective) -> AsFitted:
    """The handler of the model as it will be loaded: from its file."""
    module = open_artifact(artifact.format, artifact.data, "cpu", "none")
    (given,) = module.inputs
    params: dict[str, Any] = {
        "feeds": [{"input": given.name, "type": given.type, "tensor": FEATURES}]
    }
    if not objective.labels:
        return AsFittedValues(module, None, params | {"width": 1})
    params["labels"] = list(objective.labels)
    return NamedClasses(
        module, None, params | ({"positive": 1} if objective.task == "binary" else {})
    )


def _outputs(handler: AsFitted, features: np.ndarray) -> Any:
    """What the module gives for (rows, width), as `decode` takes it."""
    (feed,) = handler.params["feeds"]
    parts: list[Any] = [
        handler.forward(
            {
                feed["input"]: torch.from_numpy(
                    np.array(features[first : first + _BATCH_ROWS], feed["type"])
                )
            }
        )
        for first in range(0, len(features), _BATCH_ROWS)
    ]
    if not isinstance(parts[0], Classified):
        return torch.cat(parts)
    return Classified(
        np.concatenate([one.labels for one in parts]),
        np.concatenate([one.scores for one in parts]),
    )


def _metrics(objective: Objective, outputs: Any, places: np.ndarray) -> dict[str, float]:
    if objective.task == "binary":
        return binary_metrics(places, outputs.scores[:, 1])
    if objective.task == "multiclass":
        return multiclass_metrics(places.astype(np.int64), outputs.scores)
    values = outputs.numpy().reshape(len(places))
    return regression_metrics(places, values, objective.handler_params["mean"])
