"""Scoring on one GPU: the engine, without Spark, against bare PyTorch loops in the same process,
with the same model.

    make bench-gpu   # or: python -m benchmarks.gpu encoder --rows 16000 --repeats 3 [--device cpu]

All contenders but the ceiling read a Parquet file, score, and write key and prediction to Parquet.
Rows reach the GPU through pinned memory. The bare loops have the batch size that is fastest for
them of a few that are tried; one of them reads a batch's predictions back only when the next is on
its way, so that the GPU never waits for this process. The ceiling is the forward passes alone, on
data that lie on the GPU. The engine finds its batch size during the warm-up run and goes on with
it, as a worker does from task to task; the warm-up's own time is printed too. Pictures are stored
as pixels: decoding JPEGs would measure the CPU.

The engine keeps two batches on the GPU, as tasks do (`inference/overlap.py`). One contender has one
batch at a time, and waits for it in `forward`: its time says what overlapping gains. At last,
several processes share the GPU: `benchmarks.gpu_instances`.
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
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from benchmarks import gpu_instances
from benchmarks.gpu_contenders import BARE, CEILING, Run, bare_loop, choose_size, contenders, engine
from benchmarks.gpu_workloads import KINDS, write_input
from benchmarks.revision import commit

ALL = "all"


def own_run(name: str, rows: int, folder: Path, device: str, size: int, number: int) -> Run:
    """What one of several processes has: the model, and a file of its own to write."""
    kind = KINDS[name]
    return Run(
        kind,
        name,
        rows,
        gpu_instances.run_folder(folder, number),
        device,
        kind.model(device),
        size,
        folder,
    )


def bare_alone(run: Run) -> None:
    bare_loop(run, late=1)


def engine_alone(run: Run) -> None:
    engine(run, "engine", run.model, run.size)


def measure_instances(run: Run, counts: Sequence[int], end: float) -> None:
    """Bare loops and engines with the same batch size, in 1, 2, 4 processes, in turn; no number
    begins after `end`.
    """
    make = partial(own_run, run.name, run.rows, run.folder, run.device, run.size)
    seconds: dict[str, dict[int, float]] = {BARE: {}, "engine": {}}
    for count in counts:
        if time.perf_counter() > end:
            print(f"{run.name}: {count} processes not measured, time is up", file=sys.stderr)
            break
        seconds[BARE][count] = gpu_instances.measure(bare_alone, make, count)
        seconds["engine"][count] = gpu_instances.measure(engine_alone, make, count)
    rates = gpu_instances.table(run.rows, seconds)
    ratios = {count: round(rates["engine"][count] / rate, 3) for count, rate in rates[BARE].items()}
    print(
        f"  processes on one device, rows/s together: {rates}; engine of the bare loop: {ratios}",
        file=sys.stderr,
    )
    body = {
        "benchmark": f"gpu {run.name}, instances",
        "rows": run.rows,
        "batch": run.size,
        "ratios": ratios,
        "rows_per_s": rates,
    }
    print(
        json.dumps(
            body
            | {"commit": commit(), "device": device_name(run.device), "torch": torch.__version__}
        ),
        flush=True,
    )


def check_output(run: Run, expected: np.ndarray) -> None:
    """Every key must have been scored once, and the first rows as the model itself scores them."""
    found = pq.read_table(run.target).sort_by("key")
    if not np.array_equal(found.column("key").to_numpy(), np.arange(run.rows)):
        raise RuntimeError(f"{found.num_rows} keys written, {run.rows} expected")
    first = found.column("prediction").to_numpy()[: len(expected)]
    np.testing.assert_allclose(
        first, expected, rtol=0, atol=run.kind.tolerance * max(1.0, float(np.abs(expected).max()))
    )


def measure(run: Run, repeats: int, end: float) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Seconds of the warm-up run, and of the others; once each has run, no round begins after
    `end`.
    """
    run.size = choose_size(run)
    first: dict[str, float] = {}
    seconds: dict[str, list[float]] = {}
    batch = next(pq.ParquetFile(run.source).iter_batches(batch_size=min(64, run.rows)))
    expected = run.model.decode(run.model.forward(run.model.encode(batch)))["prediction"].to_numpy()
    chosen = contenders(run)
    for repeat in range(repeats + 1):
        if repeat > 1 and time.perf_counter() > end:
            print(f"{run.name}: {repeat - 1} rounds of {repeats}, time is up", file=sys.stderr)
            break
        for name, contender in chosen.items():
            run.target.unlink(missing_ok=True)
            run.wait()
            started = time.perf_counter()
            told = contender()
            taken = time.perf_counter() - started if told is None else told
            if name != CEILING:
                check_output(run, expected)
            if repeat:
                seconds.setdefault(name, []).append(round(taken, 4))
            else:
                first[name] = round(taken, 4)
    return first, seconds


