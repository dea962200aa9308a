"""Copies the newest served row of each key into the online stores of a pipeline.

    ./spark-submit.sh jobs/load.py --pipeline income

Options are those of `batchinfer load`; the last line of stdout is its JSON, the exit code that of
the contract.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from batchinfer.__main__ import main as batchinfer


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command in the session that spark-submit started; returns its exit code."""
    return batchinfer(["load", *(sys.argv[1:] if argv is None else argv)])


if __name__ == "__main__":
    sys.exit(main())
