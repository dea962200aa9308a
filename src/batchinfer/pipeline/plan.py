"""`plan`: what a run of a slice would do, and every problem that can be foreseen. Scores nothing,
starts no JVM.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from batchinfer.config.environment import Environment
from batchinfer.config.pipeline import Pipeline
from batchinfer.config.types import spark_name
from batchinfer.errors import BatchInferError, ConfigError
from batchinfer.machine import usable_memory
from batchinfer.pipeline.damaged_files import remedies
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.definition.next_steps import next_step
from batchinfer.pipeline.definition.slice_names import names_slice
from batchinfer.pipeline.scheduled.awaited import look_upstream
from batchinfer.pipeline.scoring import few_rows
from batchinfer.pipeline.scoring.commits import check_predictions
from batchinfer.pipeline.scoring.devices import choose_device
from batchinfer.pipeline.scoring.earlier_runs import (
    estimated_seconds,
    known_rates,
    runs_of_bundle,
    worker_bytes,
)
from batchinfer.pipeline.scoring.resolved_inputs import (
    ResolvedModel,
    check_suite_columns,
    choose_slice_road,
    columns_to_read,
    load_suites,
    resolve_model,
)
from batchinfer.pipeline.slices.landed import find_slice
from batchinfer.pipeline.slices.slice_data import SliceData
from batchinfer.pipeline.slices.table_columns import TableColumns
from batchinfer.spark.capacity import (
    is_one_process,
    local_workers,
    master_of,
    problems_of,
    worker_threads,
)
from batchinfer.spark.shipping import is_local

if TYPE_CHECKING:
    from batchinfer.lake.runs import LatestRun

Found = TypeVar("Found")
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
    from batchinfer.lake.storage import check_writable
    from batchinfer.pipeline.scoring.published import check_owner, read_published

    result = Plan(pipeline=context.name, slice=slice_, status="ready", problems=[], hints=[])
    few = False

    def attempt(work: Callable[[], Found]) -> Found | None:
        try:
            return work()
        except BatchInferError as error:
            # What several checks need, such as a feature table, is told once.
            result["problems"] += [
                problem for problem in error.problems if problem not in result["problems"]
            ]
            result.exit_code = result.exit_code or error.exit_code
            hint = error.hint or next_step(context.asked, "score", slice_, error)
            if hint and hint not in result["hints"]:
                result["hints"].append(hint)
            return None

    columns = TableColumns(context)
    if context.pipeline.derive:
        result["derive"] = dict(context.pipeline.derive)
    suites = attempt(lambda: load_suites(context.pipeline, context.root))
    data = attempt(lambda: find_slice(context, slice_))
    model = attempt(lambda: resolve_model(columns))
    attempt(lambda: check_writable(context.environment.lake))
    if data:
        result |= {
            "source_table": data.table,
            "source_version": data.version,
            "rows": data.rows,
            "bytes": data.size,
        }
        result["files"] = len(data.files)
        if road := attempt(lambda: choose_slice_road(columns, data)):
            few = few_rows.are_few(context.environment, context.pipeline, data, road)
            reason = few_rows.REASON.format(rows=data.rows) if few else road.reason
            result |= {"road": road.name, "road_reason": reason}
        if context.pipeline.prepare:
            result |= attempt(lambda: _preparation_facts(columns, data)) or {}
    if model:
        result |= _model_facts(columns, model)
        attempt(lambda: check_suite_columns(columns, suites or {}, model))
        attempt(lambda: check_predictions(columns, model, slice_))
    earlier: list[LatestRun] = []
    if model:
        earlier = (
            attempt(lambda: runs_of_bundle(context.runs, context.name, model.ref.digest)) or []
        )
    if data and model:
        with remedies(context):
            published = read_published(context, slice_).get(slice_)
        if note := attempt(lambda: check_owner(context, slice_, published)):
            result["warnings"].append(note)
        fresh = published is not None and not published.is_stale(data, model.ref.digest)
        result["action"] = "nothing: published from this data by this model" if fresh else "score"
        result["estimated_s"] = estimated_seconds(earlier, data.rows, starts_spark=not few)
        result["estimated_how"] = (
            f"{len(earlier)} earlier runs of this model"
            if earlier
            else "no earlier run of this model"
        )
    batch = context.pipeline.model.batch
    count = 1 if few else local_workers(context.environment.spark)
    if model:
        attempt(lambda: _check_device(context.environment, context.pipeline))
        attempt(lambda: _check_model_task(context.environment))
        result |= _memory(earlier, result["bundle_bytes"], batch.max_bytes, count)
        result["warnings"] += model.outdated
    result |= {
        "batch_rows": _batch_rows(earlier) if batch.rows == "auto" else batch.rows,
        "batch_bytes": batch.max_bytes,
        "workers": count,
        "threads_per_worker": worker_threads(context.environment.spark),
        "checks": sorted(suites or {}),
        "table": context.predictions,
    }
    attempt(lambda: _tell_upstream(context, slice_, result))
    if result["problems"]:
        result["status"] = "problems"
        result["errors"] = result["problems"]
    return result


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


def _check_device(environment: Environment, pipeline: Pipeline) -> None:
    """A GPU that is asked for must be there, where executors run on this machine.

    Imports PyTorch, which takes seconds, only then.
    """
    if pipeline.model.device == "cuda" and is_local(master_of(environment.spark)):
        choose_device("cuda")


def _check_model_task(environment: Environment) -> None:
    """What a task of the model takes must fit into an executor, as far as the environment's file
    says what that has.
    """
    settings = environment.spark
    conf = {name: str(value) for name, value in settings.conf.items()}
    if not is_one_process(master_of(environment.spark)) and (
        problems := problems_of(conf, settings.model_task)
    ):
        raise ConfigError(problems)


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
        "precision": columns.context.pipeline.model.precision,
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
