"""The engine in bf16 and int8 against the engine in float32, on a CPU: rows per second, and how far
the predictions are apart.

    python -m benchmarks.precision [tabular | text | image] --rows 10000000 --repeats 3

All read the same Parquet files in Spark's workers and write key and prediction, in turn, after a
run of each that is not counted. A CPU without units for bf16 or VNNI computes these more slowly
than float32.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq

from benchmarks.contenders import check_output, clear, engine_direct, warm_workers
from benchmarks.revision import commit
from benchmarks.workloads import KINDS, Workload, make_workload

if TYPE_CHECKING:
    from batchinfer.models.precision import Precision

# The text and the picture network have no linear layer of 64 outputs, so int8 is refused for them.
_PRECISIONS: dict[str, tuple[Precision, ...]] = {
    "tabular": ("float32", "bf16", "int8"),
    "text": ("float32", "bf16"),
    "image": ("float32", "bf16"),
}


def main() -> int:
    """Prints a line and a JSON line for each workload."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("workload", nargs="?", default="tabular", choices=list(_PRECISIONS))
    options.add_argument("--rows", type=int)
    options.add_argument("--repeats", type=int, default=3)
    given = options.parse_args()
    kind = given.workload

    from batchinfer.config.loader import load_state
    from batchinfer.spark.session import open_session

    root = Path(__file__).parents[1]
    os.environ["PYTHONPATH"] = f"{root / 'src'}:{root}"
    spark = open_session(load_state("local")[0].spark, "benchmark")
    seconds: dict[str, list[float]] = {precision: [] for precision in _PRECISIONS[kind]}
    predictions: dict[str, np.ndarray] = {}
    with tempfile.TemporaryDirectory() as folder:
        workload = make_workload(Path(folder), given.rows or KINDS[kind].rows, kind)
        for repeat in range(given.repeats + 1):
            for precision in _PRECISIONS[kind]:
                clear(workload)
                warm_workers(spark)
                started = time.perf_counter()
                engine_direct(workload, spark, precision)
                taken = time.perf_counter() - started
                if precision == "float32":
                    check_output(workload)
                if repeat:
                    seconds[precision].append(taken)
                predictions[precision] = _predictions(workload)
    spark.stop()
    medians = {precision: statistics.median(taken) for precision, taken in seconds.items()}
    exact = predictions["float32"]
    apart = {name: float(np.abs(exact - found).max()) for name, found in predictions.items()}
    ratios = {name: medians["float32"] / taken for name, taken in medians.items()}
    print(f"{workload.rows:,} {workload.sort.said}", file=sys.stderr)
    for name, taken in medians.items():
        rate = workload.rows / taken
        print(
            f"  {name:8} {taken:7.2f} s  {rate:12,.0f} rows/s  {ratios[name]:5.2f} "
            f"times as fast  largest difference {apart[name]:.5f} (the largest prediction is "
            f"{np.abs(exact).max():.3f})",
            file=sys.stderr,
        )
    told = {
        "benchmark": f"precision, {kind}",
        "rows": workload.rows,
        "all_s": seconds,
        "ratios": ratios,
        "largest_difference": apart,
        "commit": commit(),
        "cores": os.cpu_count(),
    }
    print(json.dumps(told))
    return 0


def _predictions(workload: Workload) -> np.ndarray:
    """In the order of their keys."""
    return pq.read_table(workload.output).sort_by("key")["prediction"].to_numpy()


if __name__ == "__main__":
    raise SystemExit(main())
