"""Slices as a user names them: which names a pipeline allows, and which lie between two of them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from itertools import islice

from batchinfer.config.shapes.source_columns import SliceColumn, SliceRule
from batchinfer.errors import ConfigError
from batchinfer.schedule import UNIT_FORMATS, unit_name

# Of units between two slices, so many are told to have no data: 110 years of days.
MOST_LISTED = 40_000
_EXAMPLES = {"hour": "2026-11-21T07", "day": "2026-11-21", "month": "2026-11"}


def unit_of(rule: SliceRule) -> str | None:
    """hour, day or month; None where slices are plain values of a column."""
    return rule.unit if isinstance(rule, SliceColumn) else "day"


def is_slice_name(text: str) -> bool:
    """True for text that can name a slice on the command line, in a path and in a URL: no path
    syntax, no control characters.
    """
    return (
        text not in ("", ".", "..")
        and not any(mark in text for mark in "/\\")
        and all(ord(letter) >= 32 for letter in text)
    )


def names_slice(rule: SliceRule, text: str) -> bool:
    """Whether a pipeline can have a slice of this name: what lands and what commands take is
    one. Years are 0001 to 9999.
    """
    unit = unit_of(rule)
    return is_slice_name(text) if unit is None else _is_of_unit(unit, text)


def _is_of_unit(unit: str, text: str) -> bool:
    try:
        return unit_name(dt.datetime.strptime(text, UNIT_FORMATS[unit]), unit) == text
    except ValueError:
        return False


def check_slice(rule: SliceRule, text: str, option: str = "--slice") -> str:
    """The slice as given, if the pipeline can have such a slice.

    Raises:
        ConfigError: a value that is no date of the pipeline's unit, or that holds path syntax.
    """
    unit = unit_of(rule)
    if unit is None:
        if not is_slice_name(text):
            raise ConfigError(
                f"{option}: got {text!r}; allowed: a value of the slice column, without path syntax"
            )
        return text
    if not _is_of_unit(unit, text):
        raise ConfigError(f"{option}: got {text!r}; allowed: a {unit} such as {_EXAMPLES[unit]}")
    return text


def slices_between(rule: SliceRule, landed: Iterable[str], start: str, end: str) -> list[str]:
    """Landed slices from start to end, both included, and every {hour, day, month} between that has
    not landed, in order; of a span of more than `MOST_LISTED`, the first of those.

    Raises:
        ConfigError: start after end.
    """
    if start > end:
        raise ConfigError(
            f"--from, --to: got {start} and {end}; allowed: --from no later than --to"
        )
    inside = {name for name in landed if start <= name <= end}
    return sorted(inside | set(islice(_calendar(unit_of(rule), start, end), MOST_LISTED)))


def span_note(rule: SliceRule, start: str, end: str) -> str | None:
    """What is to be said of a span of which not every unit is listed."""
    unit = unit_of(rule)
    if unit is None or next(islice(_calendar(unit, start, end), MOST_LISTED, None), None) is None:
        return None
    return (
        f"between {start} and {end} lie more than {MOST_LISTED:,} {unit}s: of those without data "
        "only such among the first are listed; every slice that landed is scored"
    )


def _calendar(unit: str | None, start: str, end: str) -> Iterator[str]:
    if unit is None:
        return
    form = UNIT_FORMATS[unit]
    moment, last = dt.datetime.strptime(start, form), dt.datetime.strptime(end, form)
    while moment <= last:
        yield unit_name(moment, unit)
        following = next_moment(moment, unit)
        if following is None:
            return
        moment = following


def next_moment(moment: dt.datetime, unit: str) -> dt.datetime | None:
    """When the unit after this one begins; None after the last of the year 9999."""
    try:
        if unit == "month":
            return (moment + dt.timedelta(days=32)).replace(day=1)
        return moment + (dt.timedelta(hours=1) if unit == "hour" else dt.timedelta(days=1))
    except OverflowError:
        return None
