"""Training: labelled rows -> a network, how good it is, and the handler that decodes it.

Owns the loop: mini-batches, early stopping, seeds. Knows neither tables nor files of pipelines, and
no registry.
"""

from __future__ import annotations

import contextlib
import copy
import math
import os
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from batchinfer.config.pipeline import Target
from batchinfer.errors import ConfigError, ModelError
from batchinfer.models.adam import Adam
from batchinfer.models.examples import Examples, ExampleWriter, Shapes, Tensors
from batchinfer.models.formats.artifact import Artifact
from batchinfer.models.handler import HANDLERS, Handler
from batchinfer.models.mlp import build_module, takes
from batchinfer.models.objectives import Objective
from batchinfer.models.parameters import Task, check_params, class_path_of, split_params
from batchinfer.models.target_reader import Batch, TargetReader

__all__ = ["TrainSpec", "Trained", "check_params", "train_model"]

OnEpoch = Callable[[int, int, float, float], None]

_DEFAULTS: Mapping[str, Any] = {
    "epochs": 5,
    "seed": 0,
    "batch_size": 256,
    "learning_rate": 1e-3,
    "patience": 3,
    "validation_share": 0.1,
    "validation_by": "key",
}
_EVALUATION_ROWS = 8192
# Measured on 2 cores, network 110-128-64-1, batches of 256 (3e7 operations): 0.8 ms a step on one
# thread, 2.8 ms on two; where other processes want the cores too, two threads took up to 50 times
# as long as one.
_THREADED_OPERATIONS = 1e9


def setting(params: Mapping[str, Any], name: str) -> Any:
    """A parameter of the learning itself, or its default."""
    return params.get(name, _DEFAULTS[name])


@dataclass(frozen=True)
class TrainSpec:
    """What to learn, and how.

    Attributes:
        model, params, target: as in the pipeline file's `train`.
        width: number of features.
        integers: of each named integer input how many different integers, and how many a row has
            (None: one).
        scratch: folder for the rows on disk; None: the system's own for temporary files.
        device: where the network is trained.
        mapped: labels that the steps after the model give another name.
        names: of the features, in order, for messages; none: they are told by their places.
    """

    model: Any
    params: Mapping[str, Any]
    target: Target
    width: int
    integers: Mapping[str, tuple[int, int | None]] = field(default_factory=dict)
    scratch: Path | None = None
    device: str = "cpu"
    mapped: frozenset[str] = frozenset()
    names: tuple[str, ...] = ()

    @property
    def epochs(self) -> int:
        """Epochs at most; early stopping may end sooner."""
        return self.setting("epochs")

    def setting(self, name: str) -> Any:
        """A parameter of the learning itself, or its default."""
        return setting(self.params, name)


@dataclass(frozen=True)
class Trained:
    """A trained model.

    Attributes:
        module: in eval mode, on the CPU.
        handler: decodes the module's output; it has the module and its params, and no transforms
            yet.
        metrics: on the validation rows; finite numbers only.
        curve: {epoch, train_loss, valid_loss} of each epoch, the first being 1.
        labels: of the classes in the order of their codes; for a regression none.
        rows_train, rows_validation, rows_dropped: dropped rows have no target.
        outputs: of the module for the validation rows, as the handler decodes it: (rows, outputs)
            float64, or `Classified`.
        places: (rows,) place of each of these rows' class among the labels; for a regression the
            target.
        warnings: sentences for whoever reads the report.
        artifact: the model in the format of another library, which is then what a bundle keeps.
    """

    module: torch.nn.Module
    handler: Handler
    task: Task
    metrics: dict[str, float]
    curve: list[dict[str, float]]
    labels: tuple[str, ...]
    rows_train: int
    rows_validation: int
    rows_dropped: int
    outputs: Any
    places: np.ndarray
    warnings: list[str] = field(default_factory=list)
    artifact: Artifact | None = None


def train_model(
    spec: TrainSpec, data: Callable[[], Iterable[Batch]], on_epoch: OnEpoch | None = None
) -> Trained:
    """Trains on the rows that `data` gives, which it is asked for once; the same rows and seed give
    the same weights.

    A batch is (inputs, target) or (inputs, target, split): inputs by name, `features` (n, width)
    float32 and integer inputs (n,) or (n, length), or features alone; target the column itself, or
    (n,) numbers; split (n,) uint64 hash of the key, of which the lowest `validation_share` is
    validated on, or (n,) bool.
    Runs on: driver; on all its cores where batches are large.

    Raises:
        InputError: no labelled rows, one class only, features that are not finite.
        ConfigError: parameters or a target that the model does not take.
        StorageError: the disk is full.
    """
    if problems := check_params(spec.model, spec.params):
        raise ConfigError([f"train.{'.'.join(place)}: {message}" for place, message in problems])
    with tempfile.TemporaryDirectory(prefix="batchinfer-train-", dir=spec.scratch) as scratch:
        reader = TargetReader(spec.target, spec.model, spec.mapped)
        shapes = Shapes(spec.width, spec.integers)
        share = spec.setting("validation_share")
        writer = ExampleWriter(Path(scratch), shapes, share, names=spec.names)
        learn, valid = writer.write(reader.read(data()))
        objective = reader.objective(learn, valid)
        valid, warnings = validation_rows(spec, learn, valid)
        with _steady(spec.setting("seed")):
            module, curve = _learn(spec, objective, learn, valid, on_epoch)
            outputs = _outputs(module, valid)
            metrics = objective.metrics(outputs, np.asarray(valid.target))
            target = objective.prepared(torch.from_numpy(np.array(valid.target))).numpy()
            places = target.astype(np.int64) if objective.labels else target
        rows = len(learn), 0 if valid is learn else len(valid), writer.dropped
    handler = HANDLERS[objective.task](module, None, objective.handler_params)
    finite = {name: float(value) for name, value in metrics.items() if math.isfinite(value)}
    decodable = torch.from_numpy(outputs)
    return Trained(
        module,
        handler,
        objective.task,
        finite,
        curve,
        objective.labels,
        *rows,
        decodable,
        places,
        warnings,
    )


