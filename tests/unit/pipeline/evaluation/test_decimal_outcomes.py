"""Decimals are what databases land: they are outcomes of numbers and of classes, by value."""

from __future__ import annotations

import math
from decimal import Decimal

import pyarrow as pa
import pytest

from batchinfer.errors import InputError

from .published_tables import BINARY, NUMBER, Told

NUMBERS = [{"id": 1, "prediction": 1.0}, {"id": 2, "prediction": 4.0}]
SCORED = [
    {"id": 1, "score": 0.9, "label": "1"},
    {"id": 2, "score": 0.2, "label": "other"},
]


def decimals(*values: str | None) -> pa.Array:
    return pa.array(
        [None if text is None else Decimal(text) for text in values], pa.decimal128(9, 2)
    )


def test_a_decimal_is_the_outcome_of_a_number(told: Told) -> None:
    told.train = ""
    told.predict(NUMBERS, NUMBER)
    told.came({"id": [1, 1, 2, 3], "came": decimals("1.5", "1.50", "4.25", None)})
    assert told.evaluate().metrics["mae"] == pytest.approx((0.5 + 0.25) / 2)


def test_decimals_of_one_key_that_differ_are_refused(told: Told) -> None:
    told.train = ""
    told.predict(NUMBERS, NUMBER)
    told.came({"id": [1, 1], "came": decimals("1.5", "1.51")})
    with pytest.raises(InputError, match=r"id=1: 1\.50, 1\.51"):
        told.evaluate()


def test_a_decimal_names_a_class_by_its_value(told: Told) -> None:
    told.train = 'train: {target: {column: size, positive: ["1"]}}'
    told.predict(SCORED, BINARY)
    told.came({"id": [1, 2], "came": decimals("1", "0")})
    assert told.evaluate().metrics["accuracy"] == 1.0


def test_a_decimal_names_a_class_of_several_by_its_value(told: Told) -> None:
    told.train = ""
    told.predict([{"id": 1, "label": "10"}, {"id": 2, "label": "2"}], {"label": pa.string()})
    told.came({"id": [1, 2], "came": decimals("10", "2")})
    assert told.evaluate().metrics["accuracy"] == 1.0


def test_an_infinite_outcome_is_told_as_such(told: Told) -> None:
    told.train = ""
    told.predict([*NUMBERS, {"id": 3, "prediction": math.nan}], NUMBER)
    told.came({"id": [1, 2, 3], "came": [math.inf, 5.0, 5.0]})
    found = told.evaluate()
    assert found.metrics["mae"] == 1.0
    assert "1 rows have an infinite outcome in column came, and are left out" in found.warnings
    assert "1 rows have an outcome and no prediction that can be judged" in found.warnings
