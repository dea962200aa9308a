"""When a pipeline runs by itself, and what a night does: five fields of cron, a calendar of
systemd, the night's steps.

Owns the meaning of `schedule:` in a pipeline file. Needs the standard library only, so that a
scheduler's own Python can import it; knows nothing of Kubernetes, Airflow or files.

Source: crontab(5), robfig/cron v3 (the Spark operator's), systemd.time(7).
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from batchinfer.errors import ConfigError

LATE_DAYS = 7
"""How far back a night looks for slices that got late records."""

MOST_OUTSIDE = 31
"""Slices that a night scores outside of its window, unless it is told another number."""

# How a time names the slice that its hour, day or month is, as `strptime` reads it.
UNIT_FORMATS = {"hour": "%Y-%m-%dT%H", "day": "%Y-%m-%d", "month": "%Y-%m"}
# Of `isoformat`: strftime writes the year 1 as it likes.
_LENGTHS = {"hour": 13, "day": 10, "month": 7}

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_PART = re.compile(r"(?:(?P<all>\*)|(?P<low>\w+)(?:-(?P<high>\w+))?)(?:/(?P<step>\d+))?", re.ASCII)


def unit_name(moment: dt.datetime, unit: str) -> str:
    """The slice that has a moment, by its hour, day or month."""
    return moment.isoformat()[: _LENGTHS[unit]]


@dataclass(frozen=True)
class Field:
    """One place of the five: its name, its range, and the words that stand for numbers."""

    name: str
    low: int
    high: int
    words: Mapping[str, int]

    @property
    def allowed(self) -> str:
        """The range as messages show it."""
        words = f" or {next(iter(self.words))} to {list(self.words)[-1]}" if self.words else ""
        return f"{self.low} to {self.high}{words}, *, lists (1,3), ranges (1-5) and steps (*/2)"

    def values(self, text: str) -> tuple[int, ...]:
        """The numbers that a field's text stands for, in order.

        Raises:
            ConfigError: it is none of the forms that cron, the Spark operator and Airflow all read
                alike.
        """
        found = [value for part in text.split(",") for value in self._part(part, text)]
        return tuple(sorted(set(found)))

    def _part(self, part: str, text: str) -> range:
        match = _PART.fullmatch(part)
        step = int(match["step"] or 1) if match else 0
        if match is None or step < 1 or (match["step"] and not (match["all"] or match["high"])):
            raise self._wrong(text)
        if match["all"]:
            return range(self.low, self.high + 1, step)
        low = self._number(match["low"], text)
        high = self._number(match["high"], text) if match["high"] else low
        if low > high:
            raise self._wrong(text)
        return range(low, high + 1, step)

    def _number(self, word: str, text: str) -> int:
        value = int(word) if word.isdigit() else self.words.get(word.lower(), -1)
        if not self.low <= value <= self.high:
            raise self._wrong(text)
        return value

    def _wrong(self, text: str) -> ConfigError:
        return ConfigError(f"{self.name}: got {text!r}; allowed: {self.allowed}")


# Sunday is 0 only: the Spark operator does not know the 7 that cron takes too.
_FIELDS = (
    Field("minute", 0, 59, {}),
    Field("hour", 0, 23, {}),
    Field("day of month", 1, 31, {}),
    Field("month", 1, 12, {name: number for number, name in enumerate(_MONTHS, start=1)}),
    Field("day of week", 0, 6, {name: number for number, name in enumerate(_DAYS)}),
)


@dataclass(frozen=True)
class Schedule:
    """A time that comes again, in UTC.

    Attributes:
        text: the five fields, as they were written.
        values: the numbers of each field.
        either_day: both days are restricted, so that either will do.
    """

    text: str
    values: tuple[tuple[int, ...], ...]
    either_day: bool

    def on_calendar(self) -> tuple[str, ...]:
        """The same times as systemd's OnCalendar; two of them where either of two days will do,
        which one cannot say.
        """
        minutes, hours, days, months, weekdays = (
            "*"
            if len(values) == field.high - field.low + 1
            else ",".join(f"{value:02d}" for value in values)
            for field, values in zip(_FIELDS, self.values, strict=True)
        )
        names = (
            ""
            if weekdays == "*"
            else ",".join(_DAYS[value].title() for value in self.values[4]) + " "
        )
        dates = [(names, "*"), ("", days)] if self.either_day else [(names, days)]
        return tuple(
            f"{weekday}*-{months}-{day} {hours}:{minutes}:00 UTC" for weekday, day in dates
        )


def read_schedule(text: object) -> Schedule:
    """The schedule of a pipeline file.

    Raises:
        ConfigError: no text of five fields, a value out of range, or days that schedulers do not
            read alike.
    """
    if not isinstance(text, str) or len(text.split()) != len(_FIELDS):
        raise ConfigError(
            f"got {text!r}; allowed: five fields of cron, such as '15 2 * * *' (every day at 02:15 "
            "UTC)"
        )
    parts = text.split()
    values = tuple(field.values(part) for field, part in zip(_FIELDS, parts, strict=True))
    day, weekday = parts[2], parts[4]
    # cron asks for both days where one begins with *, the operator and Airflow where one is all of
    # it: */2 is between them.
    if any(
        one.startswith("*") and one != "*" and other != "*"
        for one, other in ((day, weekday), (weekday, day))
    ):
        raise ConfigError(
            f"got day of month {day!r} and day of week {weekday!r}, which cron and the Spark "
            "operator read differently; allowed: a step from * in one of them and * in the other, "
            "or lists"
        )
    return Schedule(" ".join(parts), values, day != "*" and weekday != "*")


@dataclass(frozen=True)
class Step:
    """One command of a night: its name and its options, without `--pipeline` and `--env`."""

    command: str
    options: Mapping[str, str]

    @property
    def arguments(self) -> list[str]:
        """As the command line takes them."""
        return [
            self.command,
            *(part for name, value in self.options.items() for part in (f"--{name}", value)),
        ]


def night_command(day: dt.date) -> Step:
    """The whole night of a day as one command, for schedulers that make a step a task."""
    return Step("nightly", {"slice": day.isoformat()})


def night_steps(slice_rule: Any, day: dt.date) -> tuple[Step, Step]:
    """What a night does: land, then score.

    Where slices are ingest dates, the slice is the day of the run. Where they come from the data,
    that day is not over yet: those of the week before it are the night's window, and are scored as
    far as they are missing, stale or failed. What landed outside of the window is known only once
    it has landed: `pipeline.owed_slices` finds it.

    Args:
        slice_rule: `source.slice` of the pipeline file.
        day: the day of the run, in UTC.

    Raises:
        ConfigError: slices that are values of a column, which no calendar knows.
    """
    if slice_rule in (None, "ingest_date"):
        return Step("extract", {"slice": day.isoformat()}), Step(
            "score", {"slice": day.isoformat()}
        )
    unit = slice_rule.get("unit") if isinstance(slice_rule, Mapping) else None
    if unit not in _LENGTHS:
        column = slice_rule.get("column") if isinstance(slice_rule, Mapping) else slice_rule
        raise ConfigError(
            f"source.slice: got the column {column} without a unit; allowed with a schedule: "
            f"ingest_date, or a column of times with its unit: {{column: {column}, unit: day}} "
            "(or hour, month)",
            "slices that are no times have no night: call extract, then score or backfill, from a "
            "script of your own",
        )
    # Whole days, up to the last second before the day of the run.
    midnight = dt.datetime.combine(day, dt.time())
    if midnight == dt.datetime.min:
        raise ConfigError(f"got the day {day}; allowed: a day that has one before it")
    first = midnight - min(dt.timedelta(days=LATE_DAYS), midnight - dt.datetime.min)
    last = midnight - dt.timedelta(seconds=1)
    return Step("extract", {}), Step(
        "backfill", {"from": unit_name(first, unit), "to": unit_name(last, unit)}
    )
