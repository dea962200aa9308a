"""`batchinfer status` and `batchinfer ls`: what there is, and in which state. No JVM.

Owns what these commands take and call.
"""

from __future__ import annotations

from typing import Any

import click

from batchinfer.command import end_command
from batchinfer.command_line.cli_options import env_option, pipelines_options


@click.command("status")
@pipelines_options
@click.option("--from", "start", metavar="SLICE", help="The first slice that is told.")
@click.option("--to", "end", metavar="SLICE", help="The last slice that is told.")
@click.option(
    "--check",
    is_flag=True,
    help="For monitors: not exit 0 if predictions are late (fresh_within), failed or stale.",
)
def status_command(
    refs: tuple[str, ...],
    env: str,
    overrides: tuple[str, ...],
    start: str | None,
    end: str | None,
    check: bool,
) -> None:
    """Slices: published, stale, failed, missing, running; the newest first. No JVM."""

    def work() -> Any:
        from batchinfer.api_reads import status
        from batchinfer.command_line.several_pipelines import run_each
        from batchinfer.show import show_status

        return run_each(
            refs, lambda ref: show_status(status(ref, env, overrides, start, end, check=check))
        )

    end_command(work, pipeline=refs[0] if len(refs) == 1 else None)


@click.command("ls")
@env_option
def ls_command(env: str) -> None:
    """The project's pipelines: newest slice, its state, schedule. No JVM."""

    def work() -> Any:
        from batchinfer.pipeline.ls import list_pipelines
        from batchinfer.show import show_pipelines

        return show_pipelines(list_pipelines(env))

    end_command(work)
