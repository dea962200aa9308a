"""How long a run of `score` takes on so many rows and workers, from few constants, each with its
source.

Owns the arithmetic, the measured runs that calibrate it (`scale_runs.json`), and the proof that it
gives them again. A run is: the search for repeated keys, tasks of workers (list scheduling of the
shares that `inference.splits` makes, with workers that are not equally fast), checks, and what does
not grow. Knows neither limits nor prices; prints nothing.
"""

from __future__ import annotations

import heapq
import json
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import Path

RUNS = Path(__file__).with_name("scale_runs.json")
TOLERANCE = 0.20

# 64 float32 and a key, as the benchmark's files hold a row: 2.62 GB for 10,000,000 rows
# (docs/benchmarks.md says 2.5 GB).
ROW_BYTES = 262.0
# A Python task that does nothing, and a Spark job of four of them on two workers
# (docs/benchmarks.md, 2026-11-28).
TASK_S, JOB_S = 0.05, 0.24
# CPU time of the engine against a bare loop, batches of 8192 (docs/benchmarks.md, "Engine
# overhead", 2026-11-23).
ENGINE_OVERHEAD = 1.04
# The driver searches for repeated keys by itself up to here (pipeline/slices/unique_keys.py).
DRIVER_KEY_ROWS = 16_000_000
# Rows and workers of the run whose checks are the constant `checks`; more rows take longer in
# proportion, at most: from 1 to 32 million rows they took 2.8 times as long (scale_constants.json).
CHECKED_ROWS, CHECKED_WORKERS = 10_000_000, 2
# The engine alone writes key and prediction, 16 bytes; the product a fingerprint of 16 more
# (predictions_table.predictions_schema).
ENGINE_WRITES = 0.5
# inference/splits.py: bytes of a task, of the least task, and from where on the last tasks are
# halved.
TARGET_BYTES, SMALLEST_BYTES, HALVED_BYTES, ROUNDS = 256 * 2**20, 256 * 2**10, 32 * 2**20, 2
# Workers differ: the pace of the measured machine varies by a third from minute to minute
# (docs/benchmarks.md), which is taken as two standard deviations of a logarithm: ln(1.33) / 2.
SPREAD = 0.14
# Up to so many tasks each one is simulated; above, what many waves come to.
_SIMULATED, _SEEDS = 2_000, 20


@dataclass(frozen=True)
class MeasuredRun:
    """One measured run, as `scale_runs.json` has it.

    Attributes:
        kind: `product` (all of `score`), `engine` (the direct road alone), `bare` (the engine, by a
            bare loop of the same run).
        hidden: width of the network's hidden layers; its work grows with its multiplications.
        copies: how often each row stands; `exchange`: equal ones were scored once.
        stages: seconds of the workers by stage, and of the driver: keys, checks.
        bare_s, forward_alone_s: of the same run; padding: padded positions, as a share of those of
            the bare loop.
        calibrates: constants are taken from it. excluded: why it is not held to the tolerance.
    """

    name: str
    kind: str
    rows: int
    seconds: float
    workers: int
    command: str
    date: str
    commit: str
    hidden: int = 256
    copies: int = 1
    exchange: bool = False
    stages: Mapping[str, float] = field(default_factory=dict)
    bare_s: float = 0.0
    forward_alone_s: float = 0.0
    padding: float = 1.0
    calibrates: bool = False
    excluded: str = ""


@dataclass(frozen=True)
class Rates:
    """The constants that measured runs give. Seconds of a worker for each row, unless said
    otherwise.

    Attributes:
        forward: of the network with hidden layers of 256.
        keys: of the driver, or of a worker where workers do it.
        exchange, exchange_idle: of a row that is brought together with its equals.
        checks: seconds of those of ten million rows on two workers. fixed: of a run, whatever its
            rows.
        spread: of workers' paces, as the standard deviation of a logarithm: `SPREAD`.
    """

    read: float
    fingerprint: float
    encode: float
    forward: float
    write: float
    engine: float
    keys: float
    exchange: float = 0.0
    exchange_idle: float = 0.0
    checks: float = 0.0
    fixed: float = 0.0
    spread: float = SPREAD

    @property
    def row(self) -> float:
        """All that a worker does with a row of the network with hidden layers of 256."""
        return self.read + self.fingerprint + self.encode + self.forward + self.write + self.engine


