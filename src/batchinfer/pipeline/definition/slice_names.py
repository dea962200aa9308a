"""Slices as a user names them: which names a pipeline allows, and which lie between two of them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from batchinfer.config.sources import SliceColumn, SliceRule
from batchinfer.errors import ConfigError

_FORMATS = {"hour": "%Y-%m-%dT%H", "day": "%Y-%m-%d", "month": "%Y-%m"}
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
    try:
        parsed = dt.datetime.strptime(text, _FORMATS[unit])
    except ValueError:
        parsed = None
    if parsed is None or parsed.strftime(_FORMATS[unit]) != text:
        raise ConfigError(f"{option}: got {text!r}; allowed: a {unit} such as {_EXAMPLES[unit]}")
    return text


def slices_between(rule: SliceRule, landed: Iterable[str], start: str, end: str) -> list[str]:
    """Landed slices from start to end, both included, and every {hour, day, month} between that has
    not landed, in order.

    Raises:
        ConfigError: start after end.
    """
    if start > end:
        raise ConfigError(
            f"--from, --to: got {start} and {end}; allowed: --from no later than --to"
        )
    inside = {name for name in landed if start <= name <= end}
    return sorted(inside | set(_calendar(unit_of(rule), start, end)))


def _calendar(unit: str | None, start: str, end: str) -> Iterable[str]:
    if unit is None:
        return
    form = _FORMATS[unit]
    moment, last = dt.datetime.strptime(start, form), dt.datetime.strptime(end, form)
    while moment <= last:
        yield moment.strftime(form)
        if unit == "month":
            moment = (moment + dt.timedelta(days=32)).replace(day=1)
        else:
            moment += dt.timedelta(hours=1) if unit == "hour" else dt.timedelta(days=1)
