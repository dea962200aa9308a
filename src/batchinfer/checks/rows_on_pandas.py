"""Rows of an Arrow table, as Great Expectations' pandas engine judges them: few of them, with the
kinds of columns that `pandas_verdicts` allows.

Owns what pandas is handed. Arrow knows null and NaN apart and keeps large integers beside a null;
pandas is given columns in which neither is lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pyarrow import compute

from batchinfer.checks.judged_rows import is_json

if TYPE_CHECKING:
    import pandas as pd

# pyarrow makes these functions when it is imported; type checkers cannot see them.
pc: Any = compute


class ArrowRows:
    """As `judged_rows.JudgedRows`; all rows are in memory. Its masks are `(rows,) bool`."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table
        self.columns: Sequence[str] = table.column_names

    @property
    def faults(self) -> tuple[type[Exception], ...]:
        return ()

    @cached_property
    def frame(self) -> pd.DataFrame:
        """What the library judges."""
        import pandas as pd

        arrays = {name: _for_pandas(self.table[name]) for name in self.columns}
        return pd.DataFrame(arrays, index=range(self.table.num_rows), copy=False)

    def with_frame(self, frame: Any) -> ArrowRows:
        raise NotImplementedError("conditions on rows are Spark's to judge")

    def batches(self, context: Any, name: str) -> Any:
        source = context.data_sources.add_pandas(name)
        return source.add_dataframe_asset(name).add_batch_definition_whole_dataframe(name)

    def has(self, name: str) -> bool:
        return name in self.columns

    def has_nan(self, name: str) -> bool:
        return name in self.columns and pa.types.is_floating(self.table[name].type)

    def is_text(self, name: str) -> bool:
        return name in self.columns and _is_text(self.table[name].type)

    def told_type(self, name: str) -> str:
        from batchinfer.config.types import spark_name

        return spark_name(self.table[name].type)

    def nan(self, name: str) -> np.ndarray:
        return _mask(pc.fill_null(pc.is_nan(self.table[name]), False))

    def null(self, name: str) -> np.ndarray:
        return _mask(pc.is_null(self.table[name]))

    def no_json(self, name: str) -> np.ndarray:
        return np.array([not is_json(text) for text in self.table[name].to_pylist()], bool)

    def count(self, masks: Sequence[np.ndarray]) -> list[int]:
        return [int(mask.sum()) for mask in masks]

    def without(self, mask: np.ndarray) -> ArrowRows:
        return ArrowRows(self.table.filter(pa.array(~mask)))

    def is_empty(self) -> bool:
        return not self.table.num_rows

    def plain(self, found: Any) -> Any:
        # Rows with NaN are unfit and were left out: what is left of it are nulls.
        if isinstance(found, dict):
            return {word: self.plain(value) for word, value in found.items()}
        if isinstance(found, list | tuple):
            return [self.plain(value) for value in found]
        return None if isinstance(found, float) and found != found else found


def _mask(values: Any) -> np.ndarray:
    return np.asarray(values.to_numpy(zero_copy_only=False), bool)


def _is_text(type_: pa.DataType) -> bool:
    return pa.types.is_string(type_) or pa.types.is_large_string(type_)


def _for_pandas(column: pa.ChunkedArray) -> Any:
    """Numbers as NumPy's where none is missing, floats always; all else as Python's own values."""
    kinds = pa.types
    if kinds.is_floating(column.type):
        # As Spark hands them over: of single precision, the same number as a double.
        return column.cast(pa.float64()).to_numpy()
    if (kinds.is_integer(column.type) or kinds.is_boolean(column.type)) and not column.null_count:
        return column.to_numpy()
    values = np.empty(len(column), object)
    values[:] = column.to_pylist()
    return values
