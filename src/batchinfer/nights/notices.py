"""Who is told of a night, and what: `notify:` of the pipeline file.

Owns which events a night has and what a message says. A message that cannot be sent is told on
stderr, and changes nothing else.
"""

from __future__ import annotations

import datetime as dt
import sys
from typing import Any

from batchinfer.config.pipeline import Notice
from batchinfer.credentials import IDENTIFIERS, told_without_secrets, without_credentials
from batchinfer.errors import BatchInferError, TooManyQuarantined, listed_some
from batchinfer.hinted_commands import Asked
from batchinfer.nights.messengers import Message, send
from batchinfer.nights.one_night import Night
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.scheduled.night_rows import failing_since

_SHOWN = 5
# What shows why a night ended so; of all others it is the plan.
_NEXT = {5: "quarantine", 6: "status", 7: "models"}
# What may pass by itself, or was broken off.
_AGAIN = (1, 8, 130, 143)


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
            reason = send(notice, _message(events, night, context, code, body))
        except Exception as error:  # noqa: BLE001 - whatever it is, the night ended as it did
            reason = type(error).__name__
        if reason is not None:
            _warn(f"the message about {', '.join(events)} could not be sent: {reason}")


def _warn(text: str) -> None:
    sys.stderr.write(f"batchinfer: warning: {text}\n")
    sys.stderr.flush()


def _events(notice: Notice, night: Night, code: int, body: dict[str, Any]) -> list[str]:
    happened = {
        "failed": code != 0,
        "quarantine": _has_quarantine(notice.rate, night, body),
        "late": bool(night.late or night.slices["left"]),
    }
    return [event for event in notice.on if happened[event]]


def _has_quarantine(rate: float | None, night: Night, body: dict[str, Any]) -> bool:
    codes = {body.get("exit_code"), *(one.get("exit_code") for one in _outcomes(body))}
    if TooManyQuarantined.exit_code in codes:
        return True
    if rate is None:
        return False
    extracted = night.extracted
    counted = [(one.get("rows_quarantined", 0), one.get("rows_in", 0)) for one in _outcomes(body)]
    if extracted is not None:
        counted.append((extracted.rows_quarantined, extracted.rows_in))
    if "rows_in" in body and "slices" not in body:
        counted.append((body.get("rows_quarantined", 0), body["rows_in"]))
    return any(bad > rate * rows for bad, rows in counted if rows)


def _outcomes(body: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for one in body.get("slices") or [] if isinstance(one, dict)]


def _message(
    events: list[str], night: Night, context: Context, code: int, body: dict[str, Any]
) -> Message:
    failed = [one["slice"] for one in _outcomes(body) if one["status"] == "failed"]
    slices = failed or night.late or night.slices["left"] or [night.day]
    since, command = _since(context, code), _next(context.asked, night, code, failed)
    outcome = f"ended with exit {code}" if code else "ended well"
    # One line: headers of mails have no others.
    subject = " ".join(f"batchinfer: {context.name}, {night.day}: {', '.join(events)}".split())
    lines = [
        f"Pipeline {context.name} ({night.ref}): the night of {night.day} {outcome}.",
        f"What: {', '.join(events)}.",
        *listed_some(body.get("errors") or [], _SHOWN),
    ]
    if night.late:
        lines.append(f"Slices from before the window landed: {_some(night.late)}.")
    if left := night.slices["left"]:
        lines.append(f"Slices that landed are not scored: {_some(left)}.")
    lines += [
        f"Where: table {context.predictions}, slice {_some(slices)}, run {body.get('run_id')}.",
        f"Since: {since:%Y-%m-%d %H:%M} UTC.",
        f"Next: {command}",
    ]
    facts = {
        "events": events,
        "pipeline": context.name,
        "file": night.ref,
        "day": night.day,
        "exit_code": code,
        "errors": body.get("errors") or [],
        "table": context.predictions,
        "slices": slices,
        "run_id": body.get("run_id"),
        "since": since.isoformat(),
        "command": command,
    }
    text = without_credentials("\n".join(lines))
    told = told_without_secrets(facts, IDENTIFIERS)
    return Message(without_credentials(subject), text, told)


def _some(names: list[str]) -> str:
    return ", ".join(listed_some(names, _SHOWN))


def _since(context: Context, code: int) -> dt.datetime:
    """When the first of the attempts began that have failed since the last success."""
    now = dt.datetime.now(dt.timezone.utc)
    if not code:
        return now
    try:
        return failing_since(context) or now
    except BatchInferError:
        # The store that made the night fail, perhaps.
        return now


def _next(asked: Asked, night: Night, code: int, failed: list[str]) -> str:
    """The command to run next."""
    left = night.slices["left"]
    if code == 0:
        outside = left or night.late
        name = "backfill" if left else "status"
        span = ("--from", min(outside), "--to", max(outside)) if outside else ()
        return asked.command(name, *span)
    if code in _AGAIN:
        return asked.command("nightly", "--slice", night.day)
    if code in _NEXT:
        return asked.command(_NEXT[code])
    return asked.command("plan", "--slice", failed[0] if failed else night.day)
