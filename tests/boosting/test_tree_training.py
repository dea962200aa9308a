"""Boosted trees trained here: they learn, stop in time, and the same rows give the same bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from batchinfer.config.pipeline import Target
from batchinfer.errors import ConfigError, InputError
from batchinfer.models.training import Trained, TrainSpec
from batchinfer.models.tree_training import feature_names, train_trees

ROWS, NAMES = 3000, ("size", "color=red", "color=[x]")
TWO, NUMBER = Target(column="y", positive=("yes",)), Target(column="y")
LIBRARIES = ("xgboost", "lightgbm")


def features() -> np.ndarray:
    made = np.random.default_rng(0).normal(size=(ROWS, 3)).astype(np.float32)
    made[::10, 1] = np.nan
    return made


def run(kind: str, y: Any, target: Target, x: np.ndarray | None = None, **params: Any) -> Trained:
    x = features() if x is None else x
    spec = TrainSpec(kind, {"rounds": 60, "depth": 3, "learning_rate": 0.3, **params}, target, 3)
    parts = [(x[at : at + 700], y[at : at + 700]) for at in range(0, ROWS, 700)]
    told: list[tuple[Any, ...]] = []
    trained = train_trees(spec, NAMES, lambda: parts, lambda *round_: told.append(round_))
    curve = [(one["epoch"], one["train_loss"], one["valid_loss"]) for one in trained.curve]
    assert [(place, *losses) for place, _, *losses in told] == curve
    return trained


def yes_or_no() -> pa.Array:
    x = features()
    missing = np.isnan(x[:, 1])
    return pa.array(np.where(missing | (x[:, 0] > 0.3), "yes", "no"))


@pytest.mark.parametrize("library", LIBRARIES)
def test_two_classes_are_learned_missing_numbers_too(library: str) -> None:
    trained = run(f"{library}_classifier", yes_or_no(), TWO)
    assert trained.labels == ("no", "yes") and trained.metrics["auc"] > 0.999
    assert trained.rows_train + trained.rows_validation == ROWS
    assert trained.artifact is not None and trained.artifact.format == library
    decoded = trained.handler.decode(trained.outputs)
    assert set(decoded["label"].to_pylist()) == {"no", "yes"}
    said = np.array(decoded["label"].to_pylist()) == "yes"
    np.testing.assert_array_equal(said, decoded["score"].to_numpy() > 0.5)
    assert (said == trained.places).mean() > 0.99


@pytest.mark.parametrize("library", LIBRARIES)
def test_several_classes_have_their_own_names(library: str) -> None:
    x = features()
    y = pa.array(np.array(["low", "mid", "top"])[np.digitize(x[:, 0], [-0.5, 0.5])])
    trained = run(f"{library}_classifier", y, NUMBER)
    assert trained.labels == ("low", "mid", "top") and trained.metrics["accuracy"] > 0.98
    decoded = trained.handler.decode(trained.outputs)
    scores = [dict(one) for one in decoded["scores"].to_pylist()]
    assert decoded["label"].to_pylist() == [max(one, key=one.__getitem__) for one in scores]


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_number_is_learned_whatever_its_size(library: str) -> None:
    x = features()
    y = pa.array(1e6 + 1e3 * x[:, 0].astype(np.float64))
    trained = run(f"{library}_regressor", y, NUMBER)
    assert trained.metrics["r2"] > 0.98 and trained.labels == ()
    found = trained.handler.decode(trained.outputs)["prediction"].to_numpy()
    assert np.corrcoef(found, trained.places)[0, 1] > 0.99


@pytest.mark.parametrize("library", LIBRARIES)
def test_the_same_rows_give_the_same_bytes_and_another_seed_others(library: str) -> None:
    def data(seed: int) -> bytes:
        how = {"subsample": 0.5, "colsample": 0.7, "seed": seed}
        artifact = run(f"{library}_classifier", yes_or_no(), TWO, **how).artifact
        assert artifact is not None
        return artifact.data

    assert data(1) == data(1)
    assert data(1) != data(2)


@pytest.mark.parametrize("library", LIBRARIES)
def test_it_stops_where_more_rounds_only_learn_by_heart(library: str) -> None:
    noise = np.random.default_rng(3).random(ROWS) < 0.4
    y = pa.array(np.where(noise ^ (features()[:, 0] > 0), "yes", "no"))
    how = {"rounds": 400, "depth": 8, "early_stopping_rounds": 5}
    trained = run(f"{library}_classifier", y, TWO, **how)
    losses = [one["valid_loss"] for one in trained.curve]
    best = int(np.argmin(losses)) + 1
    assert len(trained.curve) == best + 5 < 100
    module: Any = trained.handler.module
    assert rounds_of(library, module) == best
    assert trained.metrics["log_loss"] == pytest.approx(min(losses), rel=1e-5)


def rounds_of(library: str, module: Any) -> int:
    booster = module._booster
    return booster.num_boosted_rounds() if library == "xgboost" else booster.num_trees()


@pytest.mark.parametrize("library", LIBRARIES)
def test_what_cannot_be_learned_from_is_said(library: str) -> None:
    infinite = features()
    infinite[7, 2] = np.inf
    with pytest.raises(InputError, match=r"got infinity in features color=\[x\] of 1 rows"):
        run(f"{library}_classifier", yes_or_no(), TWO, infinite)
    with pytest.raises(InputError, match="got one class only"):
        run(f"{library}_classifier", pa.array(["yes"] * ROWS), TWO)
    spec = TrainSpec(f"{library}_classifier", {}, TWO, 3, {"color": (7, None)})
    with pytest.raises(ConfigError, match=f"color become whole numbers .*{library}_classifier"):
        train_trees(spec, NAMES, list)


def test_names_are_such_as_the_libraries_take() -> None:
    assert feature_names(NAMES) == ["size", "color=red", "color=_x_"]
    assert feature_names(["a b", "a_b", "a<b", ""]) == ["a_b", "a_b_1", "a_b_2", "_"]
