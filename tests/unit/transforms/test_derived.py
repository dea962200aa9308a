"""`derive` before the steps of `features`: what is fed, in which order, which rows are told of, and
what a bundle keeps of it.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from batchinfer.errors import ModelError, UnfitRows
from batchinfer.transforms import (
    Derive,
    RowStep,
    TransformPipeline,
    accumulate_pass,
    feature_columns,
    fit,
    fit_passes,
    parse_steps,
    source_columns,
)

FIELDS = {"gain": pa.int64(), "hours": pa.float64(), "job": pa.string(), "age": pa.int64()}
BATCH = pa.record_batch(
    {
        "gain": pa.array([10, 20, 30, None, 50], pa.int64()),
        "hours": pa.array([2.0, 0.0, 5.0, 4.0, None]),
        "job": ["a", "b", None, "a", "c"],
        "age": pa.array([30, 1000, 40, 50, 60], pa.int64()),
    }
)
RATE = {"rate": "gain / hours"}
# The second row of BATCH divides by zero.
FAILS = 1


def steps_with(derive: dict[str, str], *items: dict[str, Any]) -> list[RowStep]:
    steps, problems = parse_steps(items)
    assert not problems
    return [Derive.of(derive), *steps]


def made_of(derive: dict[str, str], *items: dict[str, Any]) -> TransformPipeline:
    return fit(steps_with(derive, *items), FIELDS, lambda: [BATCH])


def without_failing(batch: pa.RecordBatch) -> pa.RecordBatch:
    return batch.take(pa.array([row for row in range(batch.num_rows) if row != FAILS]))


def test_a_row_that_an_expression_fails_on_is_named_and_no_other() -> None:
    with pytest.raises(UnfitRows) as error:
        made_of(RATE).matrix(BATCH)
    assert list(error.value.rows) == [FAILS]
    assert error.value.rows[FAILS].startswith("derive.rate (gain / hours): ")


def test_rows_of_several_expressions_are_named_at_once_each_with_its_first_reason() -> None:
    derive = {"rate": "gain / hours", "other": "gain / (age - 30)", "third": "age / hours"}
    with pytest.raises(UnfitRows) as error:
        made_of(derive).matrix(BATCH)
    named = {row: why.partition(" ")[0] for row, why in error.value.rows.items()}
    assert named == {0: "derive.other", 1: "derive.rate"}


def test_a_batch_gives_what_its_rows_give_one_by_one() -> None:
    derive = {"rate": "gain / nullif(hours, 0)", "twice": "rate * 2", "word": "upper(job)"}
    transforms = made_of(
        derive, {"standardize": {"columns": ["age", "rate"]}}, {"one_hot": {"columns": "word"}}
    )
    whole = transforms.matrix(BATCH)
    alone = [transforms.matrix(BATCH.slice(row, 1)) for row in range(BATCH.num_rows)]
    np.testing.assert_array_equal(whole, np.concatenate(alone))
    applied = transforms.apply(BATCH)
    assert applied["twice"].to_pylist() == [10.0, None, 12.0, None, None]


def test_columns_are_fed_where_a_step_names_them_and_else_last() -> None:
    steps = steps_with(
        {"a": "gain + 1", "b": "gain + 2", "c": "gain > 3"},
        {"standardize": {"columns": ["age", "b"]}},
    )
    assert feature_columns(steps, FIELDS) == ["age", "b", "a", "c"]
    assert source_columns(steps, FIELDS) == ["gain", "age"]


@pytest.mark.parametrize(
    ("items", "fed"),
    [
        ([], ["out"]),
        ([{"standardize": {"columns": "helper"}}], ["helper", "out"]),
        ([{"keep": {"columns": ["out", "helper"]}}], ["out", "helper"]),
        ([{"cross": {"columns": ["helper", "job"], "buckets": 3}}], ["helper_x_job", "out"]),
        ([{"select": {"columns": "gain", "method": "names"}}], ["gain"]),
    ],
)
def test_a_column_that_another_expression_reads_is_fed_only_if_a_step_changes_it(
    items: list[dict[str, Any]], fed: list[str]
) -> None:
    steps = steps_with({"helper": "gain + age", "out": "helper * 2"}, *items)
    assert feature_columns(steps, FIELDS) == fed


def test_json_holds_the_expressions_in_their_order_and_gives_the_same_digest() -> None:
    derive = {"z": "gain + 1", "a": "z + age"}
    transforms = made_of(derive, {"standardize": {"columns": "hours"}})
    stored = json.loads(json.dumps(transforms.to_json(), sort_keys=True))
    assert stored["steps"][0]["step"]["derive"] == {
        "columns": ["gain", "age"],
        "expressions": [["z", "gain + 1"], ["a", "z + age"]],
    }
    again = TransformPipeline.from_json(stored)
    assert again.digest() == transforms.digest()
    np.testing.assert_array_equal(again.matrix(BATCH), transforms.matrix(BATCH))
    assert again.digest() != made_of({"z": "gain + 2", "a": "z + age"}).digest()
    assert made_of({"a": "gain + 1", "b": "gain"}).digest() != (
        made_of({"b": "gain", "a": "gain + 1"}).digest()
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"columns": ["gain", "age"]},
        {"columns": ["gian"]},
        {"expressions": [["rate", "gain / ("]]},
        {"expressions": []},
        {"columns": ["hours"], "expressions": [["rate", "gain / hours"], ["rate", "hours"]]},
    ],
)
def test_a_stored_step_that_does_not_hold_together_is_refused(changed: dict[str, Any]) -> None:
    stored = made_of(RATE).to_json()
    stored["steps"][0]["step"]["derive"] |= changed
    with pytest.raises(ModelError):
        TransformPipeline.from_json(stored)


def test_a_bundle_of_another_version_of_the_language_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stored = made_of(RATE).to_json()
    monkeypatch.setattr(Derive, "version", Derive.version + 1)
    with pytest.raises(ModelError, match="derive was fitted as version"):
        TransformPipeline.from_json(stored)


@pytest.mark.parametrize(
    "items",
    [
        [{"standardize": {"columns": ["age", "rate"]}}],
        # No step of this pass reads what is derived; the row is left out of it all the same.
        [{"standardize": {"columns": "age"}}],
        [{"standardize": {"columns": "age"}}, {"bucketize": {"columns": "age", "quantiles": 2}}],
    ],
)
def test_every_pass_leaves_out_the_rows_that_an_expression_fails_on(
    items: list[dict[str, Any]],
) -> None:
    steps = steps_with(RATE, *items)
    fitted = fit(steps, FIELDS, lambda: [BATCH])
    good = fit(steps, FIELDS, lambda: [without_failing(BATCH)])
    assert fitted.to_json() == good.to_json()
    first = fit_passes(steps)[0]
    assert accumulate_pass(steps, {}, first, [BATCH], FIELDS)["rows"] == BATCH.num_rows - 1


def test_a_batch_of_failing_rows_alone_leaves_nothing_to_learn_from() -> None:
    steps = steps_with(RATE, {"standardize": {"columns": "rate"}})
    only = BATCH.slice(FAILS, 1)
    assert accumulate_pass(steps, {}, [1], [only], FIELDS)["rows"] == 0
    assert made_of(RATE).matrix(BATCH.slice(0, 0)).shape == (0, 1)


def test_nan_is_null_to_an_expression_in_a_batch_as_in_one_row_that_comes_by_pandas() -> None:
    transforms = made_of({"known": "hours is not null", "more": "coalesce(hours, 7) + 1"})
    nan, null = (
        pa.record_batch({"hours": pa.array([missing, 2.0])}) for missing in (float("nan"), None)
    )
    assert transforms.apply(nan)["more"].to_pylist() == [8.0, 3.0]
    np.testing.assert_array_equal(transforms.matrix(nan), transforms.matrix(null))
    np.testing.assert_array_equal(transforms.matrix(nan)[:, 0], [0, 1])
