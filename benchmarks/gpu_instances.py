"""Several processes on one GPU, each with the model: whether they fill the gaps that one leaves,
for bare loops and the engine.

`benchmarks.gpu` calls this. Each process loads, scores its rows once to warm up, waits for the
others, and scores them again; what counts is from there until the last one is done. All have as
many rows, so rows a second grow only if the GPU had time to spare. Processes take turns on a GPU
unless NVIDIA's MPS runs: without it their kernels never run at the same time.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

COUNTS = (1, 2, 4)
_START_S = 300.0


def _process(
    contender: Callable[[Any], None],
    make: Callable[[int], Any],
    number: int,
    ready: Any,
    times: Any,
) -> None:
    run = make(number)
    contender(run)
    run.wait()
    ready.wait(_START_S)
    started = time.monotonic()
    contender(run)
    run.wait()
    times.put((started, time.monotonic()))


def measure(contender: Callable[[Any], None], make: Callable[[int], Any], count: int) -> float:
    """Seconds that `count` processes take together.

    Args:
        contender: scores all rows of a run; picklable.
        make: gives a process its own run, by number; picklable.

    Raises:
        RuntimeError: a process ended without a time.
    """
    context = multiprocessing.get_context("spawn")
    ready, times = context.Barrier(count), context.SimpleQueue()
    processes = [
        context.Process(target=_process, args=(contender, make, number, ready, times))
        for number in range(count)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        raise RuntimeError(
            f"{count} processes ended with the exit codes "
            f"{[process.exitcode for process in processes]}; allowed: 0"
        )
    spans = [times.get() for _ in processes]
    return max(end for _, end in spans) - min(start for start, _ in spans)


def table(rows: int, seconds: dict[str, dict[int, float]]) -> dict[str, dict[int, float]]:
    """Rows a second of all processes together, by contender and number of processes."""
    return {
        name: {count: round(count * rows / taken, 1) for count, taken in of.items()}
        for name, of in seconds.items()
    }


def run_folder(folder: Path, number: int) -> Path:
    """A folder for what one process writes."""
    own = folder / f"process {number}"
    own.mkdir(exist_ok=True)
    return own
