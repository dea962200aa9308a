"""The narrowest type that all values of a column of text fit.

Owns the order in which types are tried and what is said of the first value that does not fit. The
casts are those of the sources (`sources/text/columns.py`): what is said to fit here lands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pyarrow import compute

from batchinfer.sources.text.columns import TextRule, convert
from batchinfer.sources.text.timestamps import UTC_US, TimestampRule
from batchinfer.starting.sample import told

# Its functions are generated at import, so type checkers do not see them.
pc: Any = compute

# Ways to write times that are tried where ISO 8601 does not fit.
TIME_FORMATS = tuple(
    f"{day}{time}"
    for day in ("%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y-%m-%d")
    for time in ("", " %H:%M", " %H:%M:%S")
    if day != "%Y-%m-%d" or time == " %H:%M"
)
_ARROW = {
    "boolean": pa.bool_(),
    "long": pa.int64(),
    "double": pa.float64(),
    "date": pa.date32(),
    "timestamp": UTC_US,
    "string": pa.string(),
}
_WHAT = {
    "boolean": "neither true nor false",
    "long": "no whole number",
    "double": "no number",
    "date": "no date alone",
    "timestamp": "no time",
}
_NUMBER = r"^[+-]?([0-9]+([.,][0-9]*)?|[.,][0-9]+)([eE][+-]?[0-9]+)?$"
_MOSTLY = 0.5

Place = Callable[[int], str]


@dataclass(frozen=True)
class Judged:
    """A type, and why it is no narrower one; `format` is that of its times, if it has one."""

    type: str
    reasons: tuple[str, ...] = ()
    format: str | None = None


def arrow_type_of(type_: str) -> pa.DataType:
    """The Arrow type that a column of such a type lands with."""
    return _ARROW[type_]


def judge_text(text: pa.Array, place: Place, decimal: str = ".") -> Judged:
    """The narrowest type of a column of text.

    Args:
        text: string array, nulls already marked.
        place: what to call the record of a row, such as `line 17`.
        decimal: what stands before decimals.

    Runs on: driver.
    """
    values = pc.unique(text.drop_null())
    # An empty text in quotes is null in a column that is not text.
    written = values.filter(pc.not_equal(values, ""))
    if not len(written):
        return Judged("string", ("no record that was read has a value",))
    judge = _Judge(text, written, place, decimal)
    return judge.boolean() or judge.number() or judge.time() or Judged("string", judge.why_text())


def times_in(text: pa.Array) -> list[str]:
    """The formats that all values of a column fit; several, where day and month cannot be told
    apart.
    """
    values = pc.unique(text.drop_null())
    written = values.filter(pc.not_equal(values, ""))
    if not len(written) or not _all_match(written, r"^[0-9]{1,4}[-/.][0-9]{1,2}[-/.][0-9]{1,4}"):
        return []
    return [
        format_
        for format_ in TIME_FORMATS
        if first_misfit(written, UTC_US, TextRule(timestamp=TimestampRule(format_))) is None
    ]


def first_misfit(values: pa.Array, type_: pa.DataType, rule: TextRule) -> str | None:
    """The first value that the sources' own cast refuses; None: all fit."""
    start, size = 0, 16
    while start < len(values):
        chunk = values[start : start + size]
        _, bad = convert(chunk, type_, rule)
        if bad is not None:
            return chunk.filter(bad)[0].as_py()
        start, size = start + size, size * 8
    return None


def _all_match(values: pa.Array, pattern: str) -> bool:
    trimmed = pc.ascii_trim(values, " \t")
    return bool(pc.all(pc.match_substring_regex(trimmed, pattern)).as_py())


def _share(values: pa.Array, pattern: str) -> float:
    trimmed = pc.ascii_trim(values, " \t")
    return pc.mean(pc.match_substring_regex(trimmed, pattern).cast(pa.int8())).as_py()


@dataclass(frozen=True)
class _Judge:
    text: pa.Array
    written: pa.Array
    place: Place
    decimal: str

    def _misfit(self, type_: str) -> str | None:
        rule = TextRule(self.decimal)
        return first_misfit(self.written, _ARROW[type_], rule)

    def _at(self, value: str) -> str:
        return self.place(pc.index(self.text, value).as_py())

    def _said(self, type_: str, value: str, what: str) -> tuple[str, ...]:
        return (f"{type_}: {self._at(value)} holds {told(value)}, which is {what}",)

    def boolean(self) -> Judged | None:
        return Judged("boolean") if _all_match(self.written, "(?i)^(true|false)$") else None

    def number(self) -> Judged | None:
        if _share(self.written, "[0-9]") == 0 or self._misfit("double") is not None:
            return None
        if why := self._why_no_number():
            return Judged("string", why)
        broken = self._misfit("long")
        if broken is None:
            return Judged("long")
        return Judged("double", self._said("double", broken, _WHAT["long"]))

    def _why_no_number(self) -> tuple[str, ...]:
        """Numbers that would be others as numbers: they are words, such as a postal code."""
        trimmed = pc.ascii_trim(self.written, " \t")
        zero = self.written.filter(pc.match_substring_regex(trimmed, r"^[+-]?0[0-9]"))
        if len(zero):
            return self._said("string", zero[0].as_py(), "a number only without its first 0")
        digits = self.written.filter(pc.match_substring_regex(trimmed, r"^[+-]?[0-9]{16,}$"))
        large = first_misfit(digits, pa.int64(), TextRule()) if len(digits) else None
        if large is not None:
            return self._said("string", large, "too large for a long")
        return ()

    def time(self) -> Judged | None:
        if not _all_match(self.written, r"^[0-9]{4}-[0-9]{2}-[0-9]{2}"):
            return None
        no_date = self._misfit("date")
        if no_date is None:
            return Judged("date")
        if self._misfit("timestamp") is not None:
            return None
        return Judged("timestamp", self._said("timestamp", no_date, _WHAT["date"]))

    def why_text(self) -> tuple[str, ...]:
        """What is in the way of the type that most values have; nothing to say of plain text."""
        tries: Sequence[tuple[str, str]] = (
            ("double", _NUMBER),
            ("timestamp", r"^[0-9]{4}-[0-9]{2}-[0-9]{2}"),
            ("boolean", "(?i)^(true|false)$"),
        )
        for type_, pattern in tries:
            if _share(self.written, pattern) >= _MOSTLY:
                misfit = self._misfit(type_)
                if misfit is None:
                    trimmed = pc.ascii_trim(self.written, " \t")
                    others = pc.invert(pc.match_substring_regex(trimmed, pattern))
                    misfit = self.written.filter(others)[0].as_py()
                return self._said("string", misfit, _WHAT[type_])
        return ()
