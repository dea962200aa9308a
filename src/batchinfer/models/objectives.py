"""What the learning minimises, and how an output is judged: two classes, several classes, or a
number.

Owns loss, number of outputs, the parameters that the handler needs to decode, and the choice of
metrics. Knows no files and no loop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from batchinfer.models.metrics import binary_metrics, multiclass_metrics, regression_metrics
from batchinfer.models.parameters import Task

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Objective:
    """One way to learn.

    Attributes:
        labels: of the classes, in the order of the outputs; none for a regression.
        outputs: values a row that the module must give.
        handler_params: what the handler of this task decodes with.
        prepared: (rows,) float64 target as it lies on disk -> as `loss` takes it.
        loss: mean over the rows of (rows, outputs) float32 and a prepared target.
        metrics: of (rows, outputs) float64 outputs and the (rows,) float64 target as it lies on
            disk.
    """

    task: Task
    labels: tuple[str, ...]
    outputs: int
    handler_params: Mapping[str, Any]
    prepared: Callable[[torch.Tensor], torch.Tensor]
    loss: Loss
    metrics: Callable[[np.ndarray, np.ndarray], dict[str, float]]


def binary(positive: str, other: str) -> Objective:
    """One logit; the target is 1 or 0.

    Runs on: driver.
    """

    def metrics(output: np.ndarray, target: np.ndarray) -> dict[str, float]:
        return binary_metrics(target, torch.sigmoid(torch.from_numpy(output[:, 0])).numpy())

    return Objective(
        "binary",
        (other, positive),
        1,
        {"positive": positive, "other": other},
        lambda target: target.to(torch.float32),
        lambda output, target: functional.binary_cross_entropy_with_logits(output[:, 0], target),
        metrics,
    )


def multiclass(labels: list[str], order: np.ndarray) -> Objective:
    """A logit for each class; `order` gives the place among the labels of each code on disk.

    Runs on: driver.
    """
    places = torch.from_numpy(order)

    def metrics(output: np.ndarray, target: np.ndarray) -> dict[str, float]:
        scores = torch.softmax(torch.from_numpy(output), dim=1).numpy()
        return multiclass_metrics(order[target.astype(np.int64)], scores)

    return Objective(
        "multiclass",
        tuple(labels),
        len(labels),
        {"labels": labels},
        lambda target: places[target.to(torch.int64)],
        functional.cross_entropy,
        metrics,
    )


def regression(mean: float, scale: float) -> Objective:
    """One value, learnt in standard deviations from the mean, so that the units of the target do
    not matter.

    Runs on: driver.
    """

    def metrics(output: np.ndarray, target: np.ndarray) -> dict[str, float]:
        return regression_metrics(target, output[:, 0] * scale + mean, mean)

    return Objective(
        "regression",
        (),
        1,
        {"mean": mean, "scale": scale},
        lambda target: ((target - mean) / scale).to(torch.float32),
        lambda output, target: functional.mse_loss(output[:, 0], target),
        metrics,
    )
