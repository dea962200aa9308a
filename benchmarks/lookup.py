"""Lookups by key: in process against the bare library, and over HTTP against a bare FastAPI route.

In process, each contender gets one key at a time, in a random order, and decodes its JSON; what
bounds it are the page table and the decoder. Over HTTP one worker answers on core 0 while wrk asks
from core 1, in turn with a FastAPI route that returns a constant under the same uvicorn settings;
what bounds it is Python's time a request. Then both are asked at half of the slower one's rate.

    python -m benchmarks.lookup [--rows 1000000] [--rounds 5] [--seconds 4]

wrk has to be installed (`apt install wrk`); without it, only lookups in process are measured.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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
from benchmarks.lookup_store import make_project
from benchmarks.revision import commit

_GETS = 100_000
_CONNECTIONS = 16
_PORT = 8971


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
            "p50_us": median(_percentile(each, 50) for each in told) / 1_000,
            "p99_us": median(_percentile(each, 99) for each in told) / 1_000,
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


def _percentile(told: list[int], percent: int) -> float:
    return sorted(told)[min(len(told) - 1, len(told) * percent // 100)]


def over_http(project: Path, rounds: int, seconds: int) -> dict[str, Any]:
    """Requests a second, the worker's CPU time for one, and latencies, of both."""
    with _served(project) as service, _constant() as constant:
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
                rate, answers = _wrk(url, 1 if number == 0 else seconds)
                if number:
                    rates[name].append(rate)
                    costs[name].append((_cpu_seconds(workers[name]) - before) / answers * 1e6)
        half = min(median(told) for told in rates.values()) / 2
        waits: dict[str, list[list[float]]] = {name: [] for name in urls}
        for _ in range(rounds):
            for name, url in urls.items():
                waits[name].append(_ask_evenly(url, half, seconds))
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
                f"{name}_p{percent}_ms": median(_of(each, percent) for each in told)
                for name, told in waits.items()
                for percent in (50, 99)
            },
        },
    }


def _of(told: list[float], percent: int) -> float:
    return sorted(told)[min(len(told) - 1, len(told) * percent // 100)] * 1_000


def _cpu_seconds(process: int) -> float:
    times = psutil.Process(process).cpu_times()
    return times.user + times.system


def _wrk(url: str, seconds: int) -> tuple[float, int]:
    """Answers a second, and answers."""
    command = ["taskset", "-c", "1", "wrk", "-t1", f"-c{_CONNECTIONS}", f"-d{seconds}", url]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in text or "Socket errors" in text:
        raise AssertionError(text)
    rate = re.findall(r"Requests/sec:\s+([\d.]+)", text)[0]
    return float(rate), int(re.findall(r"(\d+) requests in", text)[0])


def _ask_evenly(url: str, rate: float, seconds: int) -> list[float]:
    """Seconds of each answer, from the moment at which it was due: waits of a busy server count."""
    command = ["taskset", "-c", "1", sys.executable, "-m", "benchmarks.lookup", "--ask", url]
    told = subprocess.run(
        [*command, "--rate", str(rate), "--seconds", str(seconds)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return json.loads(told.stdout)


async def ask(url: str, rate: float, seconds: int) -> list[float]:
    """The other side of it, in a process of its own."""
    host, _, rest = url.partition("//")[2].partition("/")
    name, _, port = host.partition(":")
    request = f"GET /{rest} HTTP/1.1\r\nhost: {host}\r\n\r\n".encode()
    free: asyncio.Queue[Any] = asyncio.Queue()
    for _ in range(_CONNECTIONS):
        free.put_nowait(await asyncio.open_connection(name, int(port)))
    waits: list[float] = []

    async def one(due: float) -> None:
        reader, writer = connection = await free.get()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(re.findall(rb"content-length: (\d+)", head)[0]))
        assert head.startswith(b"HTTP/1.1 200"), head
        waits.append(time.perf_counter() - due)
        free.put_nowait(connection)

    began = time.perf_counter()
    tasks = []
    for number in range(int(rate * seconds)):
        due = began + number / rate
        if (wait := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        tasks.append(asyncio.create_task(one(due)))
    await asyncio.gather(*tasks)
    return waits


@dataclass(frozen=True)
class _Server:
    url: str
    worker: int


@contextmanager
def _served(project: Path) -> Iterator[_Server]:
    command = ["batchinfer", "serve", "--port", "0", "--workers", "1"]
    with (
        (project / "log").open("w") as log,
        _on_core_0(command, cwd=project, stderr=log) as started,
    ):
        while not (found := re.findall(r"^serving .* on (\S+)$", _text(project), re.MULTILINE)):
            if started.poll() is not None:
                raise AssertionError(_text(project))
            time.sleep(0.1)
        (worker,) = psutil.Process(started.pid).children()
        yield _Server(found[0], worker.pid)


def _text(project: Path) -> str:
    return (project / "log").read_text()


@contextmanager
def _constant() -> Iterator[_Server]:
    command = f"uvicorn benchmarks.lookup_constant:app --port {_PORT}".split()
    options = ["--loop", "uvloop", "--http", "httptools", "--no-access-log"]
    with _on_core_0([*command, *options], stderr=subprocess.DEVNULL) as started:
        time.sleep(3)
        yield _Server(f"http://127.0.0.1:{_PORT}", started.pid)


@contextmanager
def _on_core_0(module: list[str], **how: Any) -> Iterator[subprocess.Popen[bytes]]:
    command = ["taskset", "-c", "0", sys.executable, "-m", *module]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, **how)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def main() -> int:
    """Prints the figures and ratios, and one JSON line."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--rows", type=int, default=1_000_000)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=int, default=4)
    options.add_argument("--project", type=Path, help="A folder that the rows stay in.")
    options.add_argument("--ask", help=argparse.SUPPRESS)
    options.add_argument("--rate", type=float, help=argparse.SUPPRESS)
    arguments = options.parse_args()
    if arguments.ask:
        print(json.dumps(asyncio.run(ask(arguments.ask, arguments.rate, arguments.seconds))))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        project = make_project(arguments.project or Path(folder), arguments.rows)
        told: dict[str, Any] = {"in_process": in_process(project, arguments.rows, arguments.rounds)}
        bare = told["in_process"]["bare"]
        for name, figures in told["in_process"].items():
            ratio = figures["p50_us"] / bare["p50_us"]
            told_us = f"p50 {figures['p50_us']:7.2f} us  p99 {figures['p99_us']:7.2f} us"
            print(f"{name:14} {told_us}  {ratio:.2f} x bare")
        if shutil.which("wrk"):
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
