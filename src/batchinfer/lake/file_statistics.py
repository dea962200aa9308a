"""Delta's statistics of one file: rows, nulls, smallest and greatest values, as readers skip by
them.

Owns the truncation and rounding rules. Knows nothing of files.

Source: Delta transaction log protocol, section "Per-file Statistics".
"""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from pyarrow import types as kinds

from batchinfer.lake.delta_types import has_statistics

PREFIX_CHARS = 32
# Up to so many values Python compares: to import `pyarrow.compute` takes longer.
_FEW = 64
_LAST_CHAR = "\U0010ffff"


def truncate_min(value: str) -> str:
    """A bound of at most 32 characters that is no greater than the value."""
    return value[:PREFIX_CHARS]


def truncate_max(value: str) -> str:
    """A bound of about 32 characters that is no smaller than the value, in the order of UTF-8
    bytes.

    One greatest character stands for the rest; where the rest begins with that very character, it
    is kept too.
    """
    if len(value) <= PREFIX_CHARS:
        return value
    end = PREFIX_CHARS
    while end < len(value) and value[end] == _LAST_CHAR:
        end += 1
    return value if end == len(value) else value[:end] + _LAST_CHAR


def format_timestamp(micros: int, utc: bool, up: bool) -> str | None:
    """ISO text at millisecond precision, rounded down or up; None outside the years 1 to 9999.

    Args:
        micros: microseconds since 1970-01-01.
        utc: True for timestamps with a zone: ends in `Z`.
        up: round up, for the greatest value.
    """
    millis = -(-micros // 1000) if up else micros // 1000
    try:
        moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(milliseconds=millis)
    except OverflowError:
        return None
    return moment.isoformat(timespec="milliseconds") + ("Z" if utc else "")


def _counted(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Timestamps as the integers that they are."""
    return pa.chunked_array([chunk.view(pa.int64()) for chunk in values.chunks], pa.int64())


def _extremes(values: pa.ChunkedArray) -> tuple[Any, Any]:
    """The smallest and the greatest of values that are not all null; None where one is NaN."""
    if len(values) <= _FEW:
        known = [value for value in values.to_pylist() if value is not None]
        return (None, None) if any(value != value for value in known) else (min(known), max(known))
    import pyarrow.compute as pc

    if (
        kinds.is_floating(values.type)
        and pc.call_function("any", [pc.call_function("is_nan", [values])]).as_py()
    ):
        return None, None
    bounds = pc.call_function("min_max", [values])
    return bounds["min"].as_py(), bounds["max"].as_py()


@dataclass
class ColumnStatistics:
    """Running bounds of one column; `bounded` turns False when a value has no place in an order
    (NaN).
    """

    type: pa.DataType
    nulls: int = 0
    bounded: bool = True
    low: Any = None
    high: Any = None

    def __post_init__(self) -> None:
        # Decimals are left out: their JSON form is a number, which readers parse with differing
        # precision.
        self.bounded = has_statistics(self.type) and not kinds.is_decimal(self.type)

    def add(self, values: pa.ChunkedArray) -> None:
        """Takes in the values of one row group."""
        self.nulls += values.null_count
        if not self.bounded or values.null_count == len(values):
            return
        low, high = _extremes(_counted(values) if kinds.is_timestamp(self.type) else values)
        if low is None:
            self.bounded, self.low, self.high = False, None, None
            return
        self.low = low if self.low is None else min(self.low, low)
        self.high = high if self.high is None else max(self.high, high)

    def bounds(self) -> tuple[Any, Any]:
        """Smallest and greatest value as JSON values; (None, None) if there are none to tell."""
        if self.low is None:
            return None, None
        low, high = self._json(self.low, False), self._json(self.high, True)
        if kinds.is_floating(self.type):
            # Either zero may stand for both.
            low, high = -0.0 if low == 0 else low, 0.0 if high == 0 else high
        return (None, None) if low is None or high is None else (low, high)

    def _json(self, value: Any, up: bool) -> Any:
        if isinstance(value, str):
            return truncate_max(value) if up else truncate_min(value)
        if kinds.is_timestamp(self.type):
            return format_timestamp(value, self.type.tz is not None, up)
        if isinstance(value, datetime.date):
            return value.isoformat()
        return None if isinstance(value, float) and not math.isfinite(value) else value


@dataclass
class FileStatistics:
    """Statistics of one file while it is being written.

    Attributes:
        columns: statistics of each column that readers skip by.
        rows: rows so far.
    """

    columns: dict[str, ColumnStatistics]
    rows: int = field(default=0)

    @classmethod
    def of(cls, schema: pa.Schema, names: Sequence[str]) -> FileStatistics:
        """Empty statistics of these columns of a file."""
        return cls({name: ColumnStatistics(schema.field(name).type) for name in names})

    def add(self, rows: pa.Table) -> None:
        """Takes in one row group; columns must have the plain types of the file (or dictionaries of
        them).
        """
        self.rows += rows.num_rows
        for name, column in self.columns.items():
            values = rows[name]
            column.add(_distinct(values) if kinds.is_dictionary(values.type) else values)

    def to_json(self) -> str:
        """The `stats` text of an add action."""
        bounds = {name: column.bounds() for name, column in self.columns.items()}
        known = {name: pair for name, pair in bounds.items() if pair[0] is not None}
        return json.dumps(
            {
                "numRecords": self.rows,
                "minValues": {name: low for name, (low, _) in known.items()},
                "maxValues": {name: high for name, (_, high) in known.items()},
                "nullCount": {name: column.nulls for name, column in self.columns.items()},
            },
            ensure_ascii=False,
        )


def _distinct(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """The used values of a dictionary column, with its nulls (a dictionary may hold values that no
    row has).
    """
    return values.cast(values.type.value_type)
