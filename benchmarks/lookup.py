"""Lookups by key: in process against the bare library, and over HTTP against a bare FastAPI route.

In process, each contender gets one key at a time, in a random order, and decodes its JSON; what
bounds it are the page table and the decoder. Over HTTP one worker answers on core 0 while wrk asks
from core 1, in turn with a FastAPI route that returns a constant under the same uvicorn settings;
what bounds it is Python's time a request. Then both are asked at half of the slower one's rate.
Memory is that of two workers and their watcher without the mapped file; what bounds it is what they
import, whatever the number of rows.

    python -m benchmarks.lookup [--rows 1000000] [--rounds 5] [--seconds 4] [--only memory]

wrk has to be installed (`apt install wrk`); without it, only lookups in process are measured.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import lmdb
import psutil
import pyarrow as pa

from batchinfer.lookups.key_values import convert_key
from batchinfer.lookups.stores.embedded_store import EmbeddedStore
from batchinfer.lookups.stores.online_store import part_of
from batchinfer.lookups.stores.stored_rows import stored_key
from benchmarks.http_load import (
    ask_evenly,
    closed_loop,
    own_pss_mib,
    percentile,
    serving,
    serving_route,
)
from benchmarks.lookup_store import make_project
from benchmarks.revision import commit

_GETS = 100_000
_PORT = 8971
_MOST_MIB = 300
_PARTS = ("in_process", "http", "memory")


def in_process(project: Path, rows: int, rounds: int) -> dict[str, Any]:
    """Microseconds of one key, by contender: medians of rounds, and the 99th percentile of all."""
    keys = [random.randrange(rows) for _ in range(_GETS)]
    taken: dict[str, list[list[int]]] = {"bare": [], "store": [], "key and store": []}
    for number in range(rounds + 1):
        for name, contender in (("bare", _bare), ("store", _store), ("key and store", _whole)):
            with contender(project) as get:
                told = _time(get, keys)
            if number:
                taken[name].append(told)
    return {
        name: {
            "p50_us": median(percentile(each, 50) for each in told) / 1_000,
            "p99_us": median(percentile(each, 99) for each in told) / 1_000,
            "mean_us": median(sum(each) / len(each) for each in told) / 1_000,
        }
        for name, told in taken.items()
    }


def _time(get: Callable[[int], Any], keys: list[int]) -> list[int]:
    clock, told = time.perf_counter_ns, []
    for key in keys:
        began = clock()
        row = get(key)
        told.append(clock() - began)
        if row["id"] != key:
            raise AssertionError(f"{key}: {row}")
    return told


@contextmanager
def _bare(project: Path) -> Iterator[Callable[[int], Any]]:
    folder = project / "var/online/bench/layers/g1"
    envs = [
        lmdb.open(str(file), subdir=False, readonly=True, lock=False, readahead=False)
        for file in sorted(folder.iterdir())
    ]

    def get(key: int) -> Any:
        text = str(key).encode()
        env = envs[part_of(text, len(envs)) if len(envs) > 1 else 0]
        with env.begin() as transaction:
            return json.loads(transaction.get(text))

    yield get
    for env in envs:
        env.close()


@contextmanager
def _store(project: Path) -> Iterator[Callable[[int], Any]]:
    store = EmbeddedStore(str(project / "var/online/bench"))
    pointer = store.pointer()
    assert pointer is not None
    generation = pointer.current
    store.read(generation, [b"%"])
    yield lambda key: json.loads(store.read(generation, [str(key).encode()])[0] or b"")
    store.close()


@contextmanager
def _whole(project: Path) -> Iterator[Callable[[int], Any]]:
    store = EmbeddedStore(str(project / "var/online/bench"))
    pointer = store.pointer()
    assert pointer is not None
    generation, types = pointer.current, {"id": pa.int64()}
    store.read(generation, [b"%"])

    def get(key: int) -> Any:
        stored = stored_key(convert_key({"id": key}, types))
        return json.loads(store.read(generation, [stored])[0] or b"")

    yield get
    store.close()


def over_http(project: Path, rounds: int, seconds: int) -> dict[str, Any]:
    """Requests a second, the worker's CPU time for one, and latencies, of both."""
    with (
        serving(project) as service,
        serving_route("benchmarks.lookup_constant:app", _PORT) as constant,
    ):
        urls = {
            "constant": f"{constant.url}/constant",
            "service": f"{service.url}/v1/predictions/bench?id=500",
        }
        workers = {"constant": constant.worker, "service": service.worker}
        rates: dict[str, list[float]] = {name: [] for name in urls}
        costs: dict[str, list[float]] = {name: [] for name in urls}
        for number in range(rounds + 1):
            for name, url in urls.items():
                before = _cpu_seconds(workers[name])
                rate, answers = closed_loop(url, 1 if number == 0 else seconds)
                if number:
                    rates[name].append(rate)
                    costs[name].append((_cpu_seconds(workers[name]) - before) / answers * 1e6)
        half = min(median(told) for told in rates.values()) / 2
        waits: dict[str, list[list[float]]] = {name: [] for name in urls}
        for _ in range(rounds):
            for name, url in urls.items():
                waits[name].append(ask_evenly([url], half, seconds))
    pairs = zip(rates["service"], rates["constant"], strict=True)
    ratios = [ours / theirs for ours, theirs in pairs]
    cost = {name: median(told) for name, told in costs.items()}
    return {
        "cpu_us_a_request": cost,
        "constant / service in cpu": cost["constant"] / cost["service"],
        "requests_a_second": {name: median(told) for name, told in rates.items()},
        "service / constant": median(ratios),
        "ratios": ratios,
        "at_half_rate": {
            "requests_a_second": half,
            **{
                f"{name}_p{percent}_ms": 1_000 * median(percentile(each, percent) for each in told)
                for name, told in waits.items()
                for percent in (50, 99)
            },
        },
    }


