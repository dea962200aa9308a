"""The label of the class that is not positive: its own name where it is one value, else `other`."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
import torch

from batchinfer.config.pipeline import Target
from batchinfer.models.training import TrainSpec, train_model

from .training_runs import ROWS, WIDTH, features, in_parts


def labels_of(
    values: list[object], target: Target, type_: pa.DataType | None = None, mapped: str = ""
) -> tuple[str, ...]:
    """Labels of a model that was trained on a column in which the values take turns."""
    x = features()
    column = pa.array([values[row % len(values)] for row in range(ROWS)], type_)
    spec = TrainSpec(
        "mlp_classifier",
        {"hidden": [], "epochs": 1},
        target,
        WIDTH,
        mapped=frozenset(mapped.split()),
    )
    trained = train_model(spec, lambda: in_parts(x, column))
    decoded = trained.handler.decode(torch.tensor([[-1.0], [1.0]]))
    assert tuple(decoded["label"].to_pylist()) == trained.labels
    return trained.labels


def named(*positive: object, pattern: str | None = None) -> Target:
    return Target(column="y", positive=positive or None, positive_pattern=pattern)


@pytest.mark.parametrize(
    ("values", "type_", "target", "labels"),
    [
        (["no", "yes"], None, named("yes"), ("no", "yes")),
        (["no", "yes", None], None, named("yes"), ("no", "yes")),
        (["no", "yes", "never"], None, named("yes"), ("other", "yes")),
        (["<=50K", ">50K", ">50K."], None, named(">50K.", ">50K"), ("<=50K", ">50K.")),
        ([1, 2], pa.int32(), named(2), ("1", "2")),
        ([0.0, 1.0, -0.0], None, named("1.0"), ("0", "1.0")),
        ([1.5, 2.0, 3.0], None, named(3), ("other", "3")),
        ([Decimal("1.00"), Decimal("2.00")], None, named(2), ("1", "2")),
        ([True, False], None, named(True), ("false", "true")),
        (["bot", "curl", "firefox"], None, named(pattern="bot|curl"), ("firefox", "positive")),
        (["bot", "opera", "firefox"], None, named(pattern="bot"), ("other", "positive")),
        # Two classes never have one word.
        (["negative", "positive"], None, named(pattern="^neg"), ("other", "positive")),
        (["other", "a", "b"], None, named("other"), ("rest", "other")),
        (["other", "a"], None, named("other"), ("a", "other")),
        (["other", "a"], None, named("a"), ("other", "a")),
    ],
)
def test_the_class_that_is_not_positive_has_its_own_name_where_it_has_one(
    values: list[object], type_: pa.DataType | None, target: Target, labels: tuple[str, ...]
) -> None:
    assert labels_of(values, target, type_) == labels


@pytest.mark.parametrize(
    ("mapped", "label"),
    [("", "no"), ("yes", "no"), ("other", "other"), ("yes other", "other"), ("no other", "no")],
)
def test_steps_that_rename_other_go_on_working(mapped: str, label: str) -> None:
    assert labels_of(["no", "yes"], named("yes"), mapped=mapped) == (label, "yes")


def test_it_is_told_by_all_rows_in_whatever_batch_they_come() -> None:
    x = features()
    for late in (0, ROWS - 1):
        values = np.where(x[:, 0] > 0, "yes", "no").astype(object)
        values[late] = "never"
        spec = TrainSpec("mlp_classifier", {"hidden": [], "epochs": 1}, named("yes"), WIDTH)
        batches = list(in_parts(x, pa.array(values)))
        assert train_model(spec, batches.copy).labels == ("other", "yes")
