"""`batchinfer init`: how a project and a pipeline file begin.

Owns options only; imports nothing heavy.
"""

from __future__ import annotations

from typing import Any

import click


@click.command("init")
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
