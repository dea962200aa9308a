"""Dates and times of Parquet files whose writer counted in the legacy calendar: Julian before
1582-10-15, Gregorian from then on.

Spark 2, Hive and `datetimeRebaseModeInWrite=LEGACY` write so, and the footer says it. Everybody
else counts in the Gregorian calendar throughout, so a count means another day. Owns which files
these are, and what their counts mean. Must not know who reads them, nor why.

Source: Apache Spark, `RebaseDateTime` and `DataSourceUtils.datetimeRebaseSpec`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pyarrow import compute
from pyarrow import types as kinds

from batchinfer.errors import InputError

if TYPE_CHECKING:
    import pyarrow.parquet as pq

# Its functions are generated at import, so type checkers do not see them.
pc: Any = compute

_VERSION, _ZONE = b"org.apache.spark.version", b"org.apache.spark.timeZone"
_LEGACY, _LEGACY_INT96 = b"org.apache.spark.legacyDateTime", b"org.apache.spark.legacyINT96"
_HIVE, _HIVE_ZONE = b"writer.date.proleptic", b"writer.time.zone"
# 1582-10-15, the first Gregorian day, in days since 1970.
_FIRST_GREGORIAN = -141_427
# Number of 1970-01-01 among the days that Julian years are told from.
_EPOCH = 2_440_588
_DAY_S = 86_400
_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
# Java's time zones know no other clocks than today's before 1900-01-01.
_CLOCKS_KNOWN_S = -2_208_988_800
_OFFSET = re.compile(r"(?:UTC|GMT|UT)?([+-])(\d{1,2})(?::?(\d{2}))?(?::?(\d{2}))?")


@dataclass(frozen=True)
class LegacyCalendar:
    """What of a file is counted in the legacy calendar.

    Attributes:
        zone: that the writer's clock was in.
        dates, times: whether dates, and whether times are.
        int96: columns of the old timestamp; whether they are legacy is said apart from the others.
        old_int96: whether they are.
        unsaid: nobody says whether they are: days before 1582-10-15 in them are refused.
    """

    zone: str
    dates: bool
    times: bool
    int96: frozenset[str]
    old_int96: bool
    unsaid: bool = False

    def rebased(self, rows: pa.RecordBatch, path: str) -> pa.RecordBatch:
        """The rows with the days and times that the writer meant.

        Args:
            rows: some columns of the file, as they were read.
            path: of the file, for messages.

        Runs on: driver | executor.

        Raises:
            InputError: times of a zone whose old clocks are not known, or in a calendar that the
                file does not tell.
        """
        columns = [
            self._column(values, name, path)
            for name, values in zip(rows.schema.names, rows.columns, strict=True)
        ]
        return pa.RecordBatch.from_arrays(columns, names=rows.schema.names)

    def _column(self, values: pa.Array, name: str, path: str) -> pa.Array:
        is_int96 = name in self.int96
        counts = _Counts(
            self.dates, self.old_int96 if is_int96 else self.times, is_int96, self.zone
        )
        if is_int96 and self.unsaid and _holds_old_days(values):
            raise InputError(
                f"{path}: column {name!r} has times before 1582-10-15 in INT96, of a file of Hive, "
                "which does not say in which calendar they are counted; allowed: dates, or later "
                "times"
            )
        try:
            return _rebased(values, counts)
        except ValueError as error:
            raise InputError(f"{path}: column {name!r}: {error}") from error


@dataclass(frozen=True)
class _Counts:
    """Of one column: whether its dates and its times are legacy, and whether times without a zone
    are such times. Only INT96 does not say: other times without a zone are younger than that
    calendar.
    """

    dates: bool
    times: bool
    without_zone: bool
    zone: str


def calendar_of(parquet: pq.ParquetFile) -> LegacyCalendar | None:
    """The legacy calendar, if the file's footer tells that its writer counted in it.

    Runs on: driver | executor.
    """
    told: dict[bytes, bytes] = parquet.metadata.metadata or {}
    version = told.get(_VERSION)
    if version is None:
        return _of_hive(parquet, told)
    dates = _is_before(version, (3, 0)) or _LEGACY in told
    old_int96 = _is_before(version, (3, 1)) or _LEGACY_INT96 in told
    if not dates and not old_int96:
        return None
    zone = told.get(_ZONE, b"UTC").decode()
    return LegacyCalendar(zone, dates, dates, int96_columns(parquet), old_int96)


def is_of_hive(told: Mapping[bytes, bytes]) -> bool:
    """Whether a footer's keys are those of Hive.

    Source: Apache Hive, `DataWritableWriteSupport`.
    """
    return _HIVE in told or _HIVE_ZONE in told


def _of_hive(parquet: pq.ParquetFile, told: dict[bytes, bytes]) -> LegacyCalendar | None:
    """Hive says it of dates alone; how it counts old days in INT96, nobody says."""
    int96 = int96_columns(parquet) if is_of_hive(told) else frozenset[str]()
    dates = told.get(_HIVE) == b"false"
    if not dates and not int96:
        return None
    return LegacyCalendar("UTC", dates, False, int96, False, unsaid=True)


def _is_before(version: bytes, first: tuple[int, int]) -> bool:
    found = re.match(rb"(\d+)\.(\d+)", version)
    return found is not None and (int(found[1]), int(found[2])) < first


def int96_columns(parquet: pq.ParquetFile) -> frozenset[str]:
    """The columns with INT96 timestamps, at any depth."""
    leaves = [parquet.schema.column(place) for place in range(len(parquet.schema))]
    names = parquet.schema_arrow.names
    # Names may hold dots themselves: a leaf such as `a.list.element` is of the column `a`.
    return frozenset(
        next(name for name in names if leaf.path == name or leaf.path.startswith(f"{name}."))
        for leaf in leaves
        if leaf.physical_type == "INT96"
    )


def _holds_old_days(values: pa.Array) -> bool:
    """Whether any time, at any depth, is before the first Gregorian day."""
    type_ = values.type
    if kinds.is_timestamp(type_):
        first = pc.min(values.cast(pa.int64())).as_py()
        return first is not None and first < _FIRST_GREGORIAN * _DAY_S * _SECOND[type_.unit]
    if kinds.is_struct(type_):
        return any(map(_holds_old_days, values.flatten()))
    if kinds.is_map(type_):
        return _holds_old_days(values.keys) or _holds_old_days(values.items)
    return kinds.is_nested(type_) and _holds_old_days(values.flatten())


def _rebased(values: pa.Array, counts: _Counts) -> pa.Array:
    """The values, and those inside of them, with new counts."""
    type_ = values.type
    if kinds.is_dictionary(type_):
        return _rebased(values.dictionary_decode(), counts)
    if kinds.is_date32(type_):
        return _counted(values, pa.int32(), gregorian_days) if counts.dates else values
    if kinds.is_timestamp(type_):
        if not counts.times or (type_.tz is None and not counts.without_zone):
            return values
        unit = _SECOND[type_.unit]
        return _counted(values, pa.int64(), lambda found: gregorian_times(found, counts.zone, unit))
    return _nested(values, counts) if kinds.is_nested(type_) and _holds_days(type_) else values


def _holds_days(type_: pa.DataType) -> bool:
    if kinds.is_date32(type_) or kinds.is_timestamp(type_):
        return True
    return any(_holds_days(type_.field(place).type) for place in range(type_.num_fields))


def _nested(values: pa.Array, counts: _Counts) -> pa.Array:
    type_ = values.type
    if values.offset:
        # Offsets of a slice and a mask do not go together; taking the rows makes an array of its
        # own.
        values = values.take(pa.array(range(len(values)), pa.int64()))
    if kinds.is_struct(type_):
        parts = [_rebased(values.field(place), counts) for place in range(type_.num_fields)]
        return pa.StructArray.from_arrays(parts, fields=list(type_), mask=values.is_null())
    if kinds.is_map(type_):
        keys, items = _rebased(values.keys, counts), _rebased(values.items, counts)
        return pa.MapArray.from_arrays(values.offsets, keys, items, type_, mask=values.is_null())
    return pa.ListArray.from_arrays(
        values.offsets, _rebased(values.values, counts), type_, mask=values.is_null()
    )


def _counted(values: pa.Array, counted_as: pa.DataType, rule: Any) -> pa.Array:
    counts = pc.fill_null(values.cast(counted_as), 0).to_numpy(zero_copy_only=False)
    found = rule(counts)
    if found is counts:
        return values
    return pa.array(found, counted_as, mask=values.is_null().to_numpy(zero_copy_only=False)).cast(
        values.type
    )


def gregorian_days(days: np.ndarray) -> np.ndarray:
    """The days since 1970 of the same dates in the Gregorian calendar; the array itself, where none
    is another.

    Args:
        days: `(values,)` of integers: days since 1970 as the legacy calendar counts them.
    """
    old = days < _FIRST_GREGORIAN
    if not old.any():
        return days
    found = days.copy()
    found[old] = _gregorian(days[old].astype(np.int64))
    return found


def _gregorian(days: np.ndarray) -> np.ndarray:
    """Source: C. Tøndering, Frequently Asked Questions about Calendars, "The Julian period"."""
    number = days + _EPOCH + 32_082
    year = (4 * number + 3) // 1461
    of_year = number - 1461 * year // 4
    month = (5 * of_year + 2) // 153
    day = of_year - (153 * month + 2) // 5
    # The first of the month, and the days behind it: 29 February of 1000 is the first of March.
    leaps = year // 4 - year // 100 + year // 400
    return 365 * year + leaps + (153 * month + 2) // 5 + day - 32_045 - _EPOCH + 1


def gregorian_times(counts: np.ndarray, zone: str, per_second: int) -> np.ndarray:
    """The moments that the same clock shows in the Gregorian calendar; the array itself, where none
    is another.

    Args:
        counts: `(values,)` int64: since 1970 UTC, as the legacy calendar counts.
        zone: of the writer's clock.
        per_second: counts of a second.

    Raises:
        ValueError: counts before 1900, of a zone that is not known.
    """
    if not (counts < _CLOCKS_KNOWN_S * per_second).any():
        return counts
    clock = _clock(zone)
    found = counts.copy()
    local = np.floor_divide(counts, per_second) + clock.offset_s
    old = local < _FIRST_GREGORIAN * _DAY_S
    days = np.floor_divide(local[old], _DAY_S)
    found[old] += ((_gregorian(days) - days) * _DAY_S + clock.add_s) * per_second
    moments = np.array([at for at, _ in clock.switches], np.int64) * per_second
    added = np.array([clock.add_s, *(seconds for _, seconds in clock.switches)], np.int64)
    found[~old] += added[np.searchsorted(moments, counts[~old], side="right")] * per_second
    return found


@dataclass(frozen=True)
class _Clock:
    """How a zone's clock was taken to go before 1900, and what is to be added to its times."""

    offset_s: int
    add_s: int
    switches: tuple[tuple[int, int], ...]


