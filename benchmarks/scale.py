"""`batchinfer score` against itself: more rows, and one row.

    make bench-scale                # or: python -m benchmarks.scale --rows 1000000 5000000 20000000

Scale: seconds and the memory of a worker at several sizes, in one session; ten times the rows
should take at most 10.5 times as long, and no more memory. Fixed cost: one row by the command line,
in processes of their own, with the stages that it is made of.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import product
from benchmarks.revision import commit
from benchmarks.workloads import ROOT, make_workload

_COMMAND = Path(sys.prefix) / "bin" / "batchinfer"


def main() -> int:
    """Measures both, prints a table each and one JSON line."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 5_000_000, 20_000_000])
    options.add_argument("--repeats", type=int, default=3)
    arguments = options.parse_args()
    os.environ["PYTHONPATH"] = str(ROOT)
    sizes = _scale(sorted(arguments.rows), arguments.repeats)
    fixed = _one_row(arguments.repeats)
    print(
        json.dumps(
            {
                "benchmark": "scale",
                "sizes": sizes,
                "one_row": fixed,
                "commit": commit(),
                "cores": os.cpu_count(),
            }
        )
    )
    return 0


def _scale(rows: list[int], repeats: int) -> list[dict[str, Any]]:
    from batchinfer.config.loader import load_state
    from batchinfer.spark.session import open_session

    spark = open_session(load_state("local")[0].spark, "benchmark")
    found: list[dict[str, Any]] = []
    for count in rows:
        with tempfile.TemporaryDirectory() as folder:
            workload = make_workload(Path(folder), count)
            runs = [product.score(workload, spark) for _ in range(repeats + 1)][1:]
        seconds = statistics.median(taken for taken, _ in runs)
        found.append(
            {
                "rows": count,
                "seconds": round(seconds, 2),
                "worker_mib": runs[-1][1]["worker_bytes"] >> 20,
            }
        )
        first = found[0]
        times, longer = count / first["rows"], seconds / first["seconds"]
        print(
            f"{count:12,} rows  {seconds:8.2f} s  {count / seconds:10,.0f} rows/s  {times:5.1f} "
            "times the rows, "
            f"{longer:5.2f} times as long  a worker took {found[-1]['worker_mib']:,} MiB",
            file=sys.stderr,
        )
    spark.stop()
    return found


def _one_row(repeats: int) -> dict[str, Any]:
    """The command on one row: a run that scores, one that finds nothing to do, and the command's
    help.
    """
    from batchinfer.config.loader import load_state
    from batchinfer.spark.session import open_session

    with tempfile.TemporaryDirectory() as folder:
        workload = make_workload(Path(folder), 1)
        spark = open_session(load_state("local")[0].spark, "benchmark")
        root = product.make_project(workload, spark)
        spark.stop()
        environment = os.environ | {"BATCHINFER_HOME": str(root / "var")}
        score = ["score", "-p", str(root / "conf/pipelines/bench.yaml"), "--slice", product.DAY]
        found: dict[str, Any] = {}
        for name, arguments in {
            "score": [*score, "--force"],
            "nothing to do": score,
            "help": ["--help"],
        }.items():
            times: list[float] = []
            for _ in range(repeats):
                started = time.perf_counter()
                done = subprocess.run(
                    [str(_COMMAND), *arguments],
                    env=environment,
                    capture_output=True,
                    text=True,
                    check=True,
                )
                times.append(time.perf_counter() - started)
            found[name] = round(statistics.median(times), 2)
            if name == "score":
                found["stages"] = json.loads(done.stdout.splitlines()[-1])["stage_seconds"]
            print(f"{name:14} {found[name]:7.2f} s", file=sys.stderr)
    print(f"the run of one row: {json.dumps(found['stages'])}", file=sys.stderr)
    return found


if __name__ == "__main__":
    raise SystemExit(main())