def memory(project: Path, rows: int) -> dict[str, Any]:
    """MiB of two workers and their watcher beside the mapped file, once they have answered, and
    which modules of models they have: none, before the first `:predict`.
    """
    with serving(project, workers=2) as service:
        processes = [service.process, *_workers(service.process)]
        urls = [
            f"{service.url}/v1/predictions/bench?id={key}" for key in range(0, rows, rows // 50)
        ]
        ask_evenly(urls, 500, 4)
        mapped = "".join(Path(f"/proc/{each}/maps").read_text() for each in processes)
        return {
            "own_pss_mib": round(own_pss_mib(processes), 1),
            "most_mib": _MOST_MIB,
            "torch": "/torch/" in mapped,
        }


def _workers(process: int) -> list[int]:
    return [child.pid for child in psutil.Process(process).children()]


def _cpu_seconds(process: int) -> float:
    times = psutil.Process(process).cpu_times()
    return times.user + times.system


def main() -> int:
    """Prints the figures and ratios, and one JSON line."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--rows", type=int, default=1_000_000)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=int, default=4)
    options.add_argument("--only", nargs="+", choices=_PARTS, default=_PARTS)
    options.add_argument("--project", type=Path, help="A folder that the rows stay in.")
    arguments = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        project = make_project(arguments.project or Path(folder), arguments.rows)
        told: dict[str, Any] = {}
        if "in_process" in arguments.only:
            taken = told["in_process"] = in_process(project, arguments.rows, arguments.rounds)
            for name, figures in taken.items():
                ratio = figures["p50_us"] / taken["bare"]["p50_us"]
                told_us = f"p50 {figures['p50_us']:7.2f} us  p99 {figures['p99_us']:7.2f} us"
                print(f"{name:14} {told_us}  {ratio:.2f} x bare")
        if "memory" in arguments.only:
            taken = told["memory"] = memory(project, arguments.rows)
            print(f"memory beside the file: {taken['own_pss_mib']} MiB, torch: {taken['torch']}")
        if "http" in arguments.only and shutil.which("wrk"):
            http = told["http"] = over_http(project, arguments.rounds, arguments.seconds)
            print(json.dumps({name: http[name] for name in http if name != "ratios"}, indent=1))
    rows, cores = arguments.rows, os.cpu_count()
    print(
        json.dumps(
            {"benchmark": "lookup", "rows": rows, "cores": cores, **told, "commit": commit()}
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
