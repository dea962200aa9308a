"""What the tests of training share: made-up features, targets that follow from them, and a run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from batchinfer.config.pipeline import Target
from batchinfer.models.training import Trained, TrainSpec, train_model

ROWS, WIDTH = 3000, 4
TWO = Target(column="y", positive=("yes",))
NUMBER = Target(column="y")


def features(rows: int = ROWS, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, WIDTH)).astype(np.float32)


def in_parts(
    x: np.ndarray, y: Any, split: np.ndarray | None = None, part: int = 700
) -> Iterator[tuple[Any, ...]]:
    for first in range(0, len(x), part):
        rows = slice(first, first + part)
        yield (x[rows], y[rows]) if split is None else (x[rows], y[rows], split[rows])


def yes_or_no(x: np.ndarray) -> pa.Array:
    return pa.array(np.where(x[:, 0] + x[:, 1] > 0.3, "yes", "no"))


def run(
    y: Any,
    target: Target,
    model: Any = "mlp_classifier",
    x: np.ndarray | None = None,
    **params: Any,
) -> Trained:
    x = features() if x is None else x
    spec = TrainSpec(
        model,
        {"hidden": [16], "learning_rate": 0.01, "dropout": 0.0, "seed": 7, **params},
        target,
        WIDTH,
    )
    return train_model(spec, lambda: in_parts(x, y))


def weights(trained: Trained) -> list[torch.Tensor]:
    return list(trained.module.state_dict().values())
