"""What a fit may know besides the columns: the target of each row, and a hash of its key.

Owns the two hidden columns under which they travel through a fit, and folds. Knows no step. `apply`
on rows that are to be scored has neither; the rows that a model learns from have their hash, so
that an encoding of the target leaves them out.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from batchinfer.transforms.column import Coded, Column, coded, is_arrow, numbers

TARGET = "(target)"
"""Hidden column: float64 (a number, or 1 and 0 of two classes), or text (several classes); missing
where there is no label.
"""

ROW_HASH = "(row hash)"
"""Hidden column: uint64, as if drawn at random, the same for a row wherever it stands."""

HIDDEN: Mapping[str, tuple[pa.DataType, ...]] = {
    TARGET: (pa.float64(), pa.string()),
    ROW_HASH: (pa.uint64(),),
}


def row_hashes(frame: Mapping[str, Column]) -> np.ndarray:
    """(rows,) uint64."""
    column = frame[ROW_HASH]
    return column if isinstance(column, np.ndarray) else np.asarray(column, np.uint64)


def folds_of(frame: Mapping[str, Column], folds: int) -> np.ndarray:
    """(rows,) int64: the fold of each row, by its hash; any number of rows, and any split of them,
    gives the same folds.
    """
    return (row_hashes(frame) % np.uint64(folds)).astype(np.int64)


def has_classes(fields: Mapping[str, pa.DataType]) -> bool:
    """True where the target is one of several classes, False where it is a number or one of two
    classes.
    """
    return fields.get(TARGET) == pa.string()


def target_is_text(frame: Mapping[str, Column]) -> bool:
    """True where the target of these rows is one of several classes."""
    column = frame[TARGET]
    return is_arrow(column) and pa.types.is_string(column.type)


def target_numbers(frame: Mapping[str, Column]) -> np.ndarray:
    """(rows,) float64; NaN where there is no label."""
    return numbers(frame[TARGET])


def target_classes(frame: Mapping[str, Column]) -> Coded:
    """The class of each row; of two classes "1" and "0"; code -1 where there is no label."""
    if target_is_text(frame):
        return coded(frame[TARGET])
    values = target_numbers(frame)
    codes = np.where(np.isnan(values), -1, values != 0).astype(np.int32)
    return Coded(codes, pa.array(["0", "1"]))
