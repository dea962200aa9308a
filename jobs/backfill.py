"""Scores every landed slice between two that is missing, stale or failed.

    ./spark-submit.sh jobs/backfill.py --pipeline bot_traffic --from 2015-05-17 --to 2015-05-20

Options are those of `batchinfer backfill`; the last line of stdout is its JSON, the exit code that
of the contract.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from batchinfer.__main__ import main as batchinfer


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command in the session that spark-submit started; returns its exit code."""
    return batchinfer(["backfill", *(sys.argv[1:] if argv is None else argv)])


if __name__ == "__main__":
    sys.exit(main())
