"""What the driver's own work costs, by the project's own functions on made-up logs and results: the
constants of `scale_model`.

    python -m benchmarks.scale_constants                     # some minutes; no rows are scored
    python -m benchmarks.scale_constants --only open_log   # the others stay as they are

Each case runs in a process of its own, so that its peak of memory is its own. Of every repeat the
lesser of wall and CPU time counts (on a busy machine a process waits for a core, and that is no
part of the work), and of the repeats the least. Files of made-up logs are empty: only their entries
are read.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import scale_cases, scale_sessions
from benchmarks.revision import commit
from benchmarks.scale_limits import CONSTANTS

CASES: dict[str, tuple[Callable[..., dict[str, Any]], tuple[int, ...]]] = {
    "commit_adds": (scale_cases.commit_adds, (1_000, 10_000, 100_000)),
    "open_log": (scale_cases.open_log, (1_000, 10_000, 100_000)),
    "commit_slice": (scale_cases.commit_slice, (1_000, 10_000, 100_000)),
    "read_transactions": (scale_cases.read_transactions, (1_000, 10_000, 100_000)),
    "take_results": (scale_cases.take_results, (1_000, 10_000)),
    "make_tasks": (scale_cases.make_tasks, (1_000, 10_000)),
    "key_blocks": (scale_cases.key_blocks, (10_000, 100_000)),
    "plan_small_files": (scale_cases.plan_small_files, (1_000, 100_000)),
    "plan_large_files": (scale_cases.plan_large_files, (100, 1_000)),
    "status_slices": (scale_cases.status_slices, (100, 1_000)),
    "lookup_files": (scale_cases.lookup_files, (1_000, 100_000)),
    "earlier_runs": (scale_cases.earlier_runs, (50, 400)),
    "resolve_model": (scale_cases.resolve_model, (1, 20)),
    "report_tasks": (scale_cases.report_tasks, (1_000, 10_000)),
    "tiny_tasks": (scale_sessions.tiny_tasks, (50, 200)),
    "jvm_tasks": (scale_sessions.jvm_tasks, (1_000, 3_000)),
    "check_rows": (scale_sessions.check_rows, (1_000_000, 32_000_000)),
}


def main() -> int:
    """Measures all cases, or those named, and prints one JSON document."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--only", nargs="+", choices=sorted(CASES), default=list(CASES))
    options.add_argument(
        "--into",
        type=Path,
        default=CONSTANTS,
        help="the file in which the measured cases replace the former ones",
    )
    options.add_argument("--case", nargs=2, metavar=("NAME", "SIZE"), help=argparse.SUPPRESS)
    arguments = options.parse_args()
    if arguments.case:
        name, size = arguments.case
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(CASES[name][0](Path(folder), int(size))))
        return 0
    for name in arguments.only:
        sizes = [_apart(name, size) for size in CASES[name][1]]
        known = json.loads(arguments.into.read_text()) if arguments.into.exists() else {}
        told = {
            "date": f"{dt.date.today():%Y-%m-%d}",
            "commit": commit(),
            "cores": os.cpu_count(),
            "load": round(os.getloadavg()[0], 1),
        }
        cases = known | {name: told | {"sizes": sizes}}
        arguments.into.write_text(json.dumps(cases, indent=1) + "\n")
    print(
        json.dumps(
            {
                "benchmark": "scale_constants",
                "measured": arguments.only,
                "commit": commit(),
                "machine": platform.machine(),
            }
        )
    )
    return 0


def _apart(name: str, size: int) -> dict[str, Any]:
    started = time.perf_counter()
    command = [sys.executable, "-m", "benchmarks.scale_constants", "--case", name, str(size)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{name} {size}: {done.stderr[-2000:]}")
    told = {"size": size} | json.loads(done.stdout.splitlines()[-1])
    print(
        f"{name:18} {size:9,}  {json.dumps(told)}  ({time.perf_counter() - started:.0f} s)",
        file=sys.stderr,
    )
    return told


if __name__ == "__main__":
    raise SystemExit(main())
