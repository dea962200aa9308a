"""Turns text into timestamps: ISO 8601, a strptime format, or a number since 1970.

Owns formats, zones and the missing year of old logs. Must not know columns or files. A format of
the common directives becomes a regular expression, so that whole columns are read at once; any
other goes through Python's strptime, once for each distinct value.
"""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any

import pyarrow as pa
from pyarrow import compute

from batchinfer.config.time_formats import EPOCH_DIGITS
from batchinfer.sources.text.casts import cast_or_null

# Its functions are generated at import, so type checkers do not see them.
pc: Any = compute

UTC_US = pa.timestamp("us", tz="UTC")
_NAIVE = pa.timestamp("us")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_FULL_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september",
    "october", "november", "december",
)  # fmt: skip
# Each as Python's strptime reads it; those with an upper-case key of the format keep it as the
# group's name.
_DIRECTIVES = {
    "Y": r"(?P<Y>[0-9]{4})",
    "m": r"(?P<m>1[0-2]|0[1-9]|[1-9])",
    "d": r"(?P<d>3[0-1]|[1-2][0-9]|0[1-9]|[1-9]| [1-9])",
    "H": r"(?P<H>2[0-3]|[0-1][0-9]|[0-9])",
    "M": r"(?P<M>[0-5][0-9]|[0-9])",
    "S": r"(?P<S>[0-5][0-9]|[0-9])",
    "f": r"(?P<f>[0-9]{1,6})",
    "z": r"(?P<z>[+-](?:[01][0-9]|2[0-3]):?[0-5][0-9]|Z)",
    "b": r"(?P<b>" + "|".join(_MONTHS) + ")",
    "B": r"(?P<B>" + "|".join(sorted(_FULL_MONTHS, key=len, reverse=True)) + ")",
    "%": "%",
}
_EPOCH_UNITS = {"epoch_s": "seconds", "epoch_ms": "milliseconds", "epoch_us": "microseconds"}
# A fraction needs a digit in front of it once it is written out; an exponent of two digits reaches
# any year.
_EXPONENT = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,2})?")
_NAMES_YEAR = re.compile(r"%[YyGcx]").search
_FIRST = datetime.datetime(1, 1, 1, tzinfo=datetime.timezone.utc)
_LAST = datetime.datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=datetime.timezone.utc)


@dataclass(frozen=True)
class TimestampRule:
    """How timestamps are written.

    Attributes:
        format: strptime format; `epoch_s`, `epoch_ms` or `epoch_us`: seconds, milliseconds or
            microseconds since 1970 in UTC, with or without a fraction; None for ISO 8601
            (`2015-05-18`, `2015-05-18 07:05:03.25`, `2015-05-18T07:05:03+02:00`).
        zone: of timestamps that do not name theirs.
        year: for formats without one.
        latest: where the year is a guess, a later timestamp than this belongs to the year before.
    """

    format: str | None = None
    zone: str = "UTC"
    year: int | None = None
    latest: datetime.datetime | None = None

    @property
    def lacks_year(self) -> bool:
        """True if its timestamps do not name their year."""
        return self.format is not None and not self.is_epoch and not _NAMES_YEAR(self.format)

    @property
    def is_epoch(self) -> bool:
        """True if its timestamps are numbers."""
        return self.format in EPOCH_DIGITS

    def __str__(self) -> str:
        """What is allowed, for messages."""
        if self.format is not None and self.is_epoch:
            return f"{_EPOCH_UNITS[self.format]} since 1970, as a number of the years 1 to 9999"
        written = (
            "ISO 8601, such as 2015-05-18 07:05:03" if self.format is None else repr(self.format)
        )
        return written if self.zone == "UTC" else f"{written}, a time that {self.zone} has"


def parse_timestamps(text: pa.Array, rule: TimestampRule) -> pa.Array:
    """Timestamps (microseconds, UTC) of a string array; null where the text is null or no timestamp
    of the years 1 to 9999.

    A local time that a zone has twice is the earlier one; one that it skips is none.

    Runs on: executor.
    """
    if rule.format is None:
        return _in_years(_iso(text, rule.zone))
    if rule.format in EPOCH_DIGITS:
        return _in_years(_since_1970(text, EPOCH_DIGITS[rule.format]))
    if not rule.lacks_year or rule.year is None:
        return _in_years(_formatted(text, rule.format, rule.zone))
    this = _in_years(_formatted(text, rule.format, rule.zone, rule.year))
    if rule.latest is None:
        return this
    before = _formatted(text, rule.format, rule.zone, rule.year - 1)
    fits = pc.less_equal(this, pa.scalar(rule.latest, UTC_US))
    return pc.if_else(pc.fill_null(fits, False), this, before)


def _iso(text: pa.Array, zone: str) -> pa.Array:
    try:
        return _local(text.cast(_NAIVE), zone)
    except pa.ArrowInvalid:
        pass
    text = pc.replace_substring_regex(text, r"(\.[0-9]{6})[0-9]+", r"\1")
    zoned = pc.match_substring_regex(text, r"[0-9]{2}:[0-9]{2}.*(?:Z|[+-][0-9]{2}(?::?[0-9]{2})?)$")
    nothing = pa.scalar(None, pa.string())
    return pc.coalesce(
        cast_or_null(pc.if_else(zoned, text, nothing), UTC_US),
        _local(cast_or_null(pc.if_else(zoned, nothing, text), _NAIVE), zone),
    )


