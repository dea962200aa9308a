"""What cannot be learnt is refused in words, and nothing else is called by its name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from batchinfer.config.pipeline import Target
from batchinfer.errors import ConfigError, InputError, StorageError
from batchinfer.models.mlp import build_module
from batchinfer.models.training import TrainSpec, train_model

from .training_runs import NUMBER, TWO, WIDTH, features, run, yes_or_no


@pytest.mark.parametrize(
    ("y", "target", "model", "error", "says"),
    [
        (["no"] * 100, TWO, "mlp_classifier", InputError, r"one class only: no \(100 rows\)"),
        (["no"] * 100, NUMBER, "mlp_classifier", InputError, r"one class only: no \(100 rows\)"),
        ([None] * 100, TWO, "mlp_classifier", InputError, "no row to learn from"),
        (
            ["no"] * 100,
            NUMBER,
            "mlp_regressor",
            ConfigError,
            "asks for multiclass; allowed: mlp_classifier",
        ),
        (
            [0.5] * 100,
            NUMBER,
            "mlp_classifier",
            ConfigError,
            "asks for regression; allowed: mlp_regressor",
        ),
        ([float("inf")] * 100, NUMBER, "mlp_regressor", InputError, "infinite target"),
    ],
)
def test_a_target_that_cannot_be_learnt_is_refused(
    y: list[Any], target: Target, model: str, error: type, says: str
) -> None:
    with pytest.raises(error, match=says):
        run(
            pa.array(y, pa.string() if y[0] is None else None),
            target,
            model,
            features(100),
            dropout=0.0,
        )


def test_parameters_and_features_that_cannot_be_are_refused() -> None:
    x = features(100)
    with pytest.raises(ConfigError, match=r"epochs \(did you mean|did you mean epochs"):
        run(yes_or_no(x), TWO, x=x, epoch=3)
    with pytest.raises(ConfigError, match="loss is"):
        run(pa.array(x[:, 0] * 1e30), NUMBER, "mlp_regressor", x * 1e30, learning_rate=9.0)
    x[3, 2] = np.nan
    with pytest.raises(InputError, match=r"features 2 of 1 rows"):
        run(yes_or_no(x), TWO, x=x)
    with pytest.raises(InputError, match="shape"):
        run(yes_or_no(x), TWO, x=x[:, :2])


def test_an_error_of_the_data_is_not_called_a_full_disk() -> None:
    def broken() -> Iterator[tuple[Any, ...]]:
        yield features(10), pa.array(["yes"] * 10)
        raise OSError("the file is cut")

    with pytest.raises(OSError, match="the file is cut") as caught:
        train_model(TrainSpec("mlp_classifier", {}, TWO, WIDTH), broken)
    assert not isinstance(caught.value, StorageError)


def test_layers_that_memory_does_not_hold_are_told() -> None:
    with pytest.raises(
        ConfigError, match=r"hidden \[10000000, 10000000\].* needs more memory than there is"
    ):
        build_module(
            "batchinfer.models.mlp:Mlp",
            {"features": 2, "outputs": 1, "hidden": [10_000_000, 10_000_000]},
        )
