"""What breaks first when `score` is given very many rows: loads of a run and of a year, each held
against what allows it.

The arithmetic of `docs/scale.md`. Costs of the driver are those of `scale_constants.json`
(measured); rates of others are published and named here with their source; prices are assumptions
with their date, and options. Knows nothing of Spark.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.scale_run_time import (
    ROW_BYTES,
    TARGET_BYTES,
    Rates,
    check_seconds,
    inference_seconds,
    key_seconds,
    task_shares,
)

CONSTANTS = Path(__file__).with_name("scale_constants.json")
GIB, MIB = 2**30, 2**20

# The writer's rows of a file (lake/staging.py), the reader's of a block (inference/splits.py),
# bytes of an input file.
FILE_ROWS, BLOCK_ROWS, INPUT_FILE_BYTES = 2_000_000, 65_536, GIB
# Start of a session, as the run of one row had it (docs/benchmarks.md, 2026-11-28).
SESSION_S = 6.7
# Requests a second and partitioned prefix: "Request Rate and Performance Guidelines", Amazon S3
# documentation.
GET_RATE, PUT_RATE = 5_500.0, 3_500.0
# "Consistent small object latencies of roughly 100-200 milliseconds": "Performance Design
# Patterns", Amazon S3 documentation.
LATENCY_S = 0.1
# Files that the driver asks a store for at once (`_LOOKS` in lake/delta.py, `_OPENED` in
# inference/splits.py), and requests that a footer takes.
AT_ONCE, FOOTER_REQUESTS = 32, 2
# How often a run opens the log of its predictions table: what is published, its contract, the
# commit.
LOG_OPENINGS = 3
# The largest object of a single PUT, which a commit is: 5 GB, Amazon S3 documentation, "Uploading
# objects".
PUT_BYTES = 5e9
# Tasks a second of Spark's scheduler: Ousterhout, Wendell, Zaharia, Stoica, slides on Sparrow,
# 2013. Our own figure, of two threads that also run the tasks, is in scale_constants.json.
SCHEDULER_RATE = 1_500.0
# spark.driver.maxResultSize, spark.driver.memory: Spark's defaults, which our environments leave as
# they are.
RESULT_BYTES = HEAP_BYTES = float(GIB)
# Planning and looking at files may take this share of the time that a run has.
DRIVER_SHARE = 0.1
# Python's and Arrow's own memory in the driver, and what it holds beside what is counted here.
_DRIVER_BASE_MIB = 500.0


@dataclass(frozen=True)
class Shape:
    """What is scored, and on what.

    Attributes:
        row_bytes: of the input files.
        cpu_s: seconds of one core for each row, on the CPU.
        gpu_rows_s: rows a second of one GPU; 0: none is used.
        cores: of a worker. hour, spot: prices of a worker, USD.
        source: where the rate comes from.
    """

    name: str
    row_bytes: float
    cpu_s: float
    gpu_rows_s: float
    cores: int
    hour: float
    spot: float
    source: str

    @property
    def row_s(self) -> float:
        """Seconds of a worker for each row: the GPU computes while the cores read and encode."""
        cpu = self.cpu_s / self.cores
        return max(cpu, 1 / self.gpu_rows_s) if self.gpu_rows_s else cpu


@dataclass(frozen=True)
class Cost:
    """What a case of `scale_constants` gave, as a straight line through its least and its greatest
    size.
    """

    base: float
    each: float

    def at(self, size: float) -> float:
        return max(0.0, self.base + self.each * size)


@dataclass(frozen=True)
class Limit:
    """One thing that may break: how much of it a run takes, how much is allowed, and what moves
    it.
    """

    name: str
    unit: str
    load: float
    allowed: float
    moved_by: str

    @property
    def share(self) -> float:
        return self.load / self.allowed


def load_constants(path: Path = CONSTANTS) -> dict[str, list[dict[str, Any]]]:
    """The measured cases by name."""
    return {name: case["sizes"] for name, case in json.loads(path.read_text()).items()}


def line(cases: Sequence[Mapping[str, Any]], name: str = "seconds") -> Cost:
    """The cost of a case by its size, from its two ends."""
    low, high = cases[0], cases[-1]
    each = (high[name] - low[name]) / (high["size"] - low["size"])
    return Cost(low[name] - each * low["size"], each)


def shapes(rates: Rates, options: argparse.Namespace) -> list[Shape]:
    """The three that docs/scale.md predicts."""
    gpu = {"cores": 4, "hour": options.gpu_hour, "spot": options.gpu_spot}
    return [
        Shape(
            "table, MLP, CPU",
            ROW_BYTES,
            rates.row,
            0.0,
            1,
            options.core_hour,
            options.core_spot,
            "measured",
        ),
        # 9,084 bytes: mean of the benchmark's pictures. 1.36 ms: (21.3 - 7.7) s of two processes
        # for 20,000 (docs/benchmarks.md). 1,198: ResNet-50 v1.5, one T4, mixed precision, batch
        # 256, PyTorch of NGC 21.03 (NVIDIA/DeepLearningExamples).
        Shape(
            "pictures, ResNet-50, T4",
            9_084.0,
            1.36e-3,
            1_198.0,
            **gpu,
            source="published, not measured by us",
        ),
        # 289.5: BERT base, 128 tokens, one T4, fp16, batch 8, TensorFlow of NGC 20.06 (the same).
        # 600 bytes for 128 tokens is an assumption; 0.1 ms: 16 us for a sentence of 21 words
        # (docs/benchmarks.md), for 128.
        Shape(
            "texts, 110 million weights, T4",
            600.0,
            1e-4,
            289.5,
            **gpu,
            source="published, not measured by us",
        ),
    ]


@dataclass(frozen=True)
class Load:
    """What one run is for the driver and the store."""

    shape: Shape
    rows: float
    workers: int
    tasks: int
    files: float
    blocks: float
    seconds: float
    worker_hours: float
    gets: float
    puts: float


def workers_for(shape: Shape, rows: float, hours: float) -> int:
    """Workers that are done in time, if nothing but the work itself took any."""
    return max(1, math.ceil(rows * shape.row_s / (hours * 3600)))


def load_of(
    rates: Rates, shape: Shape, rows: float, hours: float, task_bytes: float = TARGET_BYTES
) -> Load:
    """A run that is to be done in so many hours."""
    workers = workers_for(shape, rows, hours)
    shares = task_shares(rows * shape.row_bytes, workers, task_bytes)
    tasks = sum(count for count, _ in shares)
    files = tasks * math.ceil(rows / tasks / FILE_ROWS)
    inference = inference_seconds(
        rows * shape.row_s, shares, workers, rates.spread, 1 / SCHEDULER_RATE
    )
    checks = check_seconds(rates, rows, workers * shape.cores)
    seconds = SESSION_S + key_seconds(rates, int(rows), workers) + inference + checks + rates.fixed
    # Footer and row groups of each task, for its keys and for its rows; a file is written in parts
    # of 10 MB or so: one each here.
    groups = max(1.0, rows / tasks / 131_072)
    return Load(
        shape,
        rows,
        workers,
        tasks,
        files,
        rows / BLOCK_ROWS,
        seconds,
        rows * shape.row_s / 3600,
        2 * tasks * (2 + groups),
        files,
    )


def limits(
    load: Load, cases: Mapping[str, Sequence[Mapping[str, Any]]], hours: float, driver_gib: float
) -> list[Limit]:
    """Everything that may break in one run on an object store, the worst first."""
    window, tasks = hours * 3600, load.tasks
    # The measured result tells of one file; one that tells of several is as long as several, at
    # most.
    result_bytes = load.files * line(cases["take_results"], "json_bytes").each
    block_bytes = load.blocks * line(cases["key_blocks"], "json_bytes").each
    held: dict[str, Callable[[], float]] = {
        "tasks": lambda: tasks * line(cases["make_tasks"], "mib").each,
        "results": lambda: load.files * line(cases["take_results"], "mib").each,
        "blocks": lambda: load.blocks * line(cases["key_blocks"], "mib").each,
        "adds": lambda: load.files * line(cases["commit_adds"], "mib").each,
    }
    # The proof of the keys is over before the tasks are made.
    memory = _DRIVER_BASE_MIB + max(
        held["blocks"](), held["tasks"]() + held["results"]() + held["adds"]()
    )
    large_files = load.rows * load.shape.row_bytes / INPUT_FILE_BYTES
    footer_s = line(cases["plan_large_files"]).each + FOOTER_REQUESTS * LATENCY_S / AT_ONCE
    # Twice: for the keys and for the rows.
    planning = 2 * (large_files * footer_s + tasks * line(cases["plan_small_files"]).each)
    after = year(load, cases)
    python = tasks * (
        line(cases["make_tasks"]).each
        + line(cases["take_results"]).each
        + line(cases["report_tasks"]).each
    )
    found = [
        Limit("key blocks to the driver", "GiB", block_bytes / GIB, RESULT_BYTES / GIB,
        "`maxResultSize`, `unique: assumed`"),
        Limit("task results to the driver", "GiB", result_bytes / GIB, RESULT_BYTES / GIB,
        "`maxResultSize`, larger tasks"),
        Limit(
            "tasks in the JVM's heap", "GiB",
            tasks * line(cases["make_tasks"], "json_bytes").each / GIB, HEAP_BYTES / GIB,
            "`spark.driver.memory`, larger tasks",
        ),
        Limit("memory of the driver's Python", "GiB", memory / 1024, driver_gib, "larger tasks, a "
                                                                                 "larger driver"),
        Limit("one commit's file", "GB", load.files * _log_bytes(cases) / 1e9, PUT_BYTES / 1e9,
        "more rows a file"),
        Limit("driver's work on tasks", "h", python / 3600, DRIVER_SHARE * hours, "larger tasks"),
        Limit("opening input files to plan", "h", planning / 3600, DRIVER_SHARE * hours,
        "input files below 128 MiB"),
        Limit("looking at staged files", "h", load.files * LATENCY_S / AT_ONCE / 3600,
        DRIVER_SHARE * hours, "more rows a file"),
        Limit("memory of a year's log", "GiB", after["open_gib"], driver_gib, "more rows a file, "
                                                                              "compaction"),
        Limit(
            "opening a year's log", "h", LOG_OPENINGS * after["open_s"] / 3600,
            DRIVER_SHARE * hours,
            "more rows a file, compaction",
        ),
        Limit("starting tasks", "h", 2 * tasks / SCHEDULER_RATE / 3600, hours, "larger tasks"),
        Limit("reads of one prefix", "1/s", load.gets / window, GET_RATE,
        "input in several folders"),
        Limit("writes of one prefix", "1/s", load.puts / window, PUT_RATE, "more rows a file"),
    ]  # fmt: skip
    return sorted(found, key=lambda limit: -limit.share)


def _log_bytes(cases: Mapping[str, Sequence[Mapping[str, Any]]]) -> float:
    return line(cases["commit_adds"], "log_bytes").each


def breaks_at(
    rates: Rates,
    shape: Shape,
    cases: Mapping[str, Sequence[Mapping[str, Any]]],
    options: argparse.Namespace,
) -> dict[str, float]:
    """The rows of a slice at which each limit is reached, the fewest first; found by halving, to a
    hundredth.
    """

    def share(name: str, rows: float) -> float:
        load = load_of(rates, shape, rows, options.hours, options.task_mib * MIB)
        return next(
            limit.share
            for limit in limits(load, cases, options.hours, options.driver_gib)
            if limit.name == name
        )

    found: dict[str, float] = {}
    for name in (
        limit.name
        for limit in limits(
            load_of(rates, shape, 1e9, options.hours), cases, options.hours, options.driver_gib
        )
    ):
        low, high = 1e6, 1e17
        while high / low > 1.01:
            middle = math.sqrt(low * high)
            low, high = (low, middle) if share(name, middle) > 1 else (middle, high)
        found[name] = high
    return dict(sorted(found.items(), key=lambda item: item[1]))


def year(
    load: Load, cases: Mapping[str, Sequence[Mapping[str, Any]]], slices: int = 365
) -> dict[str, float]:
    """What the predictions table is after so many slices of this size, for every command that opens
    it.
    """
    files = load.files * slices
    return {
        "files": files,
        "open_s": line(cases["open_log"]).at(files),
        "open_gib": line(cases["open_log"], "mib").at(files) / 1024,
        "checkpoint_gb": line(cases["open_log"], "checkpoint_bytes").at(files) / 1e9,
        "commit_with_checkpoint_s": line(cases["commit_slice"], "with_checkpoint_s").at(files),
    }


def money(load: Load, get_usd: float = 4e-7, put_usd: float = 5e-6) -> dict[str, float]:
    """USD of one run: workers on demand and on spot, and requests."""
    hours = load.worker_hours
    requests = load.gets * get_usd + load.puts * put_usd
    return {
        "worker_hours": hours,
        "usd": hours * load.shape.hour,
        "usd_spot": hours * load.shape.spot,
        "requests_usd": requests,
    }
