"""Options that commands share, and the group that commands stand in.

Owns their spelling and help, and what a mistyped command is told. Knows no command; imports nothing
heavy, as every start pays for it.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import click

Command = Callable[..., None]

env_option: Callable[[Command], Command] = click.option(
    "--env",
    default=lambda: os.environ.get("BATCHINFER_ENV", "local"),
    help="Environment (default: local).",
)


class CommandGroup(click.Group):
    """Commands in the order in which they are used; usage errors end in the JSON line like all
    others.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        from difflib import get_close_matches

        found = super().get_command(ctx, cmd_name)
        if found is None:
            near = get_close_matches(cmd_name, self.commands, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise click.UsageError(
                f"no command {cmd_name!r}{hint} Allowed: {', '.join(self.commands)}"
            )
        return found


def pipeline_options(command: Command) -> Command:
    """-p, --env and --set, as on every command of a pipeline."""
    for option in (
        click.option(
            "--set",
            "overrides",
            multiple=True,
            metavar="A.B=VALUE",
            help="Override a value of the pipeline file.",
        ),
        env_option,
        click.option(
            "-p",
            "--pipeline",
            "ref",
            required=True,
            metavar="NAME|FILE",
            help="Pipeline name, or a YAML file.",
        ),
    ):
        command = option(command)
    return command
