"""Which rows of a column are positive: by value, exactly, whatever the type of the column."""

from __future__ import annotations

import math
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.config.pipeline import Target
from batchinfer.errors import InputError
from batchinfer.models.class_names import same_class
from batchinfer.models.targets import DistinctValues, target_array

from .training_runs import features, run

BIG = 2**53


def positive_of(column: pa.Array, *positive: object) -> list[float | None]:
    found = target_array(column, Target(column="y", positive=positive))
    return [None if math.isnan(value) else value for value in found.tolist()]


@pytest.mark.parametrize("spelled", [1, 1.0, "1", "1.0", "1e+00"])
@pytest.mark.parametrize(
    "type_",
    [
        pa.int8(),
        pa.uint64(),
        pa.int64(),
        pa.float32(),
        pa.float64(),
        pa.decimal128(3, 2),
        pa.decimal256(50, 4),
        pa.decimal128(5, 0),
    ],
)
def test_one_is_one_in_every_column_of_numbers(type_: pa.DataType, spelled: object) -> None:
    number = Decimal if pa.types.is_decimal(type_) else int
    column = pa.array([number(1), number(0), None, number(2)], type_)
    assert positive_of(column, spelled) == [1, 0, None, 0]
    assert positive_of(column.dictionary_encode(), spelled) == [1, 0, None, 0]
    assert positive_of(column[:0], spelled) == []


@pytest.mark.parametrize(
    ("column", "positive", "expected"),
    [
        (pa.array([BIG, BIG + 1, BIG + 2]), BIG + 1, [0, 1, 0]),
        (pa.array([2**63, 2**64 - 1], pa.uint64()), 2**64 - 1, [0, 1]),
        # 2**53 + 1 is no float: the column cannot hold it, and its neighbour is another number.
        (pa.array([float(BIG), float(BIG + 2)]), BIG + 1, [0, 0]),
        (pa.array([float(BIG), float(BIG + 2)]), BIG + 2, [0, 1]),
        (pa.array([16777216.0], pa.float32()), 16777217, [0]),
        (pa.array([0.1, 0.2], pa.float32()), 0.1, [1, 0]),
        (pa.array([0.1, 0.1 + 2**-54]), 0.1, [1, 0]),
        (pa.array([0.0, -0.0, 1.0]), 0, [1, 1, 0]),
        (pa.array([1e300, math.inf, -math.inf]), "1e+300", [1, 0, 0]),
        (pa.array([math.inf], pa.float32()), "1e+300", [0]),
        (pa.array([1, 2], pa.int8()), 300, [0, 0]),
        (pa.array([float(BIG)]), f"{BIG + 1}.0", [1]),
        (pa.array([1, 2]), 1.5, [0, 0]),
        (pa.array([1, 2]), "1e+999", [0, 0]),
        (pa.array([1, 2]), "9" * 200, [0, 0]),
        (pa.array([Decimal("1.25"), Decimal("0.10")]), 0.1, [0, 1]),
        (pa.array([Decimal("1.25")]), "1.255", [0]),
        (pa.array([True, False, None]), True, [1, 0, None]),
        (pa.array([True, False, None]), "FALSE", [0, 1, None]),
        (pa.array([True, False]), 1, [0, 0]),
        (pa.array([1, 0]), True, [0, 0]),
        (pa.array([1, 0]), "01", [0, 0]),
    ],
)
def test_values_are_compared_exactly(
    column: pa.Array, positive: object, expected: list[float | None]
) -> None:
    assert positive_of(column, positive) == expected


def test_a_number_that_is_none_is_no_target() -> None:
    assert positive_of(pa.array([1.0, math.nan, None, 0.0]), 1) == [1, None, None, 0]


