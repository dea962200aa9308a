"""Whether a pipeline's predictions are as fresh as they should be, for monitors.

Owns what counts as late, and what is told of it. Reads nothing: it judges what `status` found.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from batchinfer.config.sources import SliceRule
from batchinfer.errors import InputError
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.definition.slice_names import unit_of
from batchinfer.schedule import LATE_DAYS, UNIT_FORMATS, unit_name

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Lateness:
    """One thing that is not as it should be.

    Attributes:
        problem: what is late, and since when.
        command: what to run.
        exit_code: of `status --check`.
    """

    problem: str
    command: str
    exit_code: int = InputError.exit_code


def find_lateness(
    context: Context, slices: Sequence[Row], now: dt.datetime, whole: bool
) -> list[Lateness]:
    """What is wrong with the newest slices of a pipeline; empty where all is well.

    Slices are judged that lie in the week up to the newest one that has begun, as a night looks so
    far back; where they have no dates, all of them. Slices of days to come are not judged: one
    wrong date in the data would hide what is late. One that failed or is stale is a problem, and so
    is one that has landed and is not published; but where the pipeline file says `fresh_within`,
    slices newer than the newest published one may wait until that is older than it says.

    Args:
        slices: of `status`, in order.
        now: UTC.
        whole: judge all slices that are given: whoever asks has named the first or the last one.

    Runs on: driver.
    """
    fresh_within, rule = context.pipeline.fresh_within, context.pipeline.source.slice
    if not whole:
        slices = _begun(rule, slices, now)
    judged = slices if whole else _of_last_week(rule, slices)
    newest = max((row["slice"] for row in slices if row["scored_at"] is not None), default="")
    found = [
        _of_slice(context, row)
        for row in judged
        if row["status"] in ("failed", "stale")
        or (row["status"] == "missing" and (fresh_within is None or row["slice"] < newest))
    ]
    if not any(row["scored_at"] is not None or row["rows_published"] for row in slices):
        return found or [Lateness("no slice has been published", _next_command(context, slices))]
    if fresh_within is not None and (late := _age(context, slices, now, fresh_within)):
        found.append(late)
    return found


def _begun(rule: SliceRule, slices: Sequence[Row], now: dt.datetime) -> Sequence[Row]:
    """The slices without those of times to come."""
    unit = unit_of(rule)
    if unit is None:
        return slices
    latest = unit_name(now.astimezone(dt.UTC).replace(tzinfo=None), unit)
    return [row for row in slices if row["slice"] <= latest]


def _of_last_week(rule: SliceRule, slices: Sequence[Row]) -> Sequence[Row]:
    unit = unit_of(rule)
    if unit is None or not slices:
        return slices
    newest = dt.datetime.strptime(slices[-1]["slice"], UNIT_FORMATS[unit])
    back = dt.timedelta(days=LATE_DAYS)
    first = unit_name(newest - min(back, newest - dt.datetime.min), unit)
    return [row for row in slices if row["slice"] >= first]


def _of_slice(context: Context, row: Row) -> Lateness:
    name, status, last = row["slice"], row["status"], row["last_attempt"]
    score = context.asked.command("score", "--slice", name)
    if status == "failed" and last is not None:
        return Lateness(
            f"slice {name} failed at {_moment(last['at'])} with exit {last['exit_code']} (run "
            f"{last['run_id']})",
            score,
            last["exit_code"],
        )
    if status == "stale":
        since = f", which was at {_moment(row['scored_at'])}" if row["scored_at"] else ""
        return Lateness(
            f"slice {name} is stale: its data or the model changed after it was scored{since}",
            score,
        )
    return Lateness(f"slice {name} has landed and is not published", score)


def _age(
    context: Context, slices: Sequence[Row], now: dt.datetime, fresh_within: int
) -> Lateness | None:
    """The newest published slice is older than it may be; an earlier build left no time."""
    newest = next((row for row in reversed(slices) if row["scored_at"] is not None), None)
    if newest is None:
        return None
    scored_at = _utc(newest["scored_at"])
    due = scored_at + dt.timedelta(seconds=fresh_within)
    if now <= due:
        return None
    return Lateness(
        f"predictions are late since {_moment(due)}: the newest published slice, "
        f"{newest['slice']}, was scored at {_moment(scored_at)}, and fresh_within is "
        f"{_told(fresh_within)}",
        _next_command(context, slices),
    )


def _next_command(context: Context, slices: Sequence[Row]) -> str:
    """What brings newer predictions: the newest slice that waits is scored, else new data land."""
    waiting = [row["slice"] for row in slices if row["status"] == "missing"]
    if waiting:
        return context.asked.command("score", "--slice", waiting[-1])
    return context.extract_command()


def _utc(moment: dt.datetime) -> dt.datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


def _moment(moment: dt.datetime) -> str:
    return f"{_utc(moment).astimezone(dt.UTC):%Y-%m-%d %H:%M:%S} UTC"


def _told(seconds: int) -> str:
    for unit, length in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds % length == 0:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"
