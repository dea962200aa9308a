"""Slice values of landed rows.

Owns how a slice is made of a column. Must not know partitions or tables.
"""

from __future__ import annotations

from typing import Any, Literal

import pyarrow as pa
from pyarrow import compute

from batchinfer.config.shapes.source_columns import SliceColumn
from batchinfer.errors import ConfigError
from batchinfer.schedule import UNIT_FORMATS

# Its functions are generated at import, so type checkers do not see them.
pc: Any = compute

_WHOLE_SECONDS = "%Y-%m-%dT%H:%M:%S"


def slice_values(
    batch: pa.RecordBatch, rule: SliceColumn | Literal["ingest_date"], ingest_slice: str | None
) -> pa.StringArray:
    """The slice of each row: string (rows,), null where the column is null.

    A column's value as text (a timestamp as `2015-05-18T07:05:03`, UTC); or with a unit, a date or
    timestamp cut to the hour `2015-05-18T07`, day `2015-05-18` or month `2015-05`, UTC.

    Args:
        ingest_slice: `--slice` of the command, for the rule `ingest_date`.

    Runs on: executor.

    Raises:
        ConfigError: rule `ingest_date` without a slice; a column that is not there, or that has no
            time to cut.
    """
    if isinstance(rule, str):
        if ingest_slice is None:
            raise ConfigError(
                "source.slice is ingest_date, and no slice was given; allowed: --slice, such as "
                "2026-11-21"
            )
        return pa.repeat(pa.scalar(ingest_slice, pa.string()), batch.num_rows)
    if rule.column not in batch.schema.names:
        raise ConfigError(
            f"source.slice: got column {rule.column!r}; allowed: {', '.join(batch.schema.names)}"
        )
    values = batch.column(rule.column)
    if rule.unit is None:
        return (
            _formatted(values, _WHOLE_SECONDS)
            if pa.types.is_timestamp(values.type)
            else values.cast(pa.string())
        )
    if not (pa.types.is_timestamp(values.type) or pa.types.is_date(values.type)):
        raise ConfigError(
            f"source.slice.unit: column {rule.column!r} is {values.type}; allowed: a date or a "
            "timestamp"
        )
    return _formatted(pc.floor_temporal(values, unit=rule.unit), UNIT_FORMATS[rule.unit])


def _formatted(values: pa.Array, format_: str) -> pa.StringArray:
    # Formatted once for each distinct value: a block of records holds few slices.
    whole = (
        pc.floor_temporal(values, unit="second") if pa.types.is_timestamp(values.type) else values
    )
    encoded = whole.cast(pa.timestamp("s", getattr(values.type, "tz", None))).dictionary_encode()
    return pc.take(pc.strftime(encoded.dictionary, format=format_), encoded.indices)
