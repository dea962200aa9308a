"""`batchinfer plan` and `batchinfer backfill`: what runs would do and cost, and runs of a span.

Owns what these commands take and call.
"""

from __future__ import annotations

from typing import Any

import click

from batchinfer.command import end_command
from batchinfer.command_line.cli_options import pipeline_options, pipelines_options, slice_option


@click.command("plan")
@pipeline_options
@slice_option("slice_", help="One slice, with all that is known of its run.")
@click.option("--from", "start", metavar="SLICE", help="In place of --slice: as of backfill.")
@click.option("--to", "end", metavar="SLICE", help="In place of --slice: as of backfill.")
@click.option("--force", is_flag=True, help="With --from and --to: published slices too.")
def plan_command(
    ref: str,
    env: str,
    overrides: tuple[str, ...],
    slice_: str | None,
    start: str | None,
    end: str | None,
    force: bool,
) -> None:
    """What score or backfill would do and cost, and every problem; scores nothing. No JVM."""
    if (start is None) != (end is None) or (slice_ is None) == (start is None):
        raise click.UsageError("plan takes --slice, or --from and --to")
    if force and slice_ is not None:
        raise click.UsageError("plan takes --force with --from and --to")

    def work() -> Any:
        from batchinfer.command_line.span_table import show_span_plan
        from batchinfer.pipeline.definition.context import Context
        from batchinfer.pipeline.plan import plan_backfill, plan_slice
        from batchinfer.show import show_plan

        context = Context.open(ref, env, overrides)
        if slice_ is not None:
            return show_plan(plan_slice(context, slice_))
        return show_span_plan(plan_backfill(context, str(start), str(end), force))

    end_command(work, pipeline=ref, slice=slice_)


@click.command("backfill")
@pipelines_options
@click.option("--from", "start", required=True, metavar="SLICE")
@click.option("--to", "end", required=True, metavar="SLICE")
@click.option("--force", is_flag=True, help="Score published slices again too.")
@click.option(
    "--parallel",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Slices at the same time.",
)
@click.option(
    "--max-cost",
    type=click.FloatRange(min=0),
    metavar="COST",
    help="Begin no slice with which all would cost more, at the pipeline's prices (else exit 9).",
)
def backfill_command(
    refs: tuple[str, ...],
    env: str,
    overrides: tuple[str, ...],
    start: str,
    end: str,
    force: bool,
    parallel: int,
    max_cost: float | None,
) -> None:
    """Score every landed slice between two that is missing, stale or failed."""
    if max_cost is not None and len(refs) > 1:
        raise click.UsageError("backfill takes --max-cost with one pipeline")

    def work() -> Any:
        from batchinfer.api import session_of
        from batchinfer.command_line.several_pipelines import run_each
        from batchinfer.pipeline.backfill import backfill_slices
        from batchinfer.pipeline.definition.context import Context
        from batchinfer.show import show_backfill

        def backfill(ref: str) -> Any:
            context = Context.open(ref, env, overrides)
            opener = session_of(context, scores=True)
            return show_backfill(
                backfill_slices(context, start, end, opener, force, parallel, max_cost=max_cost)
            )

        return run_each(refs, backfill)

    end_command(work, pipeline=refs[0] if len(refs) == 1 else None)
