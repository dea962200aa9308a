"""`batchinfer init`: how a project and a pipeline file begin.

Owns options only; imports nothing heavy.
"""

from __future__ import annotations

import os
import shlex
from typing import Any

import click

from batchinfer.errors import ConfigError
from batchinfer.hints import CommandLine, Hint


class _OneWordOfData(click.Command):
    """A command that says so where a shell has made several words of a pattern behind `--from`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        _check_pattern(args)
        return super().parse_args(ctx, args)


def _check_pattern(words: list[str]) -> None:
    """Whether one file at most stands where a name and one word of data may.

    Raises:
        ConfigError: several; the hint is the command with the pattern in quotes.
    """
    behind = words.index("--from") + 1 if "--from" in words else len(words)
    files = [word for word in words[behind:] if os.path.isfile(word)]
    if len(files) < 2 or words[behind] != files[0]:
        return
    folders = {os.path.dirname(file) for file in files}
    endings = {os.path.splitext(file)[1] for file in files}
    pattern = os.path.join(folders.pop(), f"*{endings.pop()}")
    is_one = not folders and not endings
    rest = [word for word in words[behind:] if word not in files]
    command = ["batchinfer", "init", *words[:behind], pattern, *rest]
    raise ConfigError(
        f"init: got {len(files):,} files behind --from ({', '.join(files[:3])}"
        f"{', …' if len(files) > 3 else ''}): a shell makes them of a pattern that stands without "
        "quotes; allowed: one file, or one pattern in quotes",
        Hint("with the pattern in quotes: ", CommandLine(shlex.join(command))) if is_one else None,
    )


@click.command("init", cls=_OneWordOfData)
@click.argument("name", required=False)
@click.option(
    "--from",
    "data",
    metavar="DATA",
    help="A CSV file or pattern, JSON lines, a Parquet file or folder, a Delta table's folder.",
)
@click.option("--target", metavar="COLUMN", help="The column to learn.")
@click.option("--out", metavar="FILE", help="The file to write; then no project is made.")
def init_command(name: str | None, data: str | None, target: str | None, out: str | None) -> None:
    """Make a project, and a pipeline file from data.

    With --from, conf/pipelines/NAME.yaml is written: schema, key, features and training, each
    with the reason as a comment. The project is the nearest folder at or above this one with a
    conf/; where there is none, it is made here. Without --from only that is done, with or without
    a NAME. Nothing that is there is overwritten.
    """
    from batchinfer.command import end_command

    def work() -> Any:
        from batchinfer.api import init
        from batchinfer.show import show_init

        return show_init(init(name, data, target, out=out))

    end_command(work, pipeline=name)
