"""Landed rows to try a model on: few, and chosen so that what is rare is among them.

Owns the choice: rows with nulls, rows of rare categories, and the rest spread over the table. Knows
no model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from batchinfer.errors import BatchInferError, InputMissing
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.slices.landed import read_data
from batchinfer.pipeline.slices.reading import read_rows
from batchinfer.pipeline.slices.slice_splits import splits_of

# Its functions are made when it is imported, so type checkers do not see them.
pc: Any = pyarrow.compute

# Read, so that those near a tie can be found among them.
_POOL_ROWS = 20_000
_SCANNED_ROWS = 100_000
_SPLITS = 16
# Of each column so many rows with a null, and so many of each category.
_NULLS, _OF_A_CATEGORY, _CATEGORIES = 100, 3, 100


def read_trial_rows(
    context: Context, columns: Sequence[str], most: int = _POOL_ROWS
) -> tuple[pa.RecordBatch | None, str]:
    """Up to `most` landed rows of these columns; or None, and why there are none, as a sentence
    begins.

    Of large tables the first rows of up to sixteen parts are looked at, 100,000 in all.
    Runs on: driver, without Spark.
    """
    batches: list[pa.RecordBatch] = []
    try:
        splits = splits_of(read_data(context, None), _SPLITS)
        share = -(-_SCANNED_ROWS // max(1, len(splits)))
        for split in splits:
            left = share
            for batch in read_rows(split, list(columns)):
                batches.append(batch.slice(0, left))
                left -= batches[-1].num_rows
                if left <= 0:
                    break
            if sum(one.num_rows for one in batches) >= _SCANNED_ROWS:
                break
    except InputMissing:
        return None, "nothing has landed yet"
    except (BatchInferError, OSError) as error:  # such as in place, where this machine cannot read
        return None, f"the landed rows cannot be read here ({error})"
    table = pa.Table.from_batches(batches) if batches else None
    if table is None or not table.num_rows:
        return None, "no rows have landed"
    [rows] = table.take(pa.array(chosen_rows(table, most))).combine_chunks().to_batches()
    return rows, ""


def chosen_rows(table: pa.Table | pa.RecordBatch, most: int) -> np.ndarray:
    """Places of up to `most` rows, in order: half of them at most for nulls and rare categories."""
    special: dict[int, None] = {}
    for name in table.schema.names:
        special.update(dict.fromkeys(_rare(table.column(name))))
    found = np.array(list(special), np.int64)
    if len(found) > most // 2:
        found = found[np.linspace(0, len(found) - 1, most // 2).astype(np.int64)]
    rest = np.setdiff1d(np.arange(table.num_rows), found)
    wanted = most - len(found)
    if len(rest) > wanted:
        rest = rest[np.linspace(0, len(rest) - 1, wanted).astype(np.int64)]
    return np.sort(np.concatenate([found, rest]))


def _rare(column: pa.Array | pa.ChunkedArray) -> list[int]:
    """Rows with a null, and the first few of each value of a column of few values."""
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    places = np.flatnonzero(column.is_null(nan_is_null=True).to_numpy(zero_copy_only=False))
    found = places[:_NULLS].tolist()
    if not (pa.types.is_string(column.type) or pa.types.is_integer(column.type)):
        return found
    encoded = column.dictionary_encode()
    values = len(encoded.dictionary)
    if values > _CATEGORIES and pa.types.is_integer(column.type):  # a quantity, not a category
        return found
    codes = encoded.indices.fill_null(values).to_numpy(zero_copy_only=False)
    rarest = np.argsort(np.bincount(codes, minlength=values)[:values], kind="stable")
    for code in rarest[:_CATEGORIES].tolist():
        found += np.flatnonzero(codes == code)[:_OF_A_CATEGORY].tolist()
    return found
