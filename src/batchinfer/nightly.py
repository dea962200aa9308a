"""A scheduled run: land what is new, then score it, in one process and one session; again where
waiting may help.

Owns the order of a night and its attempts. What a night does stands in `schedule`; the steps are
the public functions.
"""

from __future__ import annotations

import datetime as dt
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from batchinfer.command import run_command
from batchinfer.errors import WORTH_A_RETRY, ConfigError
from batchinfer.schedule import Step, night_steps

if TYPE_CHECKING:
    from batchinfer.pipeline.definition.context import Context
    from batchinfer.spark.session import OpenSession


def run_night(
    ref: str,
    day: str | None,
    env: str = "local",
    overrides: Sequence[str] = (),
    tries: int = 1,
    wait_s: float = 600,
) -> int:
    """Runs the night of a day; each attempt ends in its JSON line, which is that of its last step.
    Returns the exit code.

    Runs on: driver.
    """
    chosen = day or dt.datetime.now(dt.timezone.utc).date().isoformat()
    facts = {"pipeline": ref, "slice": chosen}
    code = run_command(lambda: _steps(ref, chosen, env, overrides), facts)
    for attempt in range(2, tries + 1):
        if code not in WORTH_A_RETRY:
            break
        print(
            f"batchinfer: exit {code}; attempt {attempt} of {tries} in {wait_s:g} s",
            file=sys.stderr,
            flush=True,
        )
        code = run_command(
            lambda: _later(wait_s, lambda: _steps(ref, chosen, env, overrides)), facts
        )
    return code


def _later(wait_s: float, work: Callable[[], Any]) -> Any:
    # Inside of the command, so that a signal ends the wait as it ends the work.
    time.sleep(wait_s)
    return work()


def _steps(ref: str, day: str, env: str, overrides: Sequence[str]) -> Any:
    from batchinfer.api import session_of
    from batchinfer.pipeline.definition.context import Context

    try:
        date = dt.date.fromisoformat(day)
    except ValueError as error:
        raise ConfigError(f"--slice: got {day!r}; allowed: a day such as 2026-11-21") from error
    context = Context.open(ref, env, overrides, reads_source=True)
    rule = context.pipeline.source.slice
    land, score = night_steps(rule if isinstance(rule, str) else rule.model_dump(), date)
    # One for both steps: executors are asked once for what they reach.
    open_session = session_of(context)
    _land(land, context, open_session)
    return _score(score, context.with_new_run(), open_session)


def _land(step: Step, context: Context, open_session: OpenSession) -> None:
    from batchinfer.pipeline.extract import extract_source
    from batchinfer.show import show_extract

    slice_ = step.options.get("slice")
    show_extract(extract_source(context, slice_, open_session))


def _score(step: Step, context: Context, open_session: OpenSession) -> Any:
    from batchinfer.pipeline.backfill import backfill_slices
    from batchinfer.pipeline.score import score_slice
    from batchinfer.show import show_backfill, show_run

    options = step.options
    if step.command == "backfill":
        return show_backfill(backfill_slices(context, options["from"], options["to"], open_session))
    day = options["slice"]
    return show_run(score_slice(context, day, open_session))
