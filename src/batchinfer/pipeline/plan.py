"""`plan`: what a run of a slice would do, and every problem that can be foreseen. Scores nothing,
starts no JVM.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from batchinfer.config.types import spark_name
from batchinfer.hints import commands_of
from batchinfer.machine import usable_memory
from batchinfer.pipeline.damaged_files import remedies
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.definition.slice_names import names_slice
from batchinfer.pipeline.fallbacks.fallback_table import levels_number, made_from
from batchinfer.pipeline.planning.estimate import Estimate
from batchinfer.pipeline.planning.foresight import Foresight
from batchinfer.pipeline.planning.span_plan import SpanPlan, plan_span
from batchinfer.pipeline.scheduled.awaited import look_upstream
from batchinfer.pipeline.scoring import few_rows
from batchinfer.pipeline.scoring.earlier_runs import known_rates, worker_bytes
from batchinfer.pipeline.scoring.published import (
    Published,
    choose_answered,
    has_to_be_scored,
    read_published,
    slices_to_ask,
)
from batchinfer.pipeline.scoring.resolved_inputs import ResolvedModel, columns_to_read
from batchinfer.pipeline.slices.slice_data import SliceData
from batchinfer.pipeline.slices.span import find_span
from batchinfer.pipeline.slices.table_columns import TableColumns
from batchinfer.spark.capacity import local_workers, worker_threads

if TYPE_CHECKING:
    from batchinfer.lake.runs import LatestRun

# A Python worker with Arrow and PyTorch, without a model.
_WORKER_BYTES = 450 * 2**20


class Plan(dict[str, Any]):
    """The plan as JSON; `exit_code` is that of the first problem, as `score` would end with it."""

    exit_code = 0


def plan_slice(context: Context, slice_: str) -> Plan:
    """What `score` would read, by which road, with which model; every problem found is listed, not
    only the first.

    Runs on: driver, without Spark.
    """
    result = Plan(pipeline=context.name, slice=slice_, status="ready", problems=[], hints=[])
    foresight = Foresight(context)
    result["problems"], result["hints"] = foresight.problems, foresight.hints
    if context.pipeline.derive:
        result["derive"] = dict(context.pipeline.derive)
    data = foresight.find_slice(slice_)
    foresight.look_at_places()
    model, suites = foresight.model, foresight.suites
    earlier = foresight.earlier
    known: dict[str, Published] = {}
    if data and model:
        with remedies(context):
            known = read_published(context, slices_to_ask(context, slice_))
    published = known.get(slice_)
    seen = foresight.look_at_slice(slice_, data, published)
    if data:
        result |= {
            "source_table": data.table,
            "source_version": data.version,
            "rows": data.rows,
            "bytes": data.size,
        }
        result["files"] = len(data.files)
        if seen.road:
            reason = few_rows.REASON.format(rows=data.rows) if seen.few else seen.road.reason
            result |= {"road": seen.road.name, "road_reason": reason}
            result["session"] = seen.session
        if context.pipeline.prepare:
            facts = foresight.attempt(slice_, lambda: _preparation_facts(foresight.columns, data))
            result |= facts or {}
    batch = context.pipeline.model.batch
    count = 1 if seen.few else local_workers(context.environment.spark)
    if model:
        result |= _model_facts(foresight.columns, model)
        result |= _memory(earlier, result["bundle_bytes"], batch.max_bytes, count)
    result.setdefault("warnings", []).extend(seen.notes)
    if data and model:
        due = has_to_be_scored(published, data, model.ref.digest)
        result["action"] = "score" if due else "nothing: published from this data by this model"
        if due:
            digest = model.ref.digest
            result["reuse"] = choose_answered(context, data, known, digest, earlier).reason
        estimate = Estimate.of(context, earlier)
        seconds = estimate.seconds(data.rows, seen.opens_session)
        result["estimated_s"] = seconds
        result["estimated_how"] = estimate.how_long()
        result["cost"], result["cost_how"] = estimate.cost(seconds), estimate.how_dear()
    foresight.look_at_machine()
    result["warnings"] += model.warnings if model else ()
    result |= {
        "batch_rows": _batch_rows(earlier) if batch.rows == "auto" else batch.rows,
        "batch_bytes": batch.max_bytes,
        "workers": count,
        "threads_per_worker": worker_threads(context.environment.spark),
        "checks": sorted(suites),
        "table": context.predictions,
    }
    foresight.attempt(slice_, lambda: _tell_upstream(context, slice_, result))
    foresight.attempt(slice_, lambda: _tell_fallbacks(context, result))
    result.exit_code = foresight.exit_code
    result["next"] = [one for hint in result["hints"] for one in commands_of(hint)]
    if result["problems"]:
        result["status"] = "problems"
        result["errors"] = result["problems"]
    return result


def plan_backfill(context: Context, start: str, end: str, force: bool = False) -> SpanPlan:
    """What a backfill from start to end, both included, would do; every problem found is listed.

    Runs on: driver, without Spark.

    Raises:
        ConfigError: bounds that are no slices of the pipeline, or in the wrong order.
    """
    return plan_span(context, find_span(context, start, end), force)


def _tell_upstream(context: Context, slice_: str, result: Plan) -> None:
    """What a night waits for before it begins: that of the slice's day, else that of today."""
    rule = context.pipeline.source.slice
    is_day = rule == "ingest_date" and names_slice(rule, slice_)
    day = dt.date.fromisoformat(slice_) if is_day else dt.datetime.now(dt.timezone.utc).date()
    found = look_upstream(context, day)
    if not found:
        return
    result["after"] = [
        {"pipeline": one.pipeline, "slice": one.slice, "published": one.published} for one in found
    ]
    result.setdefault("warnings", []).extend(
        f"{one.told()}: nightly would wait for it (exit 6)" for one in found if not one.published
    )


