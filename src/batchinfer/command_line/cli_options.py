"""Options that commands share, and the group that commands stand in.

Owns their spelling and help, and what a mistyped command is told. Knows no command; imports nothing
heavy, as every start pays for it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import click

from batchinfer.command_line.cli_completion import complete_pipeline, complete_slice

Command = Callable[..., None]

env_option: Callable[[Command], Command] = click.option(
    "--env",
    default=lambda: os.environ.get("BATCHINFER_ENV", "local"),
    help="Environment (default: local).",
)


JSON = "--json"


def asks_for_json(arguments: Sequence[str]) -> bool:
    """Whether an interactive terminal is to get the JSON line; known before the rest is parsed, so
    that it holds for usage errors too.
    """
    return JSON in arguments


def _json_option() -> click.Option:
    return click.Option(
        [JSON],
        is_flag=True,
        expose_value=False,
        help="Print the JSON line on a terminal too; elsewhere it is always the last line.",
    )


class CommandGroup(click.Group):
    """Commands in the order in which they are used, each with `--json`; usage errors end in the
    JSON line like all others.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.append(_json_option())

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        cmd.params.append(_json_option())
        super().add_command(cmd, name)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        found = super().get_command(ctx, cmd_name)
        if found is None:
            from difflib import get_close_matches

            near = get_close_matches(cmd_name, self.commands, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise click.UsageError(
                f"no command {cmd_name!r}{hint} Allowed: {', '.join(self.commands)}"
            )
        return found


# With the name of the argument, and what else `click.option` takes.
slice_option = partial(click.option, "--slice", shell_complete=complete_slice)

_set_option: Callable[[Command], Command] = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="A.B=VALUE",
    help="Override a value of the pipeline file.",
)


# With the name of the argument, and the help.
_pipeline_option = partial(
    click.option,
    "-p",
    "--pipeline",
    required=True,
    metavar="NAME|FILE",
    shell_complete=complete_pipeline,
)


def pipeline_options(command: Command) -> Command:
    """-p, --env and --set, as on every command of a pipeline."""
    pipeline = _pipeline_option("ref", help="Pipeline name, or a YAML file.")
    return pipeline(env_option(_set_option(command)))


def pipelines_options(command: Command) -> Command:
    """The same of a command that takes several pipelines."""
    several = "Pipeline name, or a YAML file; repeat for several."
    pipelines = _pipeline_option("refs", multiple=True, help=several)
    return pipelines(env_option(_set_option(command)))


def served_pipelines_options(command: Command) -> Command:
    """The same of a command that takes all pipelines of the project where none is named."""
    several = "Pipeline name, or a YAML file; repeat for several. Default: all of the project."
    pipelines = _pipeline_option("refs", multiple=True, required=False, help=several)
    return pipelines(env_option(_set_option(command)))


def _words(
    context: click.Context, option: click.Parameter, given: tuple[str, ...]
) -> dict[str, str]:
    """`COLUMN=WORD` of each; an equals sign may stand in the word."""
    pairs = [one.partition("=") for one in given]
    wrong = [name for name, sign, _ in pairs if not (name and sign)]
    if wrong:
        raise click.BadParameter(
            f"got {wrong[0]!r}; allowed: COLUMN=none, COLUMN=nan, or COLUMN and the word that "
            "stood for a missing value",
            context,
            option,
        )
    return {name: word for name, _, word in pairs}


def _attributes(
    context: click.Context, option: click.Parameter, given: tuple[str, ...]
) -> dict[str, str]:
    pairs = [one.partition("=") for one in given]
    for name, sign, _ in pairs:
        if not (name and sign):
            raise click.BadParameter(f"got {name!r}; allowed: NAME=VALUE", context, option)
    return {name: value for name, _, value in pairs}


attributes_option: Callable[[Command], Command] = click.option(
    "--attribute",
    "attributes",
    multiple=True,
    callback=_attributes,
    metavar="NAME=VALUE",
    help="With --fallback: what is known of the key, such as region=north; repeat for several.",
)


def register_options(command: Command) -> Command:
    """The options of `register` besides those of every command of a pipeline."""
    for option in (
        click.option(
            "--reference",
            metavar="PATH",
            help="The model that this one was converted from: both must say the same of landed "
            "rows.",
        ),
        click.option(
            "--allow-difference",
            is_flag=True,
            help="Register a model that says here something else than at home.",
        ),
        click.option(
            "--missing",
            multiple=True,
            callback=_words,
            metavar="COLUMN=WORD",
            help="What stood for a missing value in the rows that the model was fitted on: none, "
            "nan, or the word itself (in quotes, where that is the text none or nan).",
        ),
        click.option(
            "--alias",
            help="Alias for the new version. Default: the pipeline's own, if no version has it "
            "yet.",
        ),
        click.option(
            "--artifact",
            required=True,
            metavar="PATH|URI",
            help="A .pt2, TorchScript, .onnx, .skops or .safetensors file, an MLflow model folder, "
            "models:/NAME/V or runs:/ID/PATH.",
        ),
    ):
        command = option(command)
    return command
