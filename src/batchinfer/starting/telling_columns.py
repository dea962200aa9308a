"""Columns that tell the target by themselves: copies of it, its reasons, its other units.

Owns what counts as telling it. What is done with such a column is said in `proposed.py`. Must not
know how a pipeline file is written.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import compute

from batchinfer.starting.proposed_target import is_numeric
from batchinfer.starting.sample import SampledColumn

# Its functions are generated at import, so type checkers do not see them.
pc: Any = compute

# Records from which on a column that tells the target does not do so by accident.
_FEWEST_RECORDS = 50
# Records a value, on average, from which on the value says something of the next record that has
# it.
_RECORDS_A_VALUE = 10
# The squared correlation of two columns that are the same amounts in other units.
_SAME_AMOUNTS = 0.99999


def tells_target(column: SampledColumn, target: SampledColumn, classes: bool) -> str | None:
    """Why a column is taken for the target in other words; None: it is not.

    Args:
        target: what is to be learned.
        classes: whether it is learned as classes, and not as an amount.

    Runs on: driver.
    """
    known = pc.is_valid(target.values)
    values, learned = column.values.filter(known), target.values.filter(known)
    if len(learned) < _FEWEST_RECORDS or pa.types.is_nested(values.type):
        return None
    if classes:
        return _goes_with_one_class(values, learned, target.name)
    if not is_numeric(values.type) or not _is_same_amount(values, learned):
        return None
    return f"it rises and falls with {target.name} in every record"


def _goes_with_one_class(values: pa.Array, classes: pa.Array, target: str) -> str | None:
    texts = pc.cast(values, pa.string()) if not pa.types.is_string(values.type) else values
    distinct = pc.count_distinct(texts, mode="all").as_py()
    if distinct < 2 or distinct * _RECORDS_A_VALUE > len(values):
        return None
    pairs = pa.table({"value": texts, "class": classes}).group_by(["value", "class"])
    if pairs.aggregate([]).num_rows > distinct:
        return None
    return f"each of its {distinct:,} values goes with one value of {target} alone"


def _is_same_amount(values: pa.Array, amounts: pa.Array) -> bool:
    left, right = (
        np.asarray(pc.cast(one, pa.float64(), safe=False).fill_null(np.nan), np.float64)
        for one in (values, amounts)
    )
    both = np.isfinite(left) & np.isfinite(right)
    left, right = left[both], right[both]
    if len(left) < _FEWEST_RECORDS or not left.std() or not right.std():
        return False
    return float(np.corrcoef(left, right)[0, 1] ** 2) > _SAME_AMOUNTS
