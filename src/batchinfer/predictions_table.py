"""The columns of a predictions table: keys, what the model gives, and which model and data made it.

A column that every prediction has is an entry of `LINEAGE`; the scoring task fills it. Knows no
room.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from batchinfer.contracts import (
    BUNDLE_DIGEST,
    INPUT_FINGERPRINT,
    MODEL_NAME,
    MODEL_VERSION,
    RUN_ID,
    SCORED_AT,
    SERVED,
    SLICE,
    SOURCE_TABLE,
    SOURCE_VERSION,
    VARIANT,
    arrow_type,
    commented,
)

if TYPE_CHECKING:
    import pyarrow as pa


LINEAGE: Mapping[str, tuple[str, str]] = {
    VARIANT: (
        "string",
        "Which of the pipeline's models made this row: champion, challenger, shadow. Unique with "
        "key and slice.",
    ),
    SERVED: (
        "bool",
        "True on exactly one row of each key and slice: the one that lookups, the latest view and "
        "load read.",
    ),
    MODEL_NAME: ("string", "Name of the registered model."),
    MODEL_VERSION: ("string", "Version of the registered model."),
    BUNDLE_DIGEST: (
        "string",
        "SHA-256 of the bundle's manifest: weights, transforms, handler and signature.",
    ),
    SOURCE_TABLE: ("string", "Table that the inputs were read from."),
    SOURCE_VERSION: ("int64", "Delta version of that table."),
    INPUT_FINGERPRINT: (
        "binary16",
        "128-bit hash of the source columns that the model's signature names.",
    ),
    RUN_ID: ("string", "The run that scored this row; one that was carried over keeps its own."),
    SCORED_AT: ("timestamp", "When the run scored this row, UTC."),
}


def predictions_schema(
    key: Mapping[str, pa.DataType],
    outputs: Mapping[str, pa.DataType],
    carried: Mapping[str, pa.DataType] | None = None,
) -> pa.Schema:
    """Schema of a predictions table, in the order of the contract: key, slice, predictions, columns
    of the scored rows that are carried along, lineage.
    """
    import pyarrow as pa

    return pa.schema(
        [
            commented(name, type_, "Key of the scored record, as in the source.")
            for name, type_ in key.items()
        ]
        + [commented(SLICE, pa.string(), "The slice that this row belongs to; partition column.")]
        + [commented(name, type_, "Prediction of the model.") for name, type_ in outputs.items()]
        + [
            commented(name, type_, "Column of the scored record, as it was when it was published.")
            for name, type_ in (carried or {}).items()
        ]
        + [
            commented(name, arrow_type(short), comment)
            for name, (short, comment) in LINEAGE.items()
        ]
    )
