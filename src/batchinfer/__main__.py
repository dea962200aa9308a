"""Where every command begins, whether as `batchinfer`, as `python -m batchinfer` or as a job.

Owns the first instant: signals are obeyed before anything that takes time is imported, and imports
are not looked through for garbage.
"""

from __future__ import annotations

import gc

from batchinfer import stopping

# Imports make objects by the hundred thousand, all of which stay: to look through them at Python's
# own threshold of 700 took a sixth of the time of a short command.
_OBJECTS = 100_000

stopping.listen()
gc.set_threshold(_OBJECTS)


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
