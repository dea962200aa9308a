"""Where every command begins, whether as `batchinfer`, as `python -m batchinfer` or as a job.

Owns the first instant: signals are obeyed before anything that takes time is imported, imports are
not looked through for garbage, and packages not for plugins.
"""

from __future__ import annotations

import gc
import os

from batchinfer import stopping

# Imports make objects by the hundred thousand, all of which stay: to look through them at Python's
# own threshold of 700 took a sixth of the time of a short command, and to do so once a fifteenth.
_OBJECTS = 300_000

stopping.listen()
gc.set_threshold(_OBJECTS)
# To look for plugins pydantic reads the metadata of all packages that are installed, which took a
# twentieth of the time of a short command. Whoever has some sets the variable to something else.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")


def main(argv: list[str] | None = None) -> int:
    """Runs a command; its exit code."""
    try:
        from batchinfer.cli import main as run

        return run(argv)
    except KeyboardInterrupt:
        from batchinfer.command import report_interrupted

        return report_interrupted()


def script() -> None:
    """The console script."""
    from batchinfer.command import leave

    leave(main())


if __name__ == "__main__":
    script()
