"""`status`: every slice of a pipeline: published, stale, failed, missing, running. No JVM."""

from __future__ import annotations

import datetime as dt
from collections.abc import Container, Sequence
from typing import TYPE_CHECKING, Any

from batchinfer.config.pipeline import Pipeline
from batchinfer.errors import (
    ConfigError,
    ModelError,
    StorageError,
    TooManyQuarantined,
)
from batchinfer.hints import Hint, commands_of
from batchinfer.pipeline.damaged_files import remedies
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.definition.slice_names import check_slice
from batchinfer.pipeline.scheduled.freshness import Lateness, find_lateness
from batchinfer.pipeline.scoring.published import Published, read_published, unpublished_state
from batchinfer.pipeline.slices.landed import read_landed
from batchinfer.pipeline.slices.slice_data import LandedSlice

if TYPE_CHECKING:
    from batchinfer.lake.runs import LatestRun
    from batchinfer.models.registry import Registry


class Status(dict[str, Any]):
    """The state as JSON; `exit_code` is that of what `check` found, the smallest there is."""

    exit_code = 0


def pipeline_status(
    context: Context, start: str | None = None, end: str | None = None, check: bool = False
) -> Status:
    """State of every landed or published slice, with its data and model versions, and where that
    is kept.

    Args:
        start, end: the first and the last slice that are told; None: there is no such bound.
        check: judge too whether the predictions are as fresh as they should be.

    A slice is stale if its data changed after it was scored, or if the pipeline's model is another
    one now; it is failed if it is not up to date and its last attempt failed. What the tables say
    wins over what attempts left behind.

    Runs on: driver, without Spark.

    Raises:
        ConfigError: a bound that no slice can have, or bounds in the wrong order.
    """
    from batchinfer.lake.leases import running
    from batchinfer.lake.runs import latest_runs

    rule = context.pipeline.source.slice
    first = None if start is None else check_slice(rule, start, "--from")
    behind = None if end is None else check_slice(rule, end, "--to")
    if first is not None and behind is not None and first > behind:
        raise ConfigError(f"--from {start} is after --to {end}; allowed: --from before --to")
    landed = read_landed(context)
    with remedies(context):
        found = read_published(context)
    published = {
        name: one
        for name, one in found.items()
        if one.other is None or not context.pipeline.sink.shared
    }
    held = {lease["slice"] for lease in running(context.environment.lake, context.name)}
    last = latest_runs(context.runs, context.name, "score")
    digest, warning = _current_digest(context.pipeline, context.registry)
    slices = [
        {
            "slice": name,
            "status": _state(name, landed, published.get(name), held, last.get(name), digest),
            "rows_landed": landed[name].rows if name in landed else 0,
            "data_version": landed[name].changed_at if name in landed else None,
            **_facts(published.get(name), last.get(name)),
        }
        for name in sorted({*landed, *published})
        if (first is None or name >= first) and (behind is None or name <= behind)
    ]
    body = Status(
        pipeline=context.name,
        status="ok",
        slices=slices,
        table=context.predictions,
        state=context.loaded.state.to_json(),
    )
    warnings = [*context.loaded.warnings, *([warning] if warning else [])]
    warnings += [
        f"slice {name}: a replay was cut off, and rows that it published are in quarantine still; "
        f"{context.asked.command('replay', '--slice', name)} takes them out, and so does score"
        for name, one in published.items()
        if one.is_unsettled
    ]
    late = [] if landed else _failed_landing(context)
    warnings += [f"{one.problem}; next: {one.command}" for one in late]
    if warnings:
        body["warnings"] = warnings
    if check:
        now = dt.datetime.now(dt.UTC)
        _add_check(body, late or find_lateness(context, slices, now, bool(start or end)))
    return body


def _failed_landing(context: Context) -> list[Lateness]:
    """The last attempt to land, where nothing has landed and it failed. Once slices are there they
    say more.
    """
    from batchinfer.lake.runs import newest_attempts

    last = next(iter(newest_attempts(context.runs, context.name, "extract", 1)), None)
    if last is None or not last.exit_code:
        return []
    is_full = last.exit_code == TooManyQuarantined.exit_code
    command = context.asked.command("quarantine") if is_full else context.extract_command()
    errors = "; ".join(str(error) for error in last.report.get("errors", ())) or "no reason is kept"
    return [
        Lateness(
            f"nothing has landed: the last extract failed at {last.started_at:%Y-%m-%d %H:%M} UTC "
            f"with exit {last.exit_code} (run {last.run_id}): {errors}",
            command,
            last.exit_code,
        )
    ]


def _add_check(body: Status, late: Sequence[Lateness]) -> None:
    problems = [one.problem for one in late]
    body["check"] = {"ok": not late, "problems": problems}
    if late:
        body.exit_code = min(one.exit_code for one in late)
        hint = Hint.joined(dict.fromkeys(one.command for one in late), "; ")
        body.update(status="failed", exit_code=body.exit_code, errors=problems, hint=hint)
        body["next"] = commands_of(hint)


def _current_digest(pipeline: Pipeline, registry: Registry) -> tuple[str | None, str | None]:
    """Digest of the model that would score now; a registry out of reach is a warning, because the
    slices are known without it.
    """
    try:
        return registry.resolve(pipeline.model.uri).digest, None
    except (ConfigError, ModelError, StorageError) as error:
        return (
            None,
            f"the model could not be resolved, so only changed data counts as stale: {error}",
        )


def _state(
    name: str,
    landed: dict[str, LandedSlice],
    published: Published | None,
    held: Container[str],
    last: LatestRun | None,
    digest: str | None,
) -> str:
    if name in held:
        return "running"
    data = landed.get(name)
    # Where an earlier build published a slice without rows, nothing says what it was made of: it is
    # scored again each time, and is no staler for that.
    if (
        published is not None
        and not published.is_cut_off
        and not (published.made_of and published.is_stale(data, digest))
    ):
        return "published"
    return unpublished_state(published, last)


def _facts(published: Published | None, last: LatestRun | None) -> dict[str, Any]:
    made_of = published.made_of if published else None
    return {
        "rows_published": published.rows if published else 0,
        "model_version": made_of.model_version if made_of else None,
        "source_version": made_of.data_version if made_of else None,
        "version": published.version if published else None,
        "run_id": made_of.run_id if made_of else (last.run_id if last else None),
        "scored_at": made_of.scored_at if made_of else None,
        "last_attempt": _failed_attempt(last),
    }


def _failed_attempt(last: LatestRun | None) -> dict[str, Any] | None:
    """What the last attempt was, where it was none that published or found nothing to do."""
    if last is None or last.exit_code == 0:
        return None
    return {
        "run_id": last.run_id,
        "status": last.status,
        "exit_code": last.exit_code,
        "at": last.started_at,
    }
