"""`batchinfer load` and `batchinfer predict`: the road out of the tables, and past them.

Owns what the commands take and call.
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
        from batchinfer.report.shown_answers import show_load

        return show_load(load(ref, slice_, to, full, verify, rollback, env, overrides))

    end_command(work, pipeline=ref, slice=slice_)


@click.command("predict")
@pipeline_options
@click.option(
    "--key",
    "keys",
    multiple=True,
    metavar="COLUMN=VALUE,…",
    help="One key, all its columns: its newest landed row is scored; repeat for several.",
)
@click.option("--row", metavar="JSON", help="A row, or a list of rows, with the model's columns.")
def predict_command(
    ref: str, env: str, overrides: tuple[str, ...], keys: tuple[str, ...], row: str | None
) -> None:
    """Score a row now, in this process. Exit 3 if a key has not landed or a row fails."""
    if bool(keys) == (row is not None):
        raise click.UsageError("got both of --key and --row, or neither; allowed: one of them")

    def work() -> Any:
        from batchinfer.pipeline.answering.predicted_now import predict_keys, predict_rows
        from batchinfer.pipeline.definition.context import Context
        from batchinfer.report.shown_answers import show_predicted

        context = Context.open(ref, env, overrides)
        told = predict_keys(context, keys) if row is None else predict_rows(context, row)
        return show_predicted(told)

    end_command(work, pipeline=ref)