def validation_rows(
    spec: TrainSpec, learn: Examples, valid: Examples
) -> tuple[Examples, list[str]]:
    """The rows to validate on: those to learn from where there are no others, and a sentence that
    says so.
    """
    if len(valid):
        return valid, []
    share, by = spec.setting("validation_share"), spec.setting("validation_by")
    return learn, [
        f"none of {len(learn)} rows fell to validation (validation_share {share}, "
        f"validation_by {by}): "
        "the metrics are of the rows that were learnt from"
    ]


@contextlib.contextmanager
def _steady(seed: int) -> Generator[None]:
    """Random numbers that the seed alone decides; the process's own, and its threads, go on
    afterwards as they were.
    """
    threads = torch.get_num_threads()
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(threads)


def _use_cores(module: torch.nn.Module, batch_rows: int) -> None:
    """All cores for large batches, one for small ones, which end sooner than threads can be woken
    and waited for.
    """
    # A multiplication and an addition for each weight, once forward and twice backward.
    operations = 6 * batch_rows * sum(parameter.numel() for parameter in module.parameters())
    torch.set_num_threads(len(os.sched_getaffinity(0)) if operations > _THREADED_OPERATIONS else 1)


def _learn(
    spec: TrainSpec,
    objective: Objective,
    learn: Examples,
    valid: Examples,
    on_epoch: OnEpoch | None,
) -> tuple[torch.nn.Module, list[dict[str, float]]]:
    """The module with the weights of its best epoch, in eval mode on the CPU, and the learning
    curve.
    """
    path = class_path_of(spec.model)
    arguments = {
        **split_params(spec.params)[1],
        "features": spec.width,
        "outputs": objective.outputs,
    }
    if spec.integers and takes(path, "integers"):
        arguments["integers"] = {name: list(shape) for name, shape in spec.integers.items()}
    module = build_module(path, arguments).to(spec.device)
    _use_cores(module, spec.setting("batch_size"))
    optimizer = Adam(module.parameters(), spec.setting("learning_rate"))
    order = torch.Generator().manual_seed(spec.setting("seed"))
    best, best_state, stale = math.inf, copy.deepcopy(module.state_dict()), 0
    curve: list[dict[str, float]] = []
    for epoch in range(1, spec.epochs + 1):
        train_loss = _one_epoch(
            spec, module, objective, optimizer, learn.shuffled(spec.setting("batch_size"), order)
        )
        valid_loss = _mean_loss(spec, module, objective, valid)
        curve.append({"epoch": epoch, "train_loss": train_loss, "valid_loss": valid_loss})
        if on_epoch is not None:
            on_epoch(epoch, spec.epochs, train_loss, valid_loss)
        _check_loss(spec, epoch, train_loss + valid_loss)
        if valid_loss < best:
            best, best_state, stale = valid_loss, copy.deepcopy(module.state_dict()), 0
        else:
            stale += 1
        if stale >= spec.setting("patience"):
            break
    module.load_state_dict(best_state)
    return module.to("cpu").eval(), curve


def _one_epoch(
    spec: TrainSpec,
    module: torch.nn.Module,
    objective: Objective,
    optimizer: Adam,
    batches: Iterator[tuple[Tensors, torch.Tensor]],
) -> float:
    module.train()
    total = torch.zeros((), dtype=torch.float64)
    rows = 0
    for inputs, target in batches:
        optimizer.clear()
        loss = _loss(spec, module, objective, inputs, target)
        loss.backward()
        optimizer.step()
        total += loss.detach().cpu() * len(target)
        rows += len(target)
    return float(total) / rows


def _mean_loss(
    spec: TrainSpec, module: torch.nn.Module, objective: Objective, examples: Examples
) -> float:
    module.eval()
    with torch.inference_mode():
        parts = [
            float(_loss(spec, module, objective, inputs, target)) * len(target)
            for inputs, target in examples.batches(_EVALUATION_ROWS)
        ]
    return math.fsum(parts) / len(examples)


def _loss(
    spec: TrainSpec,
    module: torch.nn.Module,
    objective: Objective,
    inputs: Tensors,
    target: torch.Tensor,
) -> torch.Tensor:
    output = module(**{name: tensor.to(spec.device) for name, tensor in inputs.items()})
    output = _two_dimensional(output, objective.outputs)
    return objective.loss(output, objective.prepared(target).to(spec.device))


def _outputs(module: torch.nn.Module, examples: Examples) -> np.ndarray:
    """(rows, outputs) float64."""
    with torch.inference_mode():
        parts = [module(**inputs) for inputs, _ in examples.batches(_EVALUATION_ROWS)]
    output = torch.cat(parts)
    return output.reshape(len(output), -1).to(torch.float64).numpy()


def _two_dimensional(output: Any, outputs: int) -> torch.Tensor:
    if not isinstance(output, torch.Tensor) or output.numel() != len(output) * outputs:
        shape = (
            tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__qualname__
        )
        raise ModelError(f"the model gave {shape}; allowed: a tensor of (rows, {outputs})")
    return output.reshape(-1, outputs)


def _check_loss(spec: TrainSpec, epoch: int, loss: float) -> None:
    if not math.isfinite(loss):
        rate = spec.setting("learning_rate")
        raise ConfigError(
            f"train.params.learning_rate: got {rate}, with which the loss is {loss} in epoch "
            f"{epoch}; allowed: a smaller one"
        )
