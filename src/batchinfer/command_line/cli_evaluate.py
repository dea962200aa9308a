"""`batchinfer evaluate`: how good published predictions were. No JVM.

Owns what the command takes and calls.
"""

from __future__ import annotations

from typing import Any

import click

from batchinfer.command import end_command
from batchinfer.command_line.cli_options import pipeline_options, slice_option


@click.command("evaluate")
@pipeline_options
@slice_option("slice_", help="One published slice.")
@click.option("--from", "start", metavar="SLICE", help="Or all published slices from this one on.")
@click.option("--to", "end", metavar="SLICE", help="The last of them.")
@click.option(
    "--as-of", metavar="DAY|TIME", help="Only outcomes known by then, by the column outcomes.at."
)
def evaluate_command(
    ref: str,
    env: str,
    overrides: tuple[str, ...],
    slice_: str | None,
    start: str | None,
    end: str | None,
    as_of: str | None,
) -> None:
    """Metrics of published predictions against what came true (outcomes). No JVM."""

    def work() -> Any:
        from batchinfer.api_reads import evaluate
        from batchinfer.show import show_evaluation

        return show_evaluation(evaluate(ref, slice_, start, end, as_of, env, overrides))

    end_command(work, pipeline=ref, slice=slice_)
