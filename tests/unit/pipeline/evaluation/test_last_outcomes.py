"""The last known value of a forecast's row is the outcome so many rows before in its series."""

from __future__ import annotations

import pyarrow as pa
import pytest

from batchinfer.pipeline.evaluation.last_outcomes import Series, series_of

from .published_tables import NUMBER, Told

FORECAST = """\
prepare:
  - lag: {columns: size, order: id, periods: [3, 2]}
train: {target: {column: size}, model: mlp_regressor}
"""


def told_of(told: Told, count: int = 8) -> Told:
    told.train = FORECAST
    rows = [{"id": n, "prediction": float(n)} for n in range(4, count)]
    told.predict(rows, NUMBER)
    return told


def test_skill_is_against_the_outcome_so_many_rows_before(told: Told) -> None:
    told_of(told)
    # Of 6 nothing has come true, and its row keeps its place; the table lies in any order.
    came = {0: 0.0, 1: 1.0, 2: 5.0, 3: 2.0, 4: 6.0, 5: 5.0, 6: None, 7: 4.0}
    keys = [7, 2, 5, 0, 1, 6, 3, 4]
    told.came({"id": keys, "came": pa.array([came[key] for key in keys], pa.float64())})
    found = told.evaluate()
    # Rows 4, 5 and 7 have an outcome; two rows before them 5, 2 and 5 came true.
    own = [abs(4 - 6), abs(5 - 5), abs(7 - 4)]
    last = [abs(5 - 6), abs(2 - 5), abs(5 - 4)]
    assert found.metrics["mae"] == pytest.approx(sum(own) / 3)
    assert found.metrics["mae_last_value"] == pytest.approx(sum(last) / 3)
    assert found.metrics["skill"] == pytest.approx(1 - sum(own) / sum(last))
    assert found.measured_against["skill"] == (
        "always naming the last known value, the outcome 2 rows before in the table of outcomes"
    )


def test_rows_without_a_last_value_are_left_out_and_told(told: Told) -> None:
    told_of(told)
    told.came({"id": [3, 4, 5, 6], "came": [3.0, 1.0, 5.0, 8.0]})
    found = told.evaluate()
    # Row 4 is the second of its series; of 5 and 6 the last known values are 3 and 1.
    assert found.metrics["mae_last_value"] == pytest.approx((2 + 7) / 2)
    assert found.metrics["skill"] == pytest.approx(1 - (0 + 2) / (2 + 7))
    assert found.metrics["mae"] == pytest.approx((3 + 0 + 2) / 3)
    told_so = [text for text in found.warnings if "have no last known value" in text]
    assert len(told_so) == 1 and told_so[0].startswith("1 of 3 rows with an outcome")


def test_a_series_does_not_look_into_another(told: Told) -> None:
    from batchinfer.pipeline.evaluation.last_outcomes import add_last

    keys = {"key_0": ["a", "a", "a", "b", "b", "b"], "key_1": [1, 2, 3, 1, 2, 3]}
    rows = pa.table({**keys, "value": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]})
    found = add_last(rows, rows, ["key_0", "key_1"], Series((0,), 1, 1)).to_pylist()
    assert {(row["key_0"], row["key_1"]): row["last"] for row in found} == {
        ("a", 1): None, ("a", 2): 1.0, ("a", 3): 2.0, ("b", 1): None, ("b", 2): 4.0, ("b", 3): 5.0,
    }  # fmt: skip
    far = add_last(rows, rows, ["key_0", "key_1"], Series((0,), 1, 9))
    assert far["last"].null_count == far.num_rows == 6


def test_only_a_lag_over_the_key_makes_a_series(told: Told) -> None:
    told.train = FORECAST
    assert series_of(told.context().pipeline) == Series((), 0, 2)
    assert series_of(told.context("source.key=[id, size]").pipeline) is None
    told.train = FORECAST.replace("columns: size, ", "columns: id, ")
    assert series_of(told.context().pipeline) is None
    told.train = ""
    assert series_of(told.context().pipeline) is None
