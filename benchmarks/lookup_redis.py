"""Lookups over HTTP from a store on Redis, beside a bare FastAPI route that asks Redis itself.

One worker of the service, with its log and figures, and the route of
`benchmarks/lookup_redis_route.py` answer on core 0, each in its turn, 1,000 questions a second for
rows of their own. Redis and who asks are on core 1. Questions are sent when they are due, and waits
count from then (`benchmarks/http_load.py`). Answers of both are compared before anything is timed.

What bounds the figure: at this rate neither is busy, so the median is the way of one question
through both event loops and Redis, and the 99th percentile is what the machine adds: two processes
that want core 1 at once, and Python's collections of garbage in who asks. The service's event loop
asks Redis over one connection; the route takes one of redis-py's pool for each question.

    python -m benchmarks.lookup_redis [--rows 100000] [--rounds 7] [--seconds 5] [--rate 1000]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psutil
from redis import Redis

from batchinfer.lookups.stores.redis_store import RedisStore
from benchmarks.http_load import (
    ASKING_CORE,
    Server,
    ask_evenly,
    percentile,
    serving,
    serving_route,
)
from benchmarks.load import free_port, wait
from benchmarks.lookup_store import make_project, write_generation
from benchmarks.revision import commit

# Of one round, so many different rows.
_ASKED = 5_000
_TARGET_MS = 2.0


@contextmanager
def redis(folder: Path) -> Iterator[str]:
    """A server that keeps nothing on a disk, on the core of who asks; yields its address."""
    port = free_port()
    command = ["taskset", "-c", str(ASKING_CORE), "redis-server", "--bind", "127.0.0.1"]
    command += ["--port", str(port), "--dir", str(folder), "--save", "", "--appendonly", "no"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        url = f"redis://127.0.0.1:{port}/0"
        wait(Redis.from_url(url).ping)
        yield url
    finally:
        server.terminate()
        server.wait()


def compare(
    service: Server, route: Server, rows: int, rate: float, rounds: int, seconds: float
) -> dict[str, Any]:
    """Waits of both in milliseconds, medians of rounds, and the CPU time of one answer."""
    own = {"route": f"{route.url}/predictions", "service": f"{service.url}/v1/predictions/bench"}
    servers = {"route": route, "service": service}
    _check_same(*(f"{url}?id={rows // 2}" for url in own.values()))
    waits: dict[str, list[list[float]]] = {name: [] for name in own}
    costs: dict[str, list[float]] = {name: [] for name in own}
    for number in range(rounds + 1):
        ids = np.random.default_rng(number).integers(0, rows, _ASKED)
        for name, url in own.items():
            before = _cpu_s(servers[name])
            told = ask_evenly([f"{url}?id={one}" for one in ids], rate, seconds)
            if number:
                waits[name].append(told)
                costs[name].append((_cpu_s(servers[name]) - before) / len(told) * 1e6)
    found: dict[str, Any] = {}
    for name, rounds_of in waits.items():
        for percent in (50, 99, 99.9):
            each = [percentile(one, percent) * 1_000 for one in rounds_of]
            found[f"{name}_p{percent:g}_ms"] = round(median(each), 3)
        found[f"{name}_p99_ms_by_round"] = [
            round(percentile(one, 99) * 1_000, 2) for one in rounds_of
        ]
        found[f"{name}_cpu_us"] = round(median(costs[name]), 1)
    found["p99_more_ms"] = round(found["service_p99_ms"] - found["route_p99_ms"], 3)
    found["within_target"] = found["p99_more_ms"] <= _TARGET_MS
    return found


def _check_same(*urls: str) -> None:
    told = []
    for url in urls:
        with urllib.request.urlopen(url) as answer:
            told.append(json.load(answer))
            # A second may have begun meanwhile.
            told[-1]["age_s"] //= 10
    if any(one != told[0] for one in told):
        raise SystemExit(f"the answers differ: {told}")


def _cpu_s(server: Server) -> float:
    times = psutil.Process(server.worker).cpu_times()
    return times.user + times.system


def main() -> int:
    """Prints waits of both, what the service adds, and one JSON line."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--rows", type=int, default=100_000)
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--seconds", type=float, default=5)
    options.add_argument("--rate", type=float, default=1_000)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as text, redis(Path(text)) as url:
        project = make_project(Path(text), given.rows, "{kind: redis, url_env: STORE_URL}")
        store = RedisStore(url, "bench")
        confirmed = write_generation(store, "g1", given.rows).confirmed["2026-11-21"]
        store.close()
        env = {
            "STORE_URL": url,
            "ROUTE_PREFIX": "pred:bench:g1:",
            "ROUTE_CONFIRMED_S": str(datetime.fromisoformat(confirmed).timestamp()),
        }
        with (
            serving(project, env=env) as service,
            serving_route("benchmarks.lookup_redis_route:app", free_port(), env) as route,
        ):
            told = compare(service, route, given.rows, given.rate, given.rounds, given.seconds)
    for name in ("route", "service"):
        waits = "  ".join(f"p{p} {told[f'{name}_p{p}_ms']:6.2f} ms" for p in ("50", "99", "99.9"))
        print(f"{name:8} {waits}  {told[f'{name}_cpu_us']:5.0f} us of a core an answer")
    verdict = "within" if told["within_target"] else "MORE than"
    print(f"the service's p99 is {told['p99_more_ms']:+.2f} ms: {verdict} {_TARGET_MS:g} ms more")
    facts = {"rows": given.rows, "rate": given.rate, "cores": os.cpu_count(), "commit": commit()}
    print(json.dumps({"benchmark": "lookup_redis", **facts, **told}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
