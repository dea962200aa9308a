"""`date_parts`: numbers from a timestamp or a date.

Owns the names and ranges of the parts. All are taken in UTC; a date counts as its midnight.
"""

from __future__ import annotations

from functools import cache
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field, field_validator

from batchinfer.transforms.column import TIMES, Column, is_arrow
from batchinfer.transforms.step import Fields, RowStep

Part = Literal[
    "year", "quarter", "month", "day", "day_of_year", "weekday", "hour", "minute", "second"
]

_CYCLES: dict[str, tuple[int, int]] = {
    "quarter": (1, 4),
    "month": (1, 12),
    "day": (1, 31),
    "day_of_year": (1, 366),
    "weekday": (0, 7),
    "hour": (0, 24),
    "minute": (0, 60),
    "second": (0, 60),
}
"""First value and length of each part that comes round again."""


class DateParts(RowStep):
    """`<column>_<part>` as double for each part; weekday 0 is Monday; seconds are whole; missing
    stays missing.

    With `cyclic`, each part that comes round again becomes `<column>_<part>_sin` and `_cos` of its
    angle instead, so that 23 h lies beside 0 h; `year` stays a number. The column itself stays as
    it is.

    Attributes:
        parts: that become columns, in UTC.
        cyclic: each part but the year becomes its sine and cosine.
    """

    name: ClassVar[str] = "date_parts"
    accepts: ClassVar[tuple[str, ...]] = TIMES
    in_place: ClassVar[bool] = False

    parts: tuple[Part, ...] = Field(("year", "month", "day", "weekday", "hour"), min_length=1)
    cyclic: bool = False

    @field_validator("parts")
    @classmethod
    def _once(cls, parts: tuple[Part, ...]) -> tuple[Part, ...]:
        if len(set(parts)) < len(parts):
            raise ValueError("each part once")
        return parts

    def makes(self) -> Fields:
        return {
            made: pa.float64()
            for name in self.columns
            for part in self.parts
            for made in self._names(name, part)
        }

    def _names(self, name: str, part: str) -> list[str]:
        whole = f"{name}_{part}"
        return [f"{whole}_sin", f"{whole}_cos"] if self.cyclic and part in _CYCLES else [whole]

    def transform(self, frame: dict[str, Column], prepared: Any) -> None:
        for name in self.columns:
            array = frame[name]
            seconds, gaps = (
                _seconds(array) if is_arrow(array) else (np.zeros(0, np.int64), np.zeros(0, bool))
            )
            for part in self.parts:
                values = _part(seconds, part).astype(np.float64)
                if gaps.any():
                    values[gaps] = np.nan
                if self.cyclic and part in _CYCLES:
                    first, cycle = _CYCLES[part]
                    angle = (values - first) * (2 * np.pi / cycle)
                    frame[f"{name}_{part}_sin"], frame[f"{name}_{part}_cos"] = (
                        np.sin(angle),
                        np.cos(angle),
                    )
                else:
                    frame[f"{name}_{part}"] = values


def _seconds(array: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Seconds since 1970 in UTC, rounded down, and which are missing."""
    gaps = array.is_null().to_numpy(zero_copy_only=False)
    if array.null_count:
        array = array.fill_null(
            pa.scalar(0, pa.int64()).cast(array.type)
            if pa.types.is_timestamp(array.type)
            else _epoch(array.type)
        )
    if pa.types.is_date32(array.type):
        return array.cast(pa.int32()).to_numpy().astype(np.int64) * 86_400, gaps
    units = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
    per_second = units[array.type.unit] if pa.types.is_timestamp(array.type) else 1_000
    return array.cast(pa.int64()).to_numpy() // per_second, gaps


@cache
def _epoch(type_: pa.DataType) -> pa.Scalar:
    """1970-01-01 as a date; made when it is first needed, because a cast loads pandas."""
    return pa.scalar(0, pa.int32() if type_ == pa.date32() else pa.int64()).cast(type_)


def _part(seconds: np.ndarray, part: str) -> np.ndarray:
    days = seconds // 86_400
    if part in ("hour", "minute", "second"):
        return {"hour": seconds // 3600 % 24, "minute": seconds // 60 % 60, "second": seconds % 60}[
            part
        ]
    if part == "weekday":
        # 1970-01-01 was a Thursday.
        return (days + 3) % 7
    dates = days.astype("datetime64[D]")
    years, months = dates.astype("datetime64[Y]"), dates.astype("datetime64[M]")
    if part == "year":
        return years.astype(np.int64) + 1970
    if part == "month":
        return months.astype(np.int64) % 12 + 1
    if part == "quarter":
        return months.astype(np.int64) % 12 // 3 + 1
    start = years if part == "day_of_year" else months
    return (dates - start.astype("datetime64[D]")).astype(np.int64) + 1
