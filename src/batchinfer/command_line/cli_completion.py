"""`batchinfer completion` and what a shell is told while someone types: names of pipelines, slices
that have landed.

Owns how these are found. A shell waits for them, so nothing is said of what goes wrong.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

PROGRAM, VARIABLE = "batchinfer", "_BATCHINFER_COMPLETE"


def is_asked() -> bool:
    """Whether a shell runs this process to complete a line, not to run a command."""
    return VARIABLE in os.environ


def complete_pipeline(
    _context: click.Context, _option: click.Parameter, typed: str
) -> list[CompletionItem]:
    """Names of the project's pipelines; once there is a slash, files."""
    from click.shell_completion import CompletionItem

    from batchinfer.config.project import find_project, pipeline_files

    if "/" in typed or typed.startswith("."):
        return [CompletionItem(typed, type="file")]
    names = sorted({file.stem for file in pipeline_files(find_project(Path.cwd()))})
    return [CompletionItem(name) for name in names if name.startswith(typed)]


def complete_slice(
    context: click.Context, _option: click.Parameter, typed: str
) -> list[CompletionItem]:
    """Slices of the pipeline that the line names already, the newest first; none where its file is
    wrong.
    """
    from click.shell_completion import CompletionItem

    from batchinfer.errors import BatchInferError
    from batchinfer.pipeline.definition.context import Context
    from batchinfer.pipeline.slices.landed import read_slices

    given = context.params.get("ref") or context.params.get("refs")
    refs = [given] if isinstance(given, str) else list(given or ())
    env = context.params.get("env") or os.environ.get("BATCHINFER_ENV", "local")
    names: set[str] = set()
    for ref in refs:
        try:
            names |= set(read_slices(Context.open(ref, env).landed))
        except BatchInferError:
            continue
    return [CompletionItem(name) for name in sorted(names, reverse=True) if name.startswith(typed)]


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion_command(context: click.Context, shell: str) -> None:
    """Print the script that completes commands, pipelines and slices in a shell."""
    from click.shell_completion import get_completion_class

    from batchinfer.command import leave, print_script

    known = get_completion_class(shell)
    assert known is not None, "the argument takes no other"
    print_script(known(context.find_root().command, {}, PROGRAM, VARIABLE).source())
    leave(0)
