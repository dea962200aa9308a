"""Who is told of a night, and what: `notify:` of the pipeline file.

Owns which events a night has and what a message says. A message that cannot be sent is told on
stderr, and changes nothing else.
"""

from __future__ import annotations

import datetime as dt
import sys
from dataclasses import asdict
from typing import Any

from batchinfer.config.pipeline import Notice
from batchinfer.credentials import IDENTIFIERS, told_without_secrets, without_credentials
from batchinfer.errors import BatchInferError, TooManyQuarantined, listed_some
from batchinfer.nights.messengers import Message, send
from batchinfer.nights.notice_commands import failed_outcomes, next_steps
from batchinfer.nights.one_night import Night
from batchinfer.nights.quarantine_counts import QuarantineCount
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.scheduled.night_rows import failing_since, leaving_since

_SHOWN = 5


def send_notices(night: Night, code: int, body: dict[str, Any]) -> None:
    """Sends what the pipeline file asks for, after a night has come to its end.

    Args:
        code: how it ended.
        body: its JSON line.

    Runs on: driver.
    """
    context = night.context
    if context is None:
        return
    for notice in context.pipeline.notify:
        events = _events(notice, night, code, body)
        if not events:
            continue
        try:
            reason = send(notice, _message(events, notice, night, context, code, body))
        except Exception as error:  # noqa: BLE001 - whatever it is, the night ended as it did
            reason = type(error).__name__
        if reason is not None:
            _warn(f"the message about {', '.join(events)} could not be sent: {reason}")


def _warn(text: str) -> None:
    sys.stderr.write(f"batchinfer: warning: {text}\n")
    sys.stderr.flush()


def _events(notice: Notice, night: Night, code: int, body: dict[str, Any]) -> list[str]:
    codes = {code, *(one.get("exit_code") for one in failed_outcomes(body))}
    happened = {
        "failed": code != 0,
        "quarantine": TooManyQuarantined.exit_code in codes or bool(_too_many(notice, night)),
        "late": bool(night.late or night.slices["left"]),
    }
    return [event for event in notice.on if happened[event]]


def _too_many(notice: Notice, night: Night) -> list[QuarantineCount]:
    """The steps that put more into quarantine than is allowed, or than the notice asks for."""
    return [
        count
        for count in night.counts.values()
        if count.is_refused or (notice.rate is not None and count.rate > notice.rate)
    ]


def _message(
    events: list[str],
    notice: Notice,
    night: Night,
    context: Context,
    code: int,
    body: dict[str, Any],
) -> Message:
    counts = _too_many(notice, night) if "quarantine" in events else []
    quarantine = [_quarantine_facts(count, notice.rate, context) for count in counts]
    slices = _slices(events, counts, night, context, body)
    since = _since(events, night, context, code)
    steps = next_steps(events, counts, night, context, code, body)
    outcome = f"ended with exit {code}" if code else "ended well"
    # One line: headers of mails have no others.
    subject = " ".join(f"batchinfer: {context.name}, {night.day}: {', '.join(events)}".split())
    lines = [
        f"Pipeline {context.name} ({night.ref}): the night of {night.day} {outcome}.",
        f"What: {', '.join(events)}.",
        *listed_some(body.get("errors") or [], _SHOWN),
        *listed_some([_told_count(one) for one in quarantine], _SHOWN),
    ]
    if night.late:
        lines.append(f"Slices from before the window landed: {_some(night.late)}.")
    if left := night.slices["left"]:
        lines.append(f"Slices that landed are not scored: {_some(left)}.")
    where = f"Where: table {context.predictions}"
    where += f", slice {_some(slices)}" if slices else ""
    where += f", run {body['run_id']}" if body.get("run_id") else ""
    where += f"; records in quarantine: table {context.quarantine}" if quarantine else ""
    lines += [f"{where}.", f"Since: {since:%Y-%m-%d %H:%M} UTC."]
    lines += [f"Next: {step.text}" for step in steps]
    commands = [command for step in steps for command in step.commands]
    facts = {
        "events": events,
        "pipeline": context.name,
        "file": night.ref,
        "day": night.day,
        "exit_code": code,
        "errors": body.get("errors") or [],
        "quarantine": quarantine,
        "table": context.predictions,
        "slices": slices,
        "run_id": body.get("run_id"),
        "since": since.isoformat(),
        "command": commands[0],
        "next": commands,
    }
    text = without_credentials("\n".join(lines))
    told = told_without_secrets(facts, IDENTIFIERS)
    return Message(without_credentials(subject), text, told)


def _quarantine_facts(
    count: QuarantineCount, told_above: float | None, context: Context
) -> dict[str, Any]:
    return asdict(count) | {
        "rate": round(count.rate, 6),
        "allowed": context.pipeline.checks.max_quarantine_rate,
        "told_above": None if count.is_refused else told_above,
        "table": context.quarantine,
    }


def _told_count(one: dict[str, Any]) -> str:
    of_slice = f" of slice {one['slice']}" if one["slice"] else ""
    if one["is_refused"]:
        nothing = {"extract": "nothing was landed", "score": "nothing was published"}[one["step"]]
        limit = f"allowed: checks.max_quarantine_rate {one['allowed']}, so {nothing}"
    else:
        limit = f"more than the rate {one['told_above']} of notify"
    return (
        f"Quarantine: {one['step']}{of_slice} put {one['records']:,} of {one['of']:,} records "
        f"aside, a rate of {one['rate']:.4f}; {limit} (run {one['run_id']})."
    )


def _slices(
    events: list[str],
    counts: list[QuarantineCount],
    night: Night,
    context: Context,
    body: dict[str, Any],
) -> list[str]:
    """The slices that the events are about."""
    own: set[str] = set()
    if "failed" in events:
        own |= {one["slice"] for one in failed_outcomes(body)}
    if "quarantine" in events:
        own |= {count.slice for count in counts if count.slice is not None}
    if "late" in events:
        own |= {*night.late, *night.slices["left"]}
    if not own and context.pipeline.source.slice == "ingest_date":
        own = {night.day}
    return sorted(own)


def _some(names: list[str]) -> str:
    return ", ".join(listed_some(names, _SHOWN))


def _since(events: list[str], night: Night, context: Context, code: int) -> dt.datetime:
    """When the first of the attempts began that have failed since the last success, or the first
    of the nights in a row that left slices which are left still; else when this night began.
    """
    now = night.began or dt.datetime.now(dt.timezone.utc)
    left = night.slices["left"] if "late" in events else []
    try:
        failing = failing_since(context) if code and events != ["late"] else None
        leaving = leaving_since(context, left) if left else None
    except BatchInferError:
        # The store that made the night fail, perhaps.
        return now
    return min((moment for moment in (failing, leaving) if moment is not None), default=now)