class NotReproducedError(RuntimeError):
    """A measured run is off by more than the tolerance: whatever else the model says would be worth
    nothing.
    """


def load_runs(path: Path = RUNS) -> list[MeasuredRun]:
    """The measured runs.

    Raises:
        ValueError: a field that is unknown or missing.
    """
    known = {each.name for each in fields(MeasuredRun)}
    needed = {
        each.name
        for each in fields(MeasuredRun)
        if each.default is MISSING and each.default_factory is MISSING
    }
    runs: list[MeasuredRun] = []
    for number, told in enumerate(json.loads(path.read_text())):
        unknown, missing = sorted(set(told) - known), sorted(needed - set(told))
        if unknown or missing:
            raise ValueError(
                f"{path.name}, run {number}: unknown fields {unknown}, missing {missing}; known "
                f"are {sorted(known)}"
            )
        runs.append(MeasuredRun(**told))
    return runs


def multiplications(hidden: int) -> int:
    """Of one row in the network 64-hidden-hidden-1."""
    return 64 * hidden + hidden * hidden + hidden


def task_shares(
    total_bytes: float, workers: int, target_bytes: float = TARGET_BYTES
) -> list[tuple[int, float]]:
    """(how many tasks, share of the rows that each has), the large ones first; as
    `inference.splits.plan_splits` makes them.
    """
    tasks = max(workers * ROUNDS, math.ceil(total_bytes / target_bytes))
    tasks = min(
        math.ceil(tasks / workers) * workers, max(1, math.ceil(total_bytes / SMALLEST_BYTES))
    )
    if tasks % workers == 0 and total_bytes / tasks >= HALVED_BYTES:
        return [(tasks - workers, 1 / tasks), (2 * workers, 0.5 / tasks)]
    return [(tasks, 1 / tasks)]


def makespan(
    seconds: Sequence[float], workers: int, paces: Sequence[float] | None = None, gap_s: float = 0.0
) -> float:
    """When the last of these tasks ends, each begun, in order, by the first worker that is free.

    Args:
        paces: what each worker needs of a task's seconds; None: 1.
        gap_s: the scheduler starts no two tasks closer to each other than this.
    """
    free = [(0.0, worker) for worker in range(workers)]
    heapq.heapify(free)
    last, next_start = 0.0, 0.0
    for each in seconds:
        at, worker = heapq.heappop(free)
        start = max(at, next_start)
        next_start = start + gap_s
        end = start + each * (paces[worker] if paces else 1.0)
        last = max(last, end)
        heapq.heappush(free, (end, worker))
    return last


def inference_seconds(
    work_s: float,
    shares: Sequence[tuple[int, float]],
    workers: int,
    spread: float,
    gap_s: float = 0.0,
    task_s: float = TASK_S,
) -> float:
    """Wall time of tasks that share `work_s` seconds of one worker, on workers that are not equally
    fast.

    Few tasks are simulated, with several seeds. Of many, all workers are busy until the last ones
    are handed out; those take as long as the slowest worker's, and the scheduler may be what
    everything waits for.
    """
    tasks = sum(count for count, _ in shares)
    if tasks <= _SIMULATED:
        times = [share * work_s + task_s for count, share in shares for _ in range(count)]
        found = [
            makespan(times, workers, _paces(workers, spread, seed), gap_s) for seed in range(_SEEDS)
        ]
        return sum(found) / len(found)
    last_s = shares[-1][1] * work_s + task_s
    slowest = math.exp(spread * math.sqrt(2 * math.log(max(2, workers))))
    return max((work_s + tasks * task_s) / workers, tasks * gap_s) + last_s * slowest / 2


