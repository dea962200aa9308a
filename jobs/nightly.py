"""What schedulers call: lands what is new, then scores what landed and what the week before lacks.

    ./spark-submit.sh jobs/nightly.py --pipeline income --tries 3

Options are those of `batchinfer nightly`; the last line of stdout is its JSON, the exit code that
of the contract.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from batchinfer.__main__ import main as batchinfer


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command in the session that spark-submit started; returns its exit code."""
    return batchinfer(["nightly", *(sys.argv[1:] if argv is None else argv)])


if __name__ == "__main__":
    sys.exit(main())
