"""The HTTP service for minutes at half of what it could answer, while generations change under it:
an embedded store, one worker, and a new generation of all rows every 30 seconds.

First a FastAPI route that returns a constant is asked as fast as it can; questions then come at
half of its rate, when they are due. In each row the label is the name of its generation. Of every
50 questions one is a `:batch` of 20 keys, whose rows have to be of the generation that it names. An
answer that is no 200, another key's row, or a mixed one is an error.

What bounds the waits: the writer of generations takes the asking core for a second or more of each
30, and the watched worker checks every byte of a new generation before it takes it up. Memory grows
by what was never read before of the mapped file, so the file is told apart.

    python -m benchmarks.soak [--minutes 10] [--rows 200000] [--every 30] [--rate N]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.http_load import (
    ASKING_CORE,
    Server,
    closed_loop,
    own_pss_mib,
    percentile,
    serving,
    serving_route,
    when_due,
)
from benchmarks.load import free_port
from benchmarks.lookup_store import embedded_store, make_project, write_generation
from benchmarks.revision import commit

_CONNECTIONS = 32
_BATCH_EVERY, _BATCH_KEYS = 50, 20
_LOOK_EVERY_S = 5.0
_WARM_S = 5.0


@dataclass
class Asked:
    """What was answered.

    Attributes:
        waits: seconds from when a question was due.
        errors: what was wrong, the first of each kind of words.
        generations: that rows were of.
    """

    waits: list[float] = field(default_factory=list)
    errors: dict[str, int] = field(default_factory=dict)
    generations: set[str] = field(default_factory=set)

    def fail(self, words: str) -> None:
        self.errors[words] = self.errors.get(words, 0) + 1

    def summary(self) -> dict[str, Any]:
        """Few words: whoever waits for them reads them when all is over."""
        ms = sorted(wait * 1_000 for wait in self.waits)
        return {
            "requests": len(ms),
            "errors": sum(self.errors.values()),
            "what": dict(list(self.errors.items())[:20]),
            "generations_seen": len(self.generations),
            "p50_ms": round(percentile(ms, 50), 3),
            "p99_ms": round(percentile(ms, 99), 3),
            "max_ms": round(ms[-1], 1),
        }


async def ask(url: str, rows: int, rate: float, seconds: float) -> Asked:
    """Asks one key or many, whenever a question is due."""
    host = url.partition("//")[2]
    name, _, port = host.partition(":")
    free: asyncio.Queue[Any] = asyncio.Queue()
    for _ in range(_CONNECTIONS):
        free.put_nowait(None)
    told = Asked()
    chance = random.Random(0)

    async def one(due: float, number: int) -> None:
        many = number % _BATCH_EVERY == 0
        keys = [chance.randrange(rows) for _ in range(_BATCH_KEYS if many else 1)]
        request = _batch(host, keys) if many else _one(host, keys[0])
        connection = await free.get()
        try:
            if connection is None:
                connection = await asyncio.open_connection(name, int(port))
            status, body = await _exchange(connection, request)
            (_check_batch if many else _check_one)(told, status, body, keys)
        except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
            told.fail(repr(error)[:200])
            connection = None
        told.waits.append(time.perf_counter() - due)
        free.put_nowait(connection)

    await when_due(rate, seconds, one)
    return told


def _one(host: str, key: int) -> bytes:
    return f"GET /v1/predictions/bench?id={key} HTTP/1.1\r\nhost: {host}\r\n\r\n".encode()


def _batch(host: str, keys: list[int]) -> bytes:
    body = json.dumps({"keys": [{"id": key} for key in keys]})
    head = f"POST /v1/predictions/bench:batch HTTP/1.1\r\nhost: {host}\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n{body}".encode()


async def _exchange(connection: Any, request: bytes) -> tuple[int, Any]:
    reader, writer = connection
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(re.findall(rb"content-length: (\d+)", head)[0])
    return int(head.split(b" ", 2)[1]), json.loads(await reader.readexactly(length))


def _check_one(told: Asked, status: int, body: Any, keys: list[int]) -> None:
    if status != 200:
        told.fail(f"{status} {body.get('detail')}")
    elif body["prediction"]["id"] != keys[0]:
        told.fail("another key's row")
    else:
        told.generations.add(body["prediction"]["label"])


def _check_batch(told: Asked, status: int, body: Any, keys: list[int]) -> None:
    if status != 200:
        told.fail(f"{status} {body.get('detail')}")
        return
    rows = [result["prediction"] for result in body["results"]]
    if [row["id"] for row in rows] != keys:
        told.fail("other keys' rows")
    elif {row["label"] for row in rows} != {body["generation"]}:
        told.fail(f"mixed: {sorted({row['label'] for row in rows})} in {body['generation']}")


def soak(
    project: Path, service: Server, rows: int, rate: float, minutes: float, every_s: float
) -> dict[str, Any]:
    """Asks for so long, and switches generations meanwhile."""
    seconds = minutes * 60
    asking = subprocess.Popen(
        ["taskset", "-c", str(ASKING_CORE), sys.executable, "-m", "benchmarks.soak",
         "--ask", service.url, "--rows", str(rows), "--rate", str(rate), "--seconds",
         str(seconds)],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    os.sched_setaffinity(0, {ASKING_CORE})
    began, switched, looked, memory = time.monotonic(), 1, -_LOOK_EVERY_S, list[float]()
    while asking.poll() is None:
        since = time.monotonic() - began
        if since >= switched * every_s and since < seconds - 2:
            switched += 1
            store = embedded_store(project)
            write_generation(store, f"g{switched}", rows)
            store.close()
        if since >= _WARM_S and since - looked >= _LOOK_EVERY_S:
            memory.append(own_pss_mib([service.worker]))
            looked = since
        time.sleep(0.1)
    assert asking.stdout is not None
    return {
        "minutes": minutes,
        "rate": round(rate),
        **json.loads(asking.stdout.read()),
        "generations": switched,
        "pss_first_mib": round(memory[0], 1),
        "pss_last_mib": round(memory[-1], 1),
        "pss_most_mib": round(max(memory), 1),
    }


def main() -> int:
    """Prints what was answered, and one JSON line; 1 where an answer was wrong."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--minutes", type=float, default=10)
    options.add_argument("--rows", type=int, default=200_000)
    options.add_argument("--every", type=float, default=30, help="Seconds between generations.")
    options.add_argument("--rate", type=float, help="A second; without it half of the constant's.")
    options.add_argument("--ask", help=argparse.SUPPRESS)
    options.add_argument("--seconds", type=float, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.ask:
        asked = asyncio.run(ask(given.ask, given.rows, given.rate, given.seconds))
        print(json.dumps(asked.summary()))
        return 0
    rate = given.rate
    if rate is None:
        with serving_route("benchmarks.lookup_constant:app", free_port()) as constant:
            closed_loop(f"{constant.url}/constant", 1)
            rate = closed_loop(f"{constant.url}/constant", 5)[0] / 2
    with tempfile.TemporaryDirectory() as folder:
        project = make_project(Path(folder), given.rows)
        with serving(project) as service:
            told = soak(project, service, given.rows, rate, given.minutes, given.every)
    print(
        f"{told['requests']:,} questions, {told['rate']:,} a second: {told['errors']} errors; "
        f"{told['generations']} generations, rows of {told['generations_seen']} seen\n"
        f"p50 {told['p50_ms']:.2f} ms, p99 {told['p99_ms']:.2f} ms, at most {told['max_ms']:.0f} ms"
        f"\nthe worker's memory beside the file: {told['pss_first_mib']} MiB at first, "
        f"{told['pss_last_mib']} MiB at last"
    )
    facts = {"rows": given.rows, "cores": os.cpu_count(), "commit": commit()}
    print(json.dumps({"benchmark": "soak", **facts, **told}))
    return 1 if told["errors"] or told["generations_seen"] < told["generations"] else 0


if __name__ == "__main__":
    sys.exit(main())
