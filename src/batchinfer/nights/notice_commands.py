"""What to do next after a night that somebody is told of: each event has its own commands.

Owns these sentences. Errors that have a hint know more, so their hints come first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from batchinfer.errors import ModelError
from batchinfer.hints import CommandLine, Hint, commands_of
from batchinfer.nights.one_night import Night
from batchinfer.nights.quarantine_counts import QuarantineCount
from batchinfer.pipeline.definition.context import Context

_MOST = 5


@dataclass(frozen=True)
class NextStep:
    """A sentence, and the commands in it."""

    text: str
    commands: tuple[str, ...]


def failed_outcomes(body: dict[str, Any]) -> list[dict[str, Any]]:
    """The slices of a night's JSON line that could not be scored."""
    outcomes = body.get("slices") or []
    return [one for one in outcomes if isinstance(one, dict) and one["status"] == "failed"]


def next_steps(
    events: list[str],
    counts: list[QuarantineCount],
    night: Night,
    context: Context,
    code: int,
    body: dict[str, Any],
) -> list[NextStep]:
    """What shows or mends what has happened, at least one step; none repeats the commands of
    another.

    Args:
        counts: of what went to quarantine, where an event is about that.
        code, body: how the night ended.
    """
    chosen: list[NextStep] = []
    if "failed" in events:
        chosen += _after_failure(night, context, code, body)
    if "quarantine" in events:
        chosen += _quarantined(counts, context)
    if "late" in events:
        chosen += _late(night, context)
    again = [_step(context.asked.command("nightly", "--slice", night.day), " is that night again")]
    return _once([*_once(chosen)[:_MOST], *(again if code else [])])


def _once(steps: list[NextStep]) -> list[NextStep]:
    """The steps whose commands have not all been told."""
    told: set[str] = set()
    kept: list[NextStep] = []
    for step in steps:
        if not told.issuperset(step.commands):
            kept.append(step)
            told.update(step.commands)
    return kept


def _step(*parts: str) -> NextStep:
    hint = Hint(*parts)
    return NextStep(str(hint), tuple(commands_of(hint)))


def _after_failure(
    night: Night, context: Context, code: int, body: dict[str, Any]
) -> Iterator[NextStep]:
    failed = failed_outcomes(body)
    hinted = [one for one in (body, *failed) if one.get("next")]
    for one in hinted:
        yield NextStep(one["hint"], tuple(one["next"]))
    if hinted:
        return
    if code == ModelError.exit_code:
        yield _step(context.asked.command("models"), " lists the versions that there are")
    elif failed:
        yield _plan(context, failed[0]["slice"])
    elif context.pipeline.source.slice == "ingest_date":
        yield _plan(context, night.day)


def _plan(context: Context, slice_: str) -> NextStep:
    return _step(context.asked.command("plan", "--slice", slice_), " says all that is wrong")


def _quarantined(counts: list[QuarantineCount], context: Context) -> Iterator[NextStep]:
    # A step that ended before it had counted says nothing of slices.
    for name in dict.fromkeys(count.slice for count in counts) or [None]:
        yield _step(_show(context, name), " shows them by reason, and the first of each")


def _show(context: Context, slice_: str | None) -> CommandLine:
    return context.asked.command("quarantine", *([] if slice_ is None else ["--slice", slice_]))


def _late(night: Night, context: Context) -> Iterator[NextStep]:
    asked = context.asked
    if left := night.slices["left"]:
        backfill = asked.command("backfill", "--from", min(left), "--to", max(left))
        yield _step(backfill, " scores what is missing or stale there")
    if late := [name for name in night.late if name not in left]:
        status = asked.command("status", "--from", min(late), "--to", max(late))
        yield _step(status, " shows what became of them")
