"""A forecast is held against the last value that was known, on the very rows it is validated on."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from batchinfer.config.pipeline import Target
from batchinfer.errors import InputError
from batchinfer.models.metrics import last_value_metrics, measured_against, metric_warnings
from batchinfer.models.training import Trained, TrainSpec, train_model
from batchinfer.pipeline.training.last_values import LastValues, last_value_column
from batchinfer.prepare.parse_prepare import parse_table_steps

TARGET = Target(column="y")


def trained_on(target: np.ndarray, validated: np.ndarray) -> Trained:
    features = np.stack([target, np.ones(len(target))], axis=1).astype(np.float32)
    spec = TrainSpec("mlp_regressor", {"hidden": [4], "epochs": 3, "seed": 1}, TARGET, 2)
    return train_model(spec, lambda: [(features, target, validated)])


def batch(target: list[float | None], last: list[float | None]) -> pa.RecordBatch:
    columns = [pa.array(target, pa.float64()), pa.array(last, pa.float32())]
    return pa.record_batch(columns, ["y", "y_lag_6"])


def test_the_last_known_value_is_that_of_the_fewest_rows_back() -> None:
    steps, problems = parse_table_steps(
        [
            {"lag": {"columns": "y", "order": "at", "periods": [9, 7]}},
            {"lag": {"columns": ["x", "y"], "order": "at", "periods": 6}},
            {"lag": {"columns": "x", "order": "at"}},
        ]
    )
    assert not problems
    assert last_value_column(steps, "y") == "y_lag_6" and last_value_column(steps, "x") == "x_lag_1"
    assert last_value_column(steps, "z") is None and last_value_column([], "y") is None


def test_skill_is_of_the_validation_rows_and_of_those_with_a_last_value() -> None:
    target = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0])
    validated = np.arange(8) >= 4
    trained = trained_on(target, validated)
    last = LastValues("y_lag_6", TARGET)
    last.add(batch([5.0, None, 6.0], [4.0, 9.0, None]))
    last.add(batch([7.0, 8.0], [9.0, 8.0]))
    found, warnings = last.metrics(trained)
    prediction = trained.handler.decode(trained.outputs)["prediction"].to_numpy()
    own = np.abs(prediction[[0, 2, 3]] - np.array([5.0, 7.0, 8.0])).mean()
    assert found["mae_last_value"] == 1.0
    assert found["rmse_last_value"] == pytest.approx(np.sqrt(5 / 3))
    assert found["skill"] == pytest.approx(1 - own)
    assert warnings and warnings[0].startswith("1 of 4 validation rows have no last known value")
    told = measured_against({**trained.metrics, **found}, last="column y_lag_6")
    assert told["skill"] == "always naming the last known value, column y_lag_6"


def test_rows_that_are_not_those_validated_on_are_refused() -> None:
    trained = trained_on(np.arange(8.0), np.arange(8) >= 4)
    last = LastValues("y_lag_6", TARGET)
    last.add(batch([4.0], [3.0]))
    with pytest.raises(InputError, match="1 last known values of 4 validation rows"):
        last.metrics(trained)


def test_no_validation_rows_have_no_skill() -> None:
    assert LastValues("y_lag_6", TARGET).metrics(trained_on(np.arange(8.0), np.arange(8) > 9)) == (
        {},
        [],
    )


def test_a_forecast_no_better_than_the_last_value_is_warned_of() -> None:
    target = np.array([1.0, 2.0])
    assert metric_warnings(last_value_metrics(target, target, target + 1)) == []
    worse = last_value_metrics(target, target + 3, target + 2)
    assert worse["skill"] == -0.5
    assert "no better than always naming the last known value" in metric_warnings(worse)[0]
    assert last_value_metrics(target, target, np.array([np.nan, np.nan])) == {}
    assert "skill" not in last_value_metrics(target, target, target), "no error can be saved"
