"""Dates and timestamps as they stand in text.

Owns the forms that Spark reads, and the calendar behind them: Gregorian for all years. Knows no
column.
Source: Spark 4.1, `SparkDateTimeUtils.stringToDate` and `parseTimestampString`.
"""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import datetime

_DATE = re.compile(r"([+-]?\d{4,7})(?:-(\d{1,2})(?:-(\d{1,2})([ T].*)?)?)?", re.ASCII | re.DOTALL)
_MOMENT = re.compile(
    r"([+-]?\d{4,6})(?:-(\d{1,2})(?:-(\d{1,2})"
    r"(?:[ T](\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:\.(\d*))?)?\s*(\S.*)?)?)?)?",
    re.ASCII,
)
_OFFSET = re.compile(r"(?:UTC|GMT|UT)?([+-])(\d{1,2})(?::?(\d{2}))?(?::?(\d{2}))?", re.ASCII)
_DAY_US = 86_400_000_000
_MOST_OFFSET_S = 18 * 3600
_INT = 2**31
_BIGINT = 2**63
_SPACES = "".join(map(chr, range(33))) + "\x7f"
"""What Spark cuts off before it reads a value: space and control characters."""


def trimmed(text: str) -> str:
    """Without the spaces and control characters around it, which Spark leaves out of account."""
    return text.strip(_SPACES)


def days_from_civil(year: int, month: int, day: int) -> int | None:
    """Days since 1970-01-01; None: there is no such day."""
    if not 1 <= month <= 12:
        return None
    cycle, in_cycle = divmod(year, 400)
    if not 1 <= day <= monthrange(in_cycle + 400, month)[1]:
        return None
    of_cycle = datetime(in_cycle + 400, month, day).toordinal() - 146_097
    return cycle * 146_097 + of_cycle - 719_163


def day_of(text: str) -> int | None:
    """Days since 1970-01-01 that a text says; None: it is no date."""
    found = _DATE.fullmatch(trimmed(text))
    if found is None:
        return None
    days = days_from_civil(int(found[1]), int(found[2] or 1), int(found[3] or 1))
    return days if days is not None and -_INT <= days < _INT else None


def micros_of(text: str, zoned: bool) -> int | None:
    """Microseconds since 1970-01-01 UTC that a text says; without a zone it is read as UTC.

    A zone of `zoned=False` is left out of account, as Spark does. None: it is no timestamp, or its
    zone is neither `Z`, `UTC`, `GMT` nor an offset such as `+02:00`.
    """
    found = _MOMENT.fullmatch(trimmed(text))
    if found is None:
        return None
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    days = days_from_civil(int(year), int(month or 1), int(day or 1))
    clock = (int(hour or 0), int(minute or 0), int(second or 0))
    offset_s = _offset_s(zone) if zone else 0
    if days is None or offset_s is None or clock[0] > 23 or clock[1] > 59 or clock[2] > 59:
        return None
    in_day_s = clock[0] * 3600 + clock[1] * 60 + clock[2] - (offset_s if zoned else 0)
    micros = days * _DAY_US + in_day_s * 1_000_000 + int((fraction or "")[:6].ljust(6, "0"))
    return micros if -_BIGINT <= micros < _BIGINT else None


def _offset_s(zone: str) -> int | None:
    if zone in ("Z", "UTC", "GMT", "UT"):
        return 0
    found = _OFFSET.fullmatch(zone)
    if found is None or int(found[3] or 0) > 59 or int(found[4] or 0) > 59:
        return None
    seconds = int(found[2]) * 3600 + int(found[3] or 0) * 60 + int(found[4] or 0)
    if seconds > _MOST_OFFSET_S:
        return None
    return -seconds if found[1] == "-" else seconds
