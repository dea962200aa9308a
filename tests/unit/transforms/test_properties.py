"""Rules that hold for every step: a batch is its rows one by one, partial fits merge, state
survives JSON.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transform_cases import CASES, FIELDS, batch_of, fitted, rows, steps_of

from batchinfer.transforms import (
    STEPS,
    TransformPipeline,
    accumulate_pass,
    feature_columns,
    finish_pass,
    fit_passes,
    merge_pass,
    source_columns,
)

Case = list[dict[str, Any]]
NAMES = ["+".join(name for step in case for name in step) for case in CASES]
every_case = pytest.mark.parametrize("case", CASES, ids=NAMES)


def same(left: pa.Array, right: pa.Array) -> bool:
    return left.type == right.type and repr(left.to_pylist()) == repr(right.to_pylist())


def test_every_step_has_a_case() -> None:
    assert {name for case in CASES for step in case for name in step} == set(STEPS)


@every_case
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_a_batch_gives_what_its_rows_give_one_by_one(case: Case, data: st.DataObject) -> None:
    transforms = fitted(case, batch_of(data.draw(rows())))
    values = data.draw(rows(max_size=12))
    batch = batch_of(values)
    cut = data.draw(st.integers(0, len(values)))
    whole = transforms.apply(batch)
    for parts in ([batch.slice(0, cut), batch.slice(cut)], [batch_of([row]) for row in values]):
        applied = [transforms.apply(part) for part in parts]
        tensors = [transforms.tensors(part) for part in parts]
        for name, array in whole.items():
            assert not applied or same(array, pa.concat_arrays([part[name] for part in applied]))
        for name, array in transforms.tensors(batch).items():
            if parts:
                np.testing.assert_array_equal(
                    array, np.concatenate([part[name] for part in tensors])
                )


@every_case
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_the_model_gets_nan_only_where_it_is_kept_and_gets_the_declared_shape(
    case: Case, data: st.DataObject
) -> None:
    transforms = fitted(case, batch_of(data.draw(rows())))
    batch = batch_of(data.draw(rows()))
    for name, array in transforms.tensors(batch).items():
        assert len(array) == batch.num_rows and array.flags.c_contiguous
        if name == "features":
            assert array.dtype == np.float32 and array.shape == (batch.num_rows, transforms.width)
            assert "keep" in {step.name for step in transforms.steps} or not np.isnan(array).any()
            assert (
                len(transforms.feature_names())
                == transforms.width
                == len(set(transforms.feature_names()))
            )
        else:
            vocabulary = transforms.inputs().integers[name].vocabulary
            assert array.dtype == np.int64 and ((array >= 0) & (array < vocabulary)).all()


@every_case
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_apply_gives_the_declared_columns_and_types(case: Case, data: st.DataObject) -> None:
    batch = batch_of(data.draw(rows()))
    transforms = fitted(case, batch)
    steps = steps_of(*case)
    expected = dict(transforms.fields)
    for step, state in zip(steps, transforms.states, strict=True):
        expected = step.output_fields(expected, state)
    applied = transforms.apply(batch)
    assert {name: array.type for name, array in applied.items()} == {
        name: expected[name] for name in applied
    }
    inputs = transforms.inputs()
    assert feature_columns(steps, FIELDS) == feature_columns(steps, transforms.fields)
    assert sorted(feature_columns(steps, FIELDS)) == sorted([*inputs.features, *inputs.integers])
    assert list(batch.column_names) == list(FIELDS) and transforms.source_columns == source_columns(
        steps, FIELDS
    )


@every_case
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_a_step_alone_gives_what_the_pipeline_gives(case: Case, data: st.DataObject) -> None:
    batch = batch_of(data.draw(rows(max_size=8)))
    transforms = fitted(case[:1], batch)
    columns = {name: batch.column(name) for name in transforms.source_columns}
    alone = transforms.steps[0].apply(columns, transforms.states[0])
    together = transforms.apply(batch)
    assert list(alone) == list(together)
    assert all(same(alone[name], together[name]) for name in alone)


@every_case
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_merged_partial_fits_equal_the_fit_on_all(case: Case, data: st.DataObject) -> None:
    batches = [
        batch_of(part) for part in data.draw(st.lists(rows(max_size=8), min_size=1, max_size=5))
    ]
    steps, states = steps_of(*case), {}
    for pass_steps in fit_passes(steps):
        partials = [
            accumulate_pass(steps, states, pass_steps, [batch], FIELDS) for batch in batches
        ]
        partials = json.loads(json.dumps(partials))
        states = finish_pass(steps, pass_steps, merge_pass(partials), FIELDS, states)
    together = fitted(
        case,
        pa.Table.from_batches(batches).combine_chunks().to_batches()[0]
        if sum(map(len, batches))
        else batches[0],
    )
    assert_close(
        json.loads(json.dumps([states.get(str(place)) for place in range(len(steps))])),
        json.loads(json.dumps(together.states)),
    )


def assert_close(left: Any, right: Any) -> None:
    if isinstance(left, float):
        assert left == pytest.approx(right, rel=1e-9, abs=1e-9)
    elif isinstance(left, dict):
        assert left.keys() == right.keys()
        for key in left:
            assert_close(left[key], right[key])
    elif isinstance(left, list):
        assert len(left) == len(right)
        for pair in zip(left, right, strict=True):
            assert_close(*pair)
    else:
        assert left == right


@every_case
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_json_brings_back_the_same_bits(case: Case, data: st.DataObject) -> None:
    batch = batch_of(data.draw(rows()))
    transforms = fitted(case, batch)
    restored = TransformPipeline.from_json(
        json.loads(json.dumps(transforms.to_json(), sort_keys=True))
    )
    assert restored.digest() == transforms.digest()
    assert (
        restored.source_columns == transforms.source_columns
        and restored.feature_names() == transforms.feature_names()
    )
    for name, array in transforms.tensors(batch).items():
        assert array.tobytes() == restored.tensors(batch)[name].tobytes()


@every_case
def test_zero_rows_fit_and_apply(case: Case) -> None:
    empty = batch_of([])
    transforms = fitted(case, empty)
    assert all(len(array) == 0 for array in transforms.tensors(empty).values())
    one = transforms.tensors(batch_of([dict.fromkeys(FIELDS)]))
    kept = "keep" in {step.name for step in transforms.steps}
    assert all(len(array) == 1 and (kept or not np.isnan(array).any()) for array in one.values())