def report(run: Run, first: dict[str, float], seconds: dict[str, list[float]]) -> None:
    """A table for people, and one JSON line."""
    medians = {name: round(statistics.median(times), 4) for name, times in seconds.items()}
    bare = medians[BARE]
    print(
        f"\n{run.rows:,} {run.kind.said}, {device_name(run.device)}; bare loop's batch: {run.size}",
        file=sys.stderr,
    )
    for name, median in medians.items():
        rate, share = f"{run.rows / median:12,.0f} rows/s", f"{bare / median:5.2f} of the bare loop"
        print(
            f"  {name:28} {median:7.3f} s  {rate}  {share}  (warm-up {first[name]:.3f} s)",
            file=sys.stderr,
        )
    for name, told in run.told.items():
        print(f"  {name}: {json.dumps(told)}", file=sys.stderr)
    ratios = {name: round(bare / median, 3) for name, median in medians.items()}
    body = {
        "benchmark": f"gpu {run.name}",
        "rows": run.rows,
        "batch": run.size,
        "ratios": ratios,
        "medians_s": medians,
    }
    body |= {
        "all_s": seconds,
        "warm_up_s": first,
        "engine": run.told,
        "commit": commit(),
        "device": device_name(run.device),
    }
    versions = {
        "torch": torch.__version__,
        "pyarrow": pa.__version__,
        "python": platform.python_version(),
    }
    print(
        json.dumps(body | versions | {"cores": os.cpu_count(), "machine": platform.machine()}),
        flush=True,
    )


def device_name(device: str) -> str:
    return torch.cuda.get_device_name() if device == "cuda" else "cpu"


def main() -> int:
    """Runs the workloads one after the other, the contenders of each in turn."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("workload", choices=[*KINDS, ALL], nargs="?", default=ALL)
    options.add_argument(
        "--rows", type=int, help=", ".join(f"{name}: {kind.rows:,}" for name, kind in KINDS.items())
    )
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument(
        "--device", choices=("cuda", "cpu"), default="cuda", help="cpu is for a try with few rows"
    )
    options.add_argument(
        "--instances",
        type=int,
        nargs="*",
        default=gpu_instances.COUNTS,
        help="numbers of processes",
    )
    options.add_argument(
        "--within-s",
        type=float,
        default=200.0,
        help="shared out over the workloads; ends rounds early",
    )
    arguments = options.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        print(
            "nothing measured: PyTorch sees no CUDA device here; `--device cpu --rows 100` tries "
            "the program",
            file=sys.stderr,
        )
        return 0

    from batchinfer.inference.workers import load_once

    end = time.perf_counter() + arguments.within_s
    chosen = [*KINDS] if arguments.workload == ALL else [arguments.workload]
    for place, name in enumerate(chosen):
        kind = KINDS[name]
        rows, now = arguments.rows or kind.rows, time.perf_counter()
        share_s = max(0.0, end - now) / (len(chosen) - place)
        with tempfile.TemporaryDirectory() as folder:
            write_input(Path(folder), kind, rows)
            model = load_once(f"benchmark on a GPU, {name}", partial(kind.model, arguments.device))
            run = Run(kind, name, rows, Path(folder), arguments.device, model)
            print(
                f"{name}: {time.perf_counter() - now:.1f} s to make rows and model", file=sys.stderr
            )
            # Processes take time to start: they have a third of what there is.
            report(run, *measure(run, arguments.repeats, now + share_s * 2 / 3))
            measure_instances(run, arguments.instances, now + share_s)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
