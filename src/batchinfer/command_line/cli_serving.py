"""`batchinfer load`: predictions go into online stores.

Owns what the command takes and calls.
"""

from __future__ import annotations

from typing import Any

import click

from batchinfer.command import end_command
from batchinfer.command_line.cli_options import pipeline_options, slice_option


@click.command("load")
@pipeline_options
@slice_option("slice_", help="The greatest slice that counts. Default: all.")
@click.option(
    "--to",
    type=click.Choice(["embedded", "redis", "dynamodb", "postgres"]),
    help="One store alone. Default: all that the pipeline file names, else embedded.",
)
@click.option("--full", is_flag=True, help="Write all rows, not only those that have changed.")
@click.option("--verify", is_flag=True, help="Hold the store against the table, row by row.")
@click.option("--rollback", is_flag=True, help="Back to the generation before; loads nothing.")
def load_command(
    ref: str, env: str, overrides: tuple[str, ...], slice_: str | None, to: str | None,
    full: bool, verify: bool, rollback: bool,
) -> None:  # fmt: skip
    """Copy the newest served row of each key into online stores."""

    def work() -> Any:
        from batchinfer.api_reads import load
        from batchinfer.report.shown_loads import show_load

        return show_load(load(ref, slice_, to, full, verify, rollback, env, overrides))

    end_command(work, pipeline=ref, slice=slice_)