def _paces(workers: int, spread: float, seed: int) -> list[float]:
    numbers = random.Random(seed)
    drawn = [math.exp(spread * numbers.gauss(0.0, 1.0)) for _ in range(workers)]
    # Together they do as much as workers of pace 1.
    together = sum(1 / pace for pace in drawn) / workers
    return [pace * together for pace in drawn]


def calibrate(runs: Sequence[MeasuredRun]) -> Rates:
    """The constants, from the runs that are marked for it."""
    marked = [run for run in runs if run.calibrates]
    staged = next(run for run in marked if run.stages and not run.exchange)
    small = next(run for run in marked if not run.stages)
    shared = next(run for run in marked if run.exchange)
    of = {stage: seconds / staged.rows for stage, seconds in staged.stages.items()}
    rates = Rates(
        read=of["read"], fingerprint=of["fingerprint"], encode=of["encode"], forward=of["forward"],
        write=of["write"],
        engine=of["engine"], keys=of["keys"], exchange=shared.stages["exchange"] / shared.rows,
        exchange_idle=shared.stages["idle"] / shared.rows, checks=staged.stages["checks"],
    )  # fmt: skip
    return replace(rates, fixed=max(0.0, small.seconds - run_seconds(rates, small)))


def run_seconds(rates: Rates, run: MeasuredRun) -> float:
    """What the model says of a run, without the start of its session."""
    if run.kind == "bare":
        return (
            run.bare_s - run.forward_alone_s + run.forward_alone_s * run.padding
        ) * ENGINE_OVERHEAD + JOB_S
    shares = task_shares(run.rows * ROW_BYTES, run.workers)
    forward = rates.forward * multiplications(run.hidden) / multiplications(256)
    scored = run.rows // run.copies if run.exchange else run.rows
    if run.kind == "engine":
        work = run.rows * (
            rates.read + rates.encode + forward + rates.engine + rates.write * ENGINE_WRITES
        )
        return inference_seconds(work, shares, run.workers, rates.spread) + JOB_S
    work = run.rows * (rates.read + rates.fingerprint + rates.write) + scored * (
        rates.encode + forward + rates.engine
    )
    if run.exchange:
        # A row's fingerprint is taken while it is sent, and is part of what the exchange was
        # measured to take.
        work += run.rows * (rates.exchange - rates.fingerprint)
        inference = (work + run.rows * rates.exchange_idle) / run.workers
    else:
        inference = inference_seconds(work, shares, run.workers, rates.spread) + JOB_S
    return (
        key_seconds(rates, run.rows, run.workers)
        + inference
        + check_seconds(rates, run.rows, run.workers)
        + rates.fixed
    )


def key_seconds(rates: Rates, rows: int, workers: int) -> float:
    """Of the search for repeated keys: by the driver, or by the workers where there are many
    rows.
    """
    return rows * rates.keys if rows <= DRIVER_KEY_ROWS else rows * rates.keys / workers + JOB_S


def check_seconds(rates: Rates, rows: float, workers: int) -> float:
    """Of the checks of the predictions, Spark jobs on all cores."""
    return rates.checks * max(1.0, rows / CHECKED_ROWS * CHECKED_WORKERS / workers)


def compare(runs: Sequence[MeasuredRun], rates: Rates) -> list[tuple[MeasuredRun, float, float]]:
    """Each run, what the model says of it, and the ratio to what was measured."""
    return [
        (run, model, model / run.seconds) for run in runs for model in [run_seconds(rates, run)]
    ]


def reproduce(runs: Sequence[MeasuredRun], rates: Rates) -> list[tuple[MeasuredRun, float, float]]:
    """As `compare`.

    Raises:
        NotReproducedError: a run that is not excluded is off by more than the tolerance.
    """
    found = compare(runs, rates)
    off = [
        f"{run.name} ({ratio:.2f})"
        for run, _, ratio in found
        if not run.excluded and abs(ratio - 1) > TOLERANCE
    ]
    if off:
        raise NotReproducedError(
            f"measured runs off by more than {TOLERANCE:.0%}: {', '.join(off)}; nothing is "
            "predicted"
        )
    return found
