"""Scoring rows that must each have an answer, in their order: predictions, or an error.

Owns the joining of scored and failed rows into one table, for UDFs and for `predict`. Knows neither
Spark nor bundles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from batchinfer.config.types import parse_ddl
from batchinfer.contracts import ScoringHandler
from batchinfer.errors import InputError, ModelError
from batchinfer.inference.engine import BatchScorer
from batchinfer.inference.workers import one_thread

if TYPE_CHECKING:
    import pandas as pd

ERROR = "error"
# Waking threads, and waiting for them, takes longer than a small network needs for so many rows.
_FEW_ROWS = 64


def score_rows(
    scorer: BatchScorer, rows: pa.RecordBatch, misfits: Mapping[int, str]
) -> dict[str, pa.Array]:
    """Prediction columns and `error`, one value for each row: null predictions with an error, or no
    error.

    Args:
        scorer: of any batch size; it may have scored other rows before.
        rows: the model's inputs.
        misfits: rows that are not to be scored, and why, by position.

    Runs on: executor, or in the caller's process.
    """
    total = rows.num_rows
    errors: list[str | None] = [None] * total
    for row, message in misfits.items():
        errors[row] = message
    positions = np.delete(np.arange(total), list(misfits))
    first = scorer.counts["rows_in"]
    results = list(scorer.score([rows.take(pa.array(positions)) if misfits else rows]))
    for scored in results:
        for at, record in zip(scored.failed_at, scored.failed, strict=True):
            errors[positions[at - first]] = f"{record.reason}: {record.message}"
    found = {
        name: pa.concat_arrays([part.predictions[name] for part in results] or [pa.nulls(0, type_)])
        for name, type_ in scorer.declared.items()
    }
    if any(errors):
        # Rows with an error point nowhere: `take` makes their predictions null.
        failed = np.array([error is not None for error in errors], dtype=bool)
        index = pa.array(np.cumsum(~failed) - 1, mask=failed)
        found = {name: column.take(index) for name, column in found.items()}
    return found | {ERROR: pa.array(errors, pa.string())}


def input_types(signature: Mapping[str, Any]) -> dict[str, pa.DataType]:
    """Arrow type of each input of a signature `{inputs: [{name, type}], …}`, in its order.

    Raises:
        ModelError: a type is not Spark SQL's.
    """
    try:
        return {column["name"]: parse_ddl(column["type"]) for column in signature["inputs"]}
    except ValueError as error:
        raise ModelError(f"the model's signature: {error}") from error


def predict_frame(
    handler: ScoringHandler,
    frame: pd.DataFrame | Sequence[Mapping[str, Any]],
    signature: Mapping[str, Any],
) -> pd.DataFrame:
    """Predictions of a few rows in this process, by the engine that batch jobs use.

    Args:
        handler: the model.
        frame: has the columns of the signature, in any order; others are ignored. Or rows as
            mappings (see `frame_of_mappings`). Timestamps without a zone are UTC.
        signature: of the bundle.

    Returns:
        The prediction columns and `error` (None where a row was scored), with the index of `frame`.

    Runs on: the caller's process.

    Raises:
        InputError: `frame` is neither a DataFrame nor rows as mappings.
        ModelError: columns of the signature are missing, or the handler breaks its own declaration.
    """
    import pandas as pd

    from batchinfer.inference.pandas_columns import arrow_rows, frame_of_mappings, pandas_frame

    types = input_types(signature)
    if isinstance(frame, list | tuple):
        frame = frame_of_mappings(frame, list(types))
    if not isinstance(frame, pd.DataFrame):
        raise InputError(
            f"got {type(frame).__name__}; allowed: a pandas DataFrame, such as "
            "pandas.DataFrame(rows), or a list of mappings of column to value"
        )
    try:
        rows, misfits = arrow_rows((frame,), types, "UTC")
    except InputError as error:
        raise ModelError(
            str(error).replace("the struct has no field", "the frame has no column"), error.hint
        ) from error
    with one_thread(rows.num_rows <= _FEW_ROWS):
        found = score_rows(BatchScorer(handler), rows, misfits)
    return pandas_frame(found, frame.index)