def _tell_fallbacks(context: Context, result: Plan) -> None:
    """Whether the queries of the fallbacks are those that Spark took when they were last computed:
    only Spark says what it refuses.
    """
    fallback = context.pipeline.fallback
    if fallback is None:
        return
    made = made_from(context)
    if made is None or made.levels != levels_number(fallback):
        result.setdefault("warnings", []).append(
            "fallback: its queries were not checked, as plan starts no Spark: score does, before "
            "it scores (exit 2 where Spark refuses one)"
        )


def _memory(
    earlier: Sequence[LatestRun], bundle_bytes: int, batch_bytes: int, workers: int
) -> dict[str, Any]:
    """What all workers of this machine need together, and what is there; a warning where that is
    not enough.
    """
    measured = worker_bytes(earlier)
    each = measured or _WORKER_BYTES + 2 * bundle_bytes + 3 * batch_bytes
    needed, there = workers * each, usable_memory()
    facts: dict[str, Any] = {
        "memory_needed": needed,
        "memory_there": there,
        "memory_how": "measured in earlier runs"
        if measured
        else "reckoned from the model and the largest batch",
        "warnings": [],
    }
    if needed > there:
        facts["warnings"].append(
            f"{workers} workers need about {needed / 2**30:.1f} GiB; this machine has "
            f"{there / 2**30:.1f} GiB: set model.batch.rows or model.batch.max_bytes lower, or "
            "take fewer workers (spark.master: local[N,4])"
        )
    return facts


def _preparation_facts(columns: TableColumns, data: SliceData) -> dict[str, Any]:
    """The table transforms, what they read besides the slice, and the columns that they make."""
    landed, after = columns.landed, columns.prepared
    return {
        "prepare": list(columns.preparation.names),
        "prepare_makes": {
            name: spark_name(type_) for name, type_ in after.items() if name not in landed
        },
        "history_slices": len(data.history),
        "feature_tables": columns.preparation.used_tables(),
    }


def _model_facts(columns: TableColumns, model: ResolvedModel) -> dict[str, Any]:
    size = sum(path.stat().st_size for path in model.folder.rglob("*") if path.is_file())
    return {
        "model_name": model.ref.name,
        "model_version": model.ref.version,
        "bundle_digest": model.ref.digest,
        "bundle_bytes": size,
        "device": columns.context.pipeline.model.device,
        "precision": columns.context.pipeline.model.computes_in,
        "columns_read": list(columns_to_read(columns, model.inputs)),
        "outputs": model.outputs,
    }


def _batch_rows(earlier: Sequence[LatestRun]) -> str:
    """How the size of a batch is come by, in words."""
    remembered = ", ".join(
        f"{rows:,} on {device}" for device, rows in known_rates(earlier).best_rows().items()
    )
    return (
        f"as in earlier runs: {remembered}"
        if remembered
        else "found while running: the size with the most rows a second"
    )
