"""Which share of each file's lines and branches tests took, as coverage.py has it as JSON.

    python tests/coverage_of_files.py .coverage.json

Fails where one of the files that decide what a table says is below the floor. What only executors
or a JVM run is not seen by tests without them: those files are told, and have no floor.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

FLOOR = 90.0
HELD = (
    "config/sources.py", "errors.py", "json_values.py", "lake/ledger.py", "lake/runs.py",
    "models/adam.py", "models/formats/pickles.py", "models/metrics.py",
    "pipeline/definition/context.py", "pipeline/landing/increment.py",
    "pipeline/landing/landing_task.py", "pipeline/run_record.py", "pipeline/scoring/commits.py",
    "pipeline/scoring/outcome.py", "pipeline/scoring/publication.py",
    "pipeline/scoring/published.py", "pipeline/scoring/task_plan.py",
    "pipeline/scoring/task_result.py", "pipeline/slices/staged_rows.py",
    "pipeline/slices/table_facts.py", "pipeline/status.py", "schedule.py",
    "sources/http/client.py", "sources/patterns.py", "sources/source_splits.py",
    "sources/text/byte_ranges.py",
)  # fmt: skip


def main(place: str) -> int:
    """Prints the files, the least covered first; 1 where one that is held is below the floor."""
    told = json.loads(Path(place).read_text())
    shares = {
        name.partition("src/batchinfer/")[2]: each["summary"]["percent_covered"]
        for name, each in told["files"].items()
    }
    missing = [name for name in HELD if name not in shares]
    below = [name for name in HELD if shares.get(name, 0.0) < FLOOR]
    for name, share in sorted(shares.items(), key=lambda each: each[1]):
        print(f"{share:6.1f}  {name}{'  (held)' if name in HELD else ''}")
    print(f"{told['totals']['percent_covered']:6.1f}  all")
    for name in below:
        print(f"below {FLOOR:g}: {name}", file=sys.stderr)
    return 1 if missing or below else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
