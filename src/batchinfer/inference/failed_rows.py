"""A row that could not be scored, as the record that goes to quarantine.

Owns how a row's key and inputs are written as JSON. Knows nothing of models.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from batchinfer.contracts import SLICE, SOURCE_FILE, SOURCE_LINE, BadRecord
from batchinfer.inference.attempt import Failure
from batchinfer.masking.sensitive_columns import NONE_SENSITIVE, SensitiveColumns


def bad_records(
    batch: pa.RecordBatch,
    failures: Mapping[int, Failure],
    key_columns: Sequence[str],
    input_columns: Sequence[str] | None,
    sensitive: SensitiveColumns = NONE_SENSITIVE,
) -> list[BadRecord]:
    """A record for each failed row, in the order of the rows.

    Args:
        batch: the rows.
        failures: why, by position in the batch.
        key_columns: what identifies a row; those that the batch has are written.
        input_columns: the model's inputs; None: all columns.
        sensitive: columns whose values no message shows.

    Runs on: executor.
    """
    if not failures:
        return []
    names = batch.schema.names
    key = [name for name in key_columns if name in names]
    inputs = (
        [name for name in input_columns if name in names] if input_columns is not None else names
    )
    records = []
    for row in sorted(failures):
        values = batch.slice(row, 1).to_pylist()[0]
        records.append(
            BadRecord(
                source_file=values.get(SOURCE_FILE),
                source_line=values.get(SOURCE_LINE),
                raw=row_json({name: values[name] for name in inputs}).encode(),
                reason=failures[row].reason,
                message=sensitive.of_row(failures[row].message, values),
                key=row_json({name: values[name] for name in key}) if key else None,
                slice=None if values.get(SLICE) is None else str(values[SLICE]),
            )
        )
    return records


def row_json(values: Mapping[str, Any]) -> str:
    """A row as one line of strict JSON.

    What JSON has no word for is text: dates in ISO 8601, decimals in digits, bytes in base64,
    `NaN`, `Infinity`.
    """
    return json.dumps(_plain(values), ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    return value if value is None or isinstance(value, str | bool | int | float) else str(value)


def told_too_many(
    failed: Sequence[BadRecord], total: int, seen: int, allowed: int | None
) -> list[str]:
    """What is told where more rows failed than may.

    Args:
        failed: the last of them.
        total: how many failed.
        seen: of so many rows.
    """
    examples = [f"{record.reason}: {record.message}" for record in failed[:3]]
    return [
        f"{total} of the first {seen} rows could not be scored; allowed: {allowed}",
        *dict.fromkeys(examples),
    ]
