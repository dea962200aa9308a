"""`batchinfer score` on rows of which each stands ten times, scattered over all files, against
itself without looking for them.

    make bench-duplicates   # or: python -m benchmarks.duplicates --distinct 200000 --repeats 3

The model has ten times the work of the tabular benchmark's. What brings equal rows together is part
of the figure.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import product
from benchmarks.revision import commit
from benchmarks.workloads import ROOT, make_workload

COPIES, HIDDEN = 10, 900


def main() -> int:
    """Runs each way in turn, several times."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--distinct", type=int, default=200_000)
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--master", help="of Spark, such as local-cluster[2,1,4096]")
    arguments = options.parse_args()
    os.environ["PYTHONPATH"] = str(ROOT)

    from batchinfer.config.loader import load_state
    from batchinfer.spark.session import open_session

    settings = load_state("local")[0].spark
    if arguments.master:
        settings = settings.model_copy(update={"master": arguments.master})
    spark = open_session(settings, "benchmark")
    ways = ("never", "auto")
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    stages: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        workload = make_workload(Path(folder), arguments.distinct)
        for repeat in range(arguments.repeats + 1):
            for way in ways:
                taken, stages[way] = product.score(
                    workload, spark, [f"model.deduplicate={way}"], COPIES, HIDDEN
                )
                print(
                    f"{'warm-up' if repeat == 0 else f'run {repeat}':8} {way:6} {taken:7.2f} s",
                    file=sys.stderr,
                )
                if repeat:
                    seconds[way].append(taken)
    spark.stop()
    medians = {way: statistics.median(times) for way, times in seconds.items()}
    times = medians["never"] / medians["auto"]
    print(
        f"\n{arguments.distinct:,} rows {COPIES} times each: {times:.2f} times as fast",
        file=sys.stderr,
    )
    for way in ways:
        print(f"  {way:6} {medians[way]:7.2f} s  {json.dumps(stages[way])}", file=sys.stderr)
    body = {
        "benchmark": "duplicates",
        "distinct": arguments.distinct,
        "master": arguments.master or settings.master,
        "medians_s": medians,
        "all_s": seconds,
    }
    print(json.dumps(body | {"commit": commit(), "cores": os.cpu_count()}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
