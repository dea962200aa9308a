"""`batchinfer setup`: what an environment lacks after the package was installed into it.

Owns the command alone; the steps are those of `install`. Imports nothing heavy.
"""

from __future__ import annotations

from typing import Any

import click


@click.command("setup")
def setup_command() -> None:
    """Bring what pip cannot: Delta's jars, the JVM's class-data archive. Again, it does nothing."""
    from batchinfer.command import end_command

    def work() -> Any:
        from batchinfer.install import set_up

        return set_up()

    end_command(work)
