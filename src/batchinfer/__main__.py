"""Where every command begins, whether as `batchinfer`, as `python -m batchinfer` or as a job.

Owns the first instant: signals are obeyed before anything that takes time is imported.
"""

from __future__ import annotations

from batchinfer import stopping

stopping.listen()


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
