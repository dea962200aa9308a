"""Tabular scoring: this engine against a bare two-process PyTorch loop and Spark's own ways.

    make bench                      # or: python -m benchmarks.tabular --rows 1000000 --repeats 3

What bounds the figure: the forward pass is the same for all, so what differs is how rows reach it and how predictions
leave. Rows that pass the JVM are encoded, copied and decoded column by column; workers that read their own row groups
pay none of it. Session start is not part of the figures; every contender has a warm-up run on the first repeat's data.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.contenders import CONTENDERS, Workload, check_output, clear, make_workload


def main() -> int:
    """Runs all contenders in turn, several times; prints medians and ratios to the bare loop."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=1_000_000)
    options.add_argument("--repeats", type=int, default=3)
    arguments = options.parse_args()

    from batchinfer.config.loader import load_state
    from batchinfer.session import open_session

    os.environ["PYTHONPATH"] = str(Path(__file__).parents[1])
    spark = open_session(load_state("local")[0].spark, "benchmark")
    seconds: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    with tempfile.TemporaryDirectory() as folder:
        workload = make_workload(Path(folder), arguments.rows)
        for repeat in range(arguments.repeats + 1):
            for name in CONTENDERS:
                taken = _measure(name, workload, spark)
                print(f"{'warm-up' if repeat == 0 else f'run {repeat}':8} {name:24} {taken:7.2f} s", file=sys.stderr)
                if repeat:
                    seconds[name].append(taken)
    _print(seconds, arguments.rows)
    spark.stop()
    return 0


def _measure(name: str, workload: Workload, spark: object) -> float:
    clear(workload)
    started = time.perf_counter()
    CONTENDERS[name](workload, spark)
    taken = time.perf_counter() - started
    check_output(workload)
    return taken


def _print(seconds: dict[str, list[float]], rows: int) -> None:
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    bare = medians["bare loop"]
    print(f"\n{rows:,} rows x 64 float32, MLP 64-256-256-1, {os.cpu_count()} cores", file=sys.stderr)
    for name, median in medians.items():
        line = f"  {name:24} {median:7.2f} s  {rows / median:12,.0f} rows/s  {bare / median:5.2f} of the bare loop"
        print(line, file=sys.stderr)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    body = {"benchmark": "tabular", "rows": rows, "medians_s": medians, "all_s": seconds, "commit": commit}
    print(json.dumps(body | {"cores": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}))


if __name__ == "__main__":
    raise SystemExit(main())
