"""Scores the quarantined rows of a published slice again; those that pass now join it.

    ./spark-submit.sh jobs/replay.py --pipeline income --slice 2026-11-21

Options are those of `batchinfer replay`; the last line of stdout is its JSON, the exit code that of
the contract.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from batchinfer.__main__ import main as batchinfer


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command in the session that spark-submit started; returns its exit code."""
    return batchinfer(["replay", *(sys.argv[1:] if argv is None else argv)])


if __name__ == "__main__":
    sys.exit(main())