@pytest.mark.parametrize("type_", [pa.string(), pa.large_string(), pa.string_view()])
def test_text_is_matched_as_it_stands_and_by_the_number_that_it_spells(
    type_: pa.DataType,
) -> None:
    column = pa.array(["1", "1.0", "01", "yes", "True", "1.10", None, ""]).cast(type_)
    assert positive_of(column, 1) == [1, 1, 0, 0, 0, 0, None, 0]
    assert positive_of(column, "yes") == [0, 0, 0, 1, 0, 0, None, 0]
    assert positive_of(column, "01", "x") == [0, 0, 1, 0, 0, 0, None, 0]
    assert positive_of(column, True, "yes") == [0, 0, 0, 1, 1, 0, None, 0]
    assert positive_of(column, 1.1) == [0, 0, 0, 0, 0, 0, None, 0]
    assert positive_of(column, "") == [0, 0, 0, 0, 0, 0, None, 1]


@given(
    st.lists(st.sampled_from(["1", "1.0", "0", "-0", "a", "true", "TRUE", "1e+00", "01", ""])),
    st.lists(st.sampled_from(["1", "0.0", "a", "True", "01", "1.5"]), min_size=1),
)
def test_text_is_matched_as_names_of_classes_are(column: list[str], positive: list[str]) -> None:
    expected = [float(any(same_class(value, name) for name in positive)) for value in column]
    assert positive_of(pa.array(column, pa.string()), *positive) == expected


@given(st.lists(st.integers(-(2**63), 2**63 - 1)), st.integers(-(2**63), 2**63 - 1))
def test_whole_numbers_are_matched_as_whole_numbers(column: list[int], positive: int) -> None:
    expected = [float(value == positive) for value in [*column, positive]]
    assert positive_of(pa.array([*column, positive], pa.int64()), positive) == expected


@given(st.lists(st.floats(allow_nan=False)), st.floats(allow_nan=False, allow_infinity=False))
def test_floats_are_matched_as_floats(column: list[float], positive: float) -> None:
    expected = [float(value == positive) for value in [*column, positive]]
    assert positive_of(pa.array([*column, positive]), positive) == expected


@pytest.mark.parametrize(
    ("column", "names"),
    [
        (pa.array([0.0, -0.0, 2.5, None]), ["0", "2.5"]),
        (pa.array([-0.0]), ["0"]),
        (pa.array([0.1], pa.float32()), ["0.1"]),
        (pa.array([Decimal("1.00"), Decimal("0.50"), Decimal("100.00")]), ["1", "0.5", "100"]),
        (pa.array([100], pa.decimal128(5, 0)), ["100"]),
        (pa.array([True, False]), ["true", "false"]),
        (pa.array(["b", "a", "b", "-0", "1.00"]).dictionary_encode(), ["b", "a", "-0", "1.00"]),
        (pa.array([], pa.string()), []),
    ],
)
def test_distinct_values_have_the_names_of_classes(column: pa.Array, names: list[str]) -> None:
    found = DistinctValues()
    for part in (column, column[:1]):
        found.add(part)
    assert found.names == names
    assert found.only() == (names[0] if len(names) == 1 else None)


def test_no_more_values_are_kept_than_are_told() -> None:
    found = DistinctValues()
    for start in range(0, 100, 7):
        found.add(pa.array(range(start, start + 7)))
    assert str(found) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 …" and len(found.names) == 11


@pytest.mark.parametrize(
    ("column", "target", "says"),
    [
        (
            pa.array(np.where(features()[:, 0] > 0, "yes", "no")),
            Target(column="y", positive=("Yes", "Y")),
            r'rows\); none of its values is positive by train.target.positive: got \["Yes", "Y"\] '
            r"\(did you mean yes\?\); the values are (no, yes|yes, no); allowed: at least two",
        ),
        (
            pa.array((features()[:, 0] > 0).astype(np.int64)),
            Target(column="y", positive=(True,)),
            r'positive: got \["true"\]; the values are (0, 1|1, 0); allowed',
        ),
        (
            pa.array(np.where(features()[:, 0] > 0, "yes", "no")),
            Target(column="y", positive_pattern="es|no"),
            r"each of its values is positive by train.target.positive_pattern: got 'es\|no'; the "
            r"values are (no, yes|yes, no); allowed",
        ),
    ],
)
def test_a_setting_that_parts_no_rows_is_told_with_the_values_that_there_are(
    column: pa.Array, target: Target, says: str
) -> None:
    with pytest.raises(InputError, match=says):
        run(column, target, epochs=1)
