"""`keep`: what is missing stays missing, and columns stay what they are."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from batchinfer.errors import InputError
from batchinfer.transforms import check_steps, fit, kept_columns, only_kept, parse_steps

FIELDS = {"a": pa.float64(), "b": pa.int64(), "s": pa.string(), "v": pa.list_(pa.float64())}
BATCH = pa.record_batch(
    {
        "a": pa.array([1.0, None]),
        "b": pa.array([None, 2], pa.int64()),
        "s": pa.array(["x", None]),
        "v": pa.array([[1.0], [2.0, 3.0]], pa.list_(pa.float64())),
    }
)


def steps_of(*items: dict) -> list:
    steps, problems = parse_steps(list(items))
    assert problems == []
    return steps


def test_a_missing_number_is_nan_where_it_is_kept_and_0_elsewhere() -> None:
    steps = steps_of({"keep": {"columns": ["b", "a"]}})
    found = fit(steps, {name: FIELDS[name] for name in "ab"}, lambda: [BATCH]).matrix(BATCH)
    np.testing.assert_array_equal(found, np.array([[np.nan, 1], [2, np.nan]], np.float32))
    later = steps_of({"keep": {"columns": "a"}}, {"clip": {"columns": "a", "upper": 9}})
    np.testing.assert_array_equal(
        fit(later, {"a": FIELDS["a"]}, lambda: [BATCH]).matrix(BATCH),
        np.array([[1], [0]], np.float32),
    )


def test_alone_it_keeps_columns_of_any_type_of_which_no_matrix_is_made() -> None:
    steps = steps_of({"keep": {"columns": ["s", "a"]}}, {"keep": {"columns": "v"}})
    assert check_steps(steps, FIELDS) == []
    assert only_kept(steps) and kept_columns(steps) == ["s", "a", "v"]
    with pytest.raises(InputError, match="'s' is still string"):
        fit(steps, FIELDS, lambda: [BATCH]).matrix(BATCH)


@pytest.mark.parametrize(
    ("column", "says"), [("s", "still string"), ("v", "without a length of its own")]
)
def test_beside_other_steps_it_keeps_numbers_only(column: str, says: str) -> None:
    steps = steps_of({"standardize": {"columns": "a"}}, {"keep": {"columns": column}})
    [problem] = check_steps(steps, FIELDS)
    assert says in problem.message and not only_kept(steps)
