"""What the tests of steps after the model share: columns of predictions, and steps on them."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from batchinfer.transforms import (
    PostProcess,
    fit_after,
    parse_after,
)

LABELS = ("no", "yes")
FIELDS: dict[str, pa.DataType] = {
    "score": pa.float64(),
    "label": pa.string(),
    "prediction": pa.float64(),
    "many": pa.list_(pa.float64()),
    "scores": pa.map_(pa.string(), pa.float64()),
}


def steps_of(raw: list[dict[str, Any]]) -> Any:
    steps, problems = parse_after(raw)
    assert problems == []
    return steps


def post(
    raw: list[dict[str, Any]], fields: dict[str, pa.DataType], labels: tuple[str, ...] = LABELS
) -> PostProcess:
    return fit_after(steps_of(raw), fields, labels, None)