def _clock(zone: str) -> _Clock:
    known = _clocks().get(zone)
    if known is not None:
        return known
    fixed = _OFFSET.fullmatch(zone)
    if fixed is None:
        raise ValueError(
            f"it has times before 1900, counted in the legacy calendar and in the time zone "
            f"{zone!r}; allowed: zones that Spark knows, or files written with "
            "spark.sql.parquet.datetimeRebaseModeInWrite=CORRECTED"
        )
    hours, minutes, seconds = (int(part or 0) for part in fixed.groups()[1:])
    offset_s = hours * 3600 + minutes * 60 + seconds
    return _Clock(-offset_s if fixed[1] == "-" else offset_s, 0, ())


@lru_cache(maxsize=1)
def _clocks() -> dict[str, _Clock]:
    found = {"Z": _Clock(0, 0, ())}
    for line in (files("batchinfer") / "legacy_zones.txt").read_text("utf-8").splitlines():
        if line.startswith("#"):
            continue
        offset_s, add_s, *rest = line.split()
        switches = [tuple(map(int, word.split(":"))) for word in rest if word[0] in "-0123456789"]
        clock = _Clock(int(offset_s), int(add_s), tuple((at, add) for at, add in switches))
        found |= dict.fromkeys(rest[len(switches) :], clock)
    return found
