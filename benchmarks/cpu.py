"""CPU seconds of a benchmark in two checkouts, in turn: what a change to the code costs or saves.

    git worktree add ../before v0.1.0 && make -C ../before setup
    python -m benchmarks.cpu --before ../before -- engine tabular --rows 1000000 --repeats 1

Each run is a process of its own, `python -m benchmarks.NAME …` of the checkout's own environment.
Its CPU seconds are user and system time of all its processes, of JVMs and workers that outlive it
too. On a machine that others use they say more than the time on the wall. Linux only.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.revision import commit

_CHECKOUT = Path(__file__).resolve().parents[1]
_PR_SET_CHILD_SUBREAPER = 36


def main() -> int:
    """Prints the seconds of each run, both medians, and their ratio; one JSON line."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--before", type=Path, required=True, help="a checkout with its own .venv")
    options.add_argument("--after", type=Path, default=_CHECKOUT, help="this checkout")
    options.add_argument("--runs", type=int, default=7)
    options.add_argument("--warm-ups", type=int, default=1, help="runs that are not counted, first")
    options.add_argument("program", nargs="+", help="a benchmark and its arguments, behind --")
    arguments = options.parse_args()
    # Processes that outlive their parents become ours, so their time is counted when they end.
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl: orphans cannot be adopted here")
    places = {"before": arguments.before.resolve(), "after": arguments.after.resolve()}
    seconds: dict[str, list[float]] = {name: [] for name in places}
    for number in range(1 - arguments.warm_ups, arguments.runs + 1):
        for name, place in places.items():
            taken = _cpu_seconds(place, arguments.program)
            label = f"run {number}" if number > 0 else "warm-up"
            print(f"{label:8} {name:7} {taken:8.1f} CPU s", file=sys.stderr, flush=True)
            if number > 0:
                seconds[name].append(taken)
    medians = {name: statistics.median(taken) for name, taken in seconds.items()}
    ratio = medians["after"] / medians["before"]
    print(f"{medians['before']:.1f} s before, {medians['after']:.1f} s after: {ratio:.3f}")
    print(
        json.dumps(
            {
                "benchmark": "cpu",
                "program": arguments.program,
                "seconds": seconds,
                "medians": medians,
                "ratio": ratio,
                "commit": commit(),
            }
        )
    )
    return 0


def _cpu_seconds(checkout: Path, program: list[str]) -> float:
    """User and system seconds of one run, and of all processes that it leaves behind.

    Raises:
        CalledProcessError: the run failed; what it printed is on standard error.
    """
    command = [str(checkout / ".venv/bin/python"), "-m", f"benchmarks.{program[0]}", *program[1:]]
    before = _spent()
    log = subprocess.run(
        command, cwd=checkout, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if log.returncode:
        print(log.stdout, file=sys.stderr)
        log.check_returncode()
    _reap()
    return _spent() - before


def _reap(patience_s: float = 60) -> None:
    """Waits for the processes that were left behind, as far as they end."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        try:
            ended, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not ended:
            time.sleep(0.2)
    raise TimeoutError("processes of a run go on after it: its CPU seconds are not known")


def _spent() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    sys.exit(main())
