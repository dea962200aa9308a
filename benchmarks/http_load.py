"""Servers of lookups on one core and what asks them from the other one.

Questions are sent when they are due, whether or not the former ones have been answered, and waits
are counted from that moment: a server that stands still for a second is seen in all answers that
were due in it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

CONNECTIONS = 16
SERVER_CORE, ASKING_CORE = 0, 1


@dataclass(frozen=True)
class Server:
    """One that answers.

    Attributes:
        process: that was started.
        worker: the process that answers; of several the first.
    """

    url: str
    process: int
    worker: int


@contextmanager
def serving(
    project: Path, workers: int = 1, env: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """`batchinfer serve` in a project."""
    command = ["batchinfer", "serve", "--port", "0", "--workers", str(workers)]
    log = project / "log"
    environment = {**os.environ, **(env or {})}
    with (
        log.open("w") as errors,
        _on_server_core(command, cwd=project, stderr=errors, env=environment) as started,
    ):
        while not (found := re.findall(r"^serving .* on (\S+)$", log.read_text(), re.MULTILINE)):
            if started.poll() is not None:
                raise AssertionError(log.read_text())
            time.sleep(0.1)
        children = psutil.Process(started.pid).children()
        yield Server(found[0], started.pid, children[0].pid)


@contextmanager
def serving_route(
    application: str, port: int, env: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """A FastAPI application under uvicorn, with the settings of the service's workers."""
    command = f"uvicorn {application} --port {port}".split()
    options = ["--loop", "uvloop", "--http", "httptools", "--no-access-log"]
    environment = {**os.environ, **(env or {})}
    with _on_server_core(
        [*command, *options], stderr=subprocess.DEVNULL, env=environment
    ) as started:
        _await_port(port, started)
        yield Server(f"http://127.0.0.1:{port}", started.pid, started.pid)


def _await_port(port: int, started: subprocess.Popen[bytes]) -> None:
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
            return
        except ConnectionRefusedError:
            if started.poll() is not None:
                raise AssertionError(f"{started.args}: exit {started.returncode}") from None
            time.sleep(0.1)


@contextmanager
def _on_server_core(module: list[str], **how: Any) -> Iterator[subprocess.Popen[bytes]]:
    command = ["taskset", "-c", str(SERVER_CORE), sys.executable, "-m", *module]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, **how)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def ask_evenly(urls: Sequence[str], rate: float, seconds: float) -> list[float]:
    """Seconds of each answer, from the moment at which it was due. Any answer but 200 is an error.

    Args:
        urls: of one server, asked in turn.
        rate: questions a second.
    """
    command = ["taskset", "-c", str(ASKING_CORE), sys.executable, "-m", "benchmarks.http_load"]
    told = subprocess.run(
        [*command, "--rate", str(rate), "--seconds", str(seconds)],
        input=json.dumps(list(urls)), check=True, capture_output=True, text=True,
    )  # fmt: skip
    return json.loads(told.stdout)


async def ask(urls: Sequence[str], rate: float, seconds: float) -> list[float]:
    """The other side of it, in a process of its own."""
    host, _, _ = urls[0].partition("//")[2].partition("/")
    name, _, port = host.partition(":")
    requests = [
        f"GET /{url.partition('//')[2].partition('/')[2]} HTTP/1.1\r\nhost: {host}\r\n\r\n".encode()
        for url in urls
    ]
    free: asyncio.Queue[Any] = asyncio.Queue()
    for _ in range(CONNECTIONS):
        free.put_nowait(await asyncio.open_connection(name, int(port)))
    waits: list[float] = []

    async def one(due: float, request: bytes) -> None:
        reader, writer = connection = await free.get()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(re.findall(rb"content-length: (\d+)", head)[0]))
        assert head.startswith(b"HTTP/1.1 200"), head
        waits.append(time.perf_counter() - due)
        free.put_nowait(connection)

    await when_due(rate, seconds, lambda due, number: one(due, requests[number % len(requests)]))
    return waits


async def when_due(
    rate: float, seconds: float, ask_one: Callable[[float, int], Coroutine[Any, Any, None]]
) -> None:
    """Asks whenever a question is due, whether those before it were answered or not.

    Args:
        rate: questions a second.
        ask_one: gets the moment at which its question is due, and its number; what it raises is
            raised at the end.
    """
    began = time.perf_counter()
    tasks = set[asyncio.Task[None]]()

    def forget(task: asyncio.Task[None]) -> None:
        if task.exception() is None:
            tasks.discard(task)

    for number in range(int(rate * seconds)):
        due = began + number / rate
        if (wait := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        task = asyncio.create_task(ask_one(due, number))
        tasks.add(task)
        task.add_done_callback(forget)
    await asyncio.gather(*tasks)


def percentile(told: Sequence[float], percent: float) -> float:
    """The least of the values that so many percent of them do not exceed."""
    return sorted(told)[min(len(told) - 1, int(len(told) * percent / 100))]


def closed_loop(url: str, seconds: int) -> tuple[float, int]:
    """Answers a second, and answers: wrk sends the next question when the last one is answered."""
    command = [
        "taskset",
        "-c",
        str(ASKING_CORE),
        "wrk",
        "-t1",
        f"-c{CONNECTIONS}",
        f"-d{seconds}",
        url,
    ]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in text or "Socket errors" in text:
        raise AssertionError(text)
    rate = re.findall(r"Requests/sec:\s+([\d.]+)", text)[0]
    return float(rate), int(re.findall(r"(\d+) requests in", text)[0])


def own_pss_mib(processes: Sequence[int]) -> float:
    """Memory of some processes beside the mapped files of a store; what others use too is divided
    among them.
    """
    kib = 0
    for process in processes:
        counts = True
        for line in Path(f"/proc/{process}/smaps").read_text().splitlines():
            words = line.split()
            if not words[0].endswith(":"):
                counts = not words[-1].endswith(".lmdb")
            elif words[0] == "Pss:" and counts:
                kib += int(words[1])
    return kib / 1024


def _main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rate", type=float, required=True)
    options.add_argument("--seconds", type=float, required=True)
    given = options.parse_args()
    print(json.dumps(asyncio.run(ask(json.load(sys.stdin), given.rate, given.seconds))))


if __name__ == "__main__":
    _main()
