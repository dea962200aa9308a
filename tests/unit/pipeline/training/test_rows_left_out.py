"""Rows that an expression fails on are left out of what is learned from, and counted."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from batchinfer.errors import TooManyQuarantined
from batchinfer.pipeline.training.rows_left_out import RowsLeftOut
from batchinfer.transforms import ROW_HASH, TARGET, Derive, fit, parse_steps

BATCH = pa.record_batch(
    {
        "gain": [1.0, 2.0, 3.0, 4.0, 5.0],
        "hours": [1.0, 0.0, 2.0, 4.0, 0.0],
        "job": ["a", "b", "a", "b", "a"],
        TARGET: [1.0, 2.0, 3.0, 4.0, 5.0],
        ROW_HASH: pa.array([7, 8, 9, 10, 11], pa.uint64()),
    }
)


def test_each_row_that_is_left_keeps_its_own_fold() -> None:
    steps, _ = parse_steps([{"target_encode": {"columns": "job", "folds": 2}}])
    fields = {field.name: field.type for field in BATCH.schema}
    steps.insert(0, Derive.of({"rate": "gain / hours"}))
    transforms = fit(steps, fields, lambda: [BATCH])
    hashes = np.array([7, 8, 9, 10, 11], np.uint64)
    left_out = RowsLeftOut()
    rows, inputs = left_out.inputs_of(transforms, BATCH, hashes)
    kept = [0, 2, 3]
    assert rows.column("gain").to_pylist() == [1.0, 3.0, 4.0]
    expected = transforms.tensors(BATCH.take(pa.array(kept)), hashes[kept])
    np.testing.assert_array_equal(inputs["features"], expected["features"])
    assert left_out.rows == 2
    assert left_out.warnings(5)[0].startswith("2 of 5 rows were not learned from: derive.rate (")


@pytest.mark.parametrize(
    ("reasons", "remedy"),
    [
        (["character 3: int overflow"], "as by cast(… as bigint), or a higher checks"),
        (["character 3: bigint overflow"], "as by cast(… as double), or a higher checks"),
        (["character 3: decimal(38,6) overflow"], "as by cast(… as double), or a higher checks"),
        (["character 3: division by zero"], "an expression that has a value for such rows"),
        (["x: int overflow", "x: division by zero"], "as bigint), an expression that has a value"),
    ],
)
def test_what_helps_rows_that_are_left_out_depends_on_why(reasons: list[str], remedy: str) -> None:
    left_out = RowsLeftOut(Counter(reasons))
    with pytest.raises(TooManyQuarantined) as caught:
        left_out.judge(3, 0.0)
    assert remedy in str(caught.value.hint)
    assert ("nullif" in str(caught.value.hint)) == any("zero" in why for why in reasons)
