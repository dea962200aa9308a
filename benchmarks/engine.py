"""Scoring: this engine against a bare two-process PyTorch loop, Spark's own ways and other systems.

    make bench-setup bench
    make bench-trees
    python -m benchmarks.engine text --rows 200000 --repeats 3 [--only "Daft"]

All contenders but the product line read Parquet and write key and prediction to Parquet. The
product line is `batchinfer score` on a Delta table with everything on: fingerprints, lineage,
checks, commit. Session start is not part of the figures; every contender has a warm-up run on the
same data, other systems one on a few rows in the process that is measured. Spark ends Python
workers that had nothing to do for a minute, as they have while other systems run: they are started
again before each measurement, as those of the bare loop are there.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import product
from benchmarks.contenders import (
    CEILING,
    CONTENDERS,
    LIBRARY,
    PEERS_PYTHON,
    check_output,
    clear,
    warm_workers,
)
from benchmarks.revision import commit
from benchmarks.workloads import KINDS, Workload, make_workload

PRODUCT = "product: batchinfer score"
_PEERS = ("Daft", "Ray Data")
# What the figure of `trees` is made of; the others by --only.
_OF_TREES = ("bare loop", LIBRARY, "engine, direct road", "mlflow spark_udf", PRODUCT)


def main() -> int:
    """Runs all contenders in turn, several times; prints medians and ratios to the bare loop."""
    names = [*CONTENDERS, PRODUCT]
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("workload", choices=KINDS, nargs="?", default="tabular")
    options.add_argument(
        "--rows", type=int, help=", ".join(f"{name}: {kind.rows:,}" for name, kind in KINDS.items())
    )
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument(
        "--only", choices=names, action="append", help="repeatable; the bare loop always runs"
    )
    arguments = options.parse_args()
    rows = arguments.rows or KINDS[arguments.workload].rows
    chosen = [name for name in names if name in ("bare loop", *(arguments.only or names))]
    if arguments.workload not in ("tabular", "trees"):
        chosen = [name for name in chosen if name != PRODUCT]
    if arguments.workload != "trees":
        chosen = [name for name in chosen if name != LIBRARY]
    elif not arguments.only:
        chosen = [name for name in chosen if name in _OF_TREES]
    if not PEERS_PYTHON.exists() and set(chosen) & set(_PEERS):
        print(f"without {', '.join(_PEERS)}: `make bench-setup` installs them", file=sys.stderr)
        chosen = [name for name in chosen if name not in _PEERS]

    from batchinfer.config.loader import load_state
    from batchinfer.spark.session import open_session

    os.environ["PYTHONPATH"] = str(Path(__file__).parents[1])
    # Spark's own ways do their work in the JVM: they get its optimising compiler, which sessions of
    # a minute do without.
    spark = open_session(
        load_state("local")[0].spark.model_copy(update={"java_options": ()}), "benchmark"
    )
    seconds: dict[str, list[float]] = {name: [] for name in chosen}
    stages: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        workload = make_workload(Path(folder), rows, arguments.workload)
        for repeat in range(arguments.repeats + 1):
            for name in chosen:
                if repeat == 0 and name in _PEERS:
                    continue  # they warm up by themselves
                taken = _measure(name, workload, spark, stages)
                print(
                    f"{'warm-up' if repeat == 0 else f'run {repeat}':8} {name:28} {taken:7.2f} s",
                    file=sys.stderr,
                )
                if repeat:
                    seconds[name].append(taken)
    _print(seconds, workload, stages[-1] if stages else {})
    spark.stop()
    return 0


def _measure(name: str, workload: Workload, spark: Any, stages: list[dict[str, Any]]) -> float:
    if name == PRODUCT:
        warm_workers(spark)
        taken, where = product.score(workload, spark)
        stages.append(where)
        return taken
    clear(workload)
    if name not in _PEERS:
        warm_workers(spark)
    started = time.perf_counter()
    told = CONTENDERS[name](workload, spark)
    taken = time.perf_counter() - started
    if name != CEILING:
        check_output(workload)
    return taken if told is None else told


def _print(seconds: dict[str, list[float]], workload: Workload, stages: dict[str, Any]) -> None:
    rows = workload.rows
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    bare = medians["bare loop"]
    print(f"\n{rows:,} {workload.sort.said}, {os.cpu_count()} cores", file=sys.stderr)
    for name, median in medians.items():
        line = (
            f"  {name:28} {median:7.2f} s  {rows / median:12,.0f} rows/s  {bare / median:5.2f} "
            "of the bare loop"
        )
        print(line, file=sys.stderr)
    if stages:
        print(f"  the product's last run: {json.dumps(stages)}", file=sys.stderr)
    body = {
        "benchmark": workload.kind,
        "rows": rows,
        "medians_s": medians,
        "all_s": seconds,
        "stages": stages,
        "commit": commit(),
    }
    print(
        json.dumps(
            body
            | {
                "cores": os.cpu_count(),
                "machine": platform.machine(),
                "python": platform.python_version(),
            }
        )
    )


if __name__ == "__main__":
    raise SystemExit(main())