def _since_1970(text: pa.Array, digits: int) -> pa.Array:
    """Numbers as timestamps, without a step through floating point; what is behind a microsecond is
    dropped, as in ISO 8601.

    Args:
        digits: that a microsecond is behind the unit.
    """
    parts = pc.extract_regex(text, r"^(?P<sign>[+-]?)(?P<whole>[0-9]+)(?:\.(?P<fraction>[0-9]*))?$")
    odd = pc.and_(pc.is_valid(text), pc.is_null(parts))
    if pc.any(odd).as_py():
        plain = [_without_exponent(value) for value in text.filter(odd).to_pylist()]
        return _since_1970(pc.replace_with_mask(text, odd, pa.array(plain, pa.string())), digits)
    whole, fraction = (pc.struct_field(parts, name) for name in ("whole", "fraction"))
    near = pc.utf8_slice_codeunits(pc.utf8_rpad(fraction, digits, "0"), 0, digits) if digits else ""
    micros = cast_or_null(pc.binary_join_element_wise(whole, near, ""), pa.int64())
    below = pc.match_substring_regex(pc.utf8_slice_codeunits(fraction, digits), "[1-9]")
    # Before 1970 dropping digits means a later time, unless one microsecond goes with them.
    negative = pc.subtract(pc.negate(micros), pc.cast(below, pa.int64()))
    return pc.if_else(pc.equal(pc.struct_field(parts, "sign"), "-"), negative, micros).cast(UTC_US)


def _without_exponent(value: str) -> str | None:
    """A number such as `1.7e9` written out, or None if it is none, or of no year there is."""
    match = _EXPONENT.fullmatch(value)
    return None if match is None else f"{Decimal(value):f}"


def _local(values: pa.Array, zone: str) -> pa.Array:
    if zone == "UTC":
        return values.cast(UTC_US)
    before, behind = (
        pc.assume_timezone(values, zone, ambiguous="earliest", nonexistent=side).cast(UTC_US)
        for side in ("earliest", "latest")
    )
    # Where clocks go forward the two differ. No clock of that zone shows such a time: which moment
    # it was nobody can tell.
    return pc.if_else(pc.equal(before, behind), before, pa.scalar(None, UTC_US))


def _formatted(text: pa.Array, format_: str, zone: str, year: int | None = None) -> pa.Array:
    pattern = format_pattern(format_)
    if pattern is None:
        return _by_strptime(text, format_, zone, year)
    parts = pc.extract_regex(text, pattern)
    names = {field.name for field in parts.type}

    def part(name: str, default: str, width: int = 2) -> pa.Array | pa.Scalar:
        if name not in names:
            return pa.scalar(default)
        return pc.utf8_lpad(pc.utf8_ltrim_whitespace(pc.struct_field(parts, name)), width, "0")

    if "b" in names or "B" in names:
        name, known = ("b", _MONTHS) if "b" in names else ("B", _FULL_MONTHS)
        place = pc.index_in(pc.utf8_lower(pc.struct_field(parts, name)), value_set=pa.array(known))
        month = pc.take(pa.array([f"{number:02}" for number in range(1, 13)]), place)
    else:
        month = part("m", "01")
    fraction = pc.utf8_rpad(pc.struct_field(parts, "f"), 6, "0") if "f" in names else pa.scalar("0")
    day = pc.binary_join_element_wise(
        part("Y", f"{year or 1900:04}", 4), month, part("d", "01"), "-"
    )
    time = pc.binary_join_element_wise(part("H", "00"), part("M", "00"), part("S", "00"), ":")
    stamp = pc.binary_join_element_wise(
        day, "T", time, ".", fraction, pc.struct_field(parts, "z") if "z" in names else "", ""
    )
    stamp = pc.if_else(pc.is_valid(parts), stamp, pa.scalar(None, pa.string()))
    return (
        cast_or_null(stamp, UTC_US) if "z" in names else _local(cast_or_null(stamp, _NAIVE), zone)
    )


@lru_cache(maxsize=64)
def format_pattern(format_: str) -> str | None:
    """The RE2 pattern of a strptime format, or None if it holds a directive that is left to
    Python's strptime.
    """
    pattern, seen = "", set()
    for piece in re.findall(r"%.|\s+|[^%\s]+|%", format_):
        if not piece.startswith("%"):
            pattern += r"\s+" if piece.isspace() else re.escape(piece)
        elif piece[1:] not in _DIRECTIVES or piece[1:] in seen:
            return None
        else:
            seen.add(piece[1:] if piece != "%%" else "")
            pattern += _DIRECTIVES[piece[1:]]
    return None if len(seen & {"m", "b", "B"}) > 1 else f"(?i)^{pattern}$"


def _by_strptime(text: pa.Array, format_: str, zone: str, year: int | None) -> pa.Array:
    distinct = pc.unique(text)
    parsed = [
        None if value is None else _strptime(value, format_, year) for value in distinct.to_pylist()
    ]
    zoned = [value if value is not None and value.tzinfo else None for value in parsed]
    naive = [value if value is not None and not value.tzinfo else None for value in parsed]
    values = pc.coalesce(pa.array(zoned, UTC_US), _local(pa.array(naive, _NAIVE), zone))
    return pc.take(values, pc.index_in(text, value_set=distinct))


def _strptime(value: str, format_: str, year: int | None) -> datetime.datetime | None:
    try:
        if year is not None:
            return datetime.datetime.strptime(f"{year:04} {value}", f"%Y {format_}")
        return datetime.datetime.strptime(value, format_)
    except (ValueError, OverflowError):
        return None


def _in_years(values: pa.Array) -> pa.Array:
    wrong = pc.or_(
        pc.less(values, pa.scalar(_FIRST, UTC_US)), pc.greater(values, pa.scalar(_LAST, UTC_US))
    )
    return pc.if_else(wrong, pa.scalar(None, UTC_US), values) if pc.any(wrong).as_py() else values
