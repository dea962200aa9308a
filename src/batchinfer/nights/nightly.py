"""A scheduled run: the nights of one pipeline or several, in one process and one session; again
where waiting may help.

Owns the order of the pipelines and the attempts. What a night does stands in `one_night`.
"""

from __future__ import annotations

import datetime as dt
import sys
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from batchinfer.command import print_line, run_work
from batchinfer.errors import WORTH_A_RETRY
from batchinfer.nights.one_night import Night, NightReport
from batchinfer.pipeline.definition.upstream_names import in_order
from batchinfer.report.overview import show_overview
from batchinfer.schedule import MOST_OUTSIDE

# How each pipeline's latest attempt ended: exit code and JSON line, by the name the user gave.
Ends = dict[str, tuple[int, dict[str, Any]]]
_INTERRUPTED = "interrupted"


def run_nights(
    refs: Sequence[str],
    day: str | None,
    env: str = "local",
    overrides: Sequence[str] = (),
    tries: int = 1,
    wait_s: float = 600,
    most: int = MOST_OUTSIDE,
) -> int:
    """Runs the nights of a day, each behind those that its `after` names; each attempt ends in its
    JSON line. Returns the exit code.

    The line of one pipeline is that of its last step. The line of several has them in a list; the
    exit code is the smallest that is not 0. A signal ends all of them.

    Runs on: driver.
    """
    chosen = day or dt.datetime.now(dt.timezone.utc).date().isoformat()
    nights = [Night(ref, chosen, env, overrides, most) for ref in in_order(refs)]
    ends: Ends = {}
    code = 0
    for attempt in range(1, tries + 1):
        again = [night for night in nights if attempt == 1 or ends[night.ref][0] in WORTH_A_RETRY]
        if attempt > 1:
            print(
                f"batchinfer: exit {code}; attempt {attempt} of {tries} in {wait_s:g} s",
                file=sys.stderr,
                flush=True,
            )
        for place, night in enumerate(again):
            wait = wait_s if attempt > 1 and place == 0 else 0
            work = partial(_later, wait, night, attempt == tries)
            ends[night.ref] = run_work(work, night.facts)
            if _stopped(ends):
                break
        code = _tell(ends, len(nights) > 1)
        if _stopped(ends) or not any(each in WORTH_A_RETRY for each, _ in ends.values()):
            break
    for night in nights:
        if night.ref in ends and night.is_told:
            from batchinfer.nights.notices import send_notices

            send_notices(night, *ends[night.ref])
    return code


def _later(wait_s: float, night: Night, is_last: bool) -> NightReport:
    # Inside of the command, so that a signal ends the wait as it ends the work.
    if wait_s:
        time.sleep(wait_s)
    return night.attempt(is_last)


def _stopped(ends: Ends) -> list[int]:
    """The exit code of a signal, if one came."""
    return [code for code, body in ends.values() if body["status"] == _INTERRUPTED]


def _tell(ends: Ends, are_several: bool) -> int:
    """Prints the line; returns the exit code."""
    codes, bodies = [code for code, _ in ends.values()], [body for _, body in ends.values()]
    if not are_several:
        print_line(bodies[0])
        return codes[0]
    show_overview([body | {"exit_code": code} for code, body in ends.values()])
    stopped = _stopped(ends)
    code = stopped[0] if stopped else min((code for code in codes if code), default=0)
    status = _INTERRUPTED if stopped else "failed" if code else "done"
    errors = [
        f"pipeline {body['pipeline']}: {problem}" for body in bodies for problem in body["errors"]
    ]
    print_line({"pipelines": bodies, "status": status, "exit_code": code, "errors": errors})
    return code
