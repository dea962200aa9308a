"""`batchinfer nightly`: what schedulers call.

Owns what the command takes; what a night does stands in `nights/`.
"""

from __future__ import annotations

import click

from batchinfer.command_line.cli_options import pipelines_options
from batchinfer.schedule import MOST_OUTSIDE


@click.command("nightly")
@pipelines_options
@click.option(
    "--slice", "slice_", metavar="DAY", help="The day of the run. Default: today, in UTC."
)
@click.option(
    "--most",
    type=click.IntRange(0),
    default=MOST_OUTSIDE,
    show_default=True,
    help="Slices that are scored besides the week before the day, at most.",
)
@click.option(
    "--tries",
    type=click.IntRange(1, 20),
    default=1,
    show_default=True,
    help="Attempts, if it ends in exit 6 or 8.",
)
@click.option(
    "--wait-s",
    type=click.FloatRange(0),
    default=600,
    show_default=True,
    help="Seconds between two attempts.",
)
def nightly_command(
    refs: tuple[str, ...],
    env: str,
    overrides: tuple[str, ...],
    slice_: str | None,
    most: int,
    tries: int,
    wait_s: float,
) -> None:
    """What schedulers call: extract, then score what landed, and what the week before it lacks."""
    from batchinfer.command import leave
    from batchinfer.nights.nightly import run_nights

    leave(run_nights(refs, slice_, env, overrides, tries, wait_s, most))
