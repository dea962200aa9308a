"""Predictions brought back into a column's units: as scikit-learn does, through all its steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from after_cases import steps_of
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import preprocessing
from transform_cases import column_batch, fitted

from batchinfer.transforms import (
    StepProblem,
    fit_after,
)


@pytest.mark.parametrize(
    ("raw", "counterpart"),
    [
        ({"standardize": {"columns": "number"}}, preprocessing.StandardScaler()),
        ({"min_max": {"columns": "number"}}, preprocessing.MinMaxScaler()),
        ({"robust": {"columns": "number"}}, preprocessing.RobustScaler()),
    ],
)
def test_inverse_equals_scikit_learn(raw: dict[str, Any], counterpart: Any) -> None:
    values = np.random.default_rng(0).normal(5, 3, 50)
    transforms = fitted([raw], column_batch("number", values.tolist()))
    steps = fit_after(
        steps_of([{"inverse": {"of": "number"}}]), {"prediction": pa.float64()}, (), transforms
    )
    counterpart.fit(values[:, None])
    asked = np.array([-2.0, 0.0, 0.5, 3.0])
    got = steps.apply({"prediction": pa.array(asked)})["prediction"].to_numpy()
    np.testing.assert_allclose(got, counterpart.inverse_transform(asked[:, None])[:, 0], rtol=1e-6)


@settings(max_examples=25, deadline=None)
@given(values=st.lists(st.floats(-0.9, 100), min_size=3, max_size=20, unique=True))
def test_inverse_brings_a_column_back_through_all_its_steps(values: list[float]) -> None:
    raw = [
        {"impute": {"columns": "number", "strategy": "mean"}},
        {"log1p": {"columns": "number"}},
        {"yeo_johnson": {"columns": "number"}},
        {"standardize": {"columns": "number"}},
    ]
    batch = column_batch("number", values)
    transforms = fitted(raw, batch)
    forth = transforms.apply(batch)["number"]
    steps = fit_after(
        steps_of([{"inverse": {"of": "number"}}]), {"prediction": pa.float64()}, (), transforms
    )
    np.testing.assert_allclose(
        steps.apply({"prediction": forth})["prediction"].to_numpy(), values, rtol=1e-6, atol=1e-6
    )


def test_a_column_that_cannot_be_undone_is_told() -> None:
    transforms = fitted([{"one_hot": {"columns": "text"}}], column_batch("text", ["a"]))
    with pytest.raises(StepProblem, match="one_hot cannot be undone"):
        transforms.undo("text")
    with pytest.raises(StepProblem, match="no step changes a column 'number'; allowed: text"):
        transforms.undo("number")
