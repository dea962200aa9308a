"""The process that watches over the workers: it holds the socket, starts them anew when they end,
and ends them when it is told to stop.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import select
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Generator
from dataclasses import dataclass

from batchinfer import stopping
from batchinfer.errors import BatchInferError, ConfigError, Interrupted
from batchinfer.json_values import to_json
from batchinfer.report.terminal import show_line
from batchinfer.scratch import process_folder
from batchinfer.service.caller_keys import VARIABLE
from batchinfer.service.served_values import Listening, ServiceSettings
from batchinfer.service.service_metrics import FOLDER_VARIABLE, forget_worker

_BACKLOG = 2_048
_LOOK_EVERY_S = 0.2
# Workers import, and open their stores.
_READY_WITHIN_S = 60.0
# Models may have to come from a registry first.
_WARM_WITHIN_S = 600.0
# One that ends by itself is started anew, but not without a pause.
_ANEW_AFTER_S = 1.0
# Beyond the time for requests in flight: uvicorn's own steps, and the end of the process.
_END_S = 3.0


@dataclass
class _Child:
    process: subprocess.Popen[bytes]
    ready: int | None


def check_listening(place: Listening, has_callers: bool) -> None:
    """Refuses what would let anybody read predictions.

    Raises:
        ConfigError: beyond loopback without keys, or without TLS and no proxy that speaks it; a
            certificate that cannot be used; every problem at once.
    """
    problems: list[str] = []
    if (place.tls_cert is None) != (place.tls_key is None):
        given = "--tls-cert" if place.tls_cert else "--tls-key"
        problems.append(f"serve: got {given} alone; allowed: --tls-cert and --tls-key, or neither")
    elif place.tls_cert is not None:
        problems += _wrong_certificate(place.tls_cert, str(place.tls_key))
    if not _is_loopback(place.host):
        if not has_callers:
            problems.append(
                f"--host {place.host}: others could read predictions without a key; allowed: "
                f"127.0.0.1, or keys of callers by --api-keys-file or {VARIABLE}"
            )
        if place.tls_cert is None and not place.behind_proxy:
            problems.append(
                f"--host {place.host}: keys and predictions would go over the network as they "
                "are; allowed: 127.0.0.1, --tls-cert with --tls-key, or --behind-proxy where a "
                "proxy in front speaks TLS"
            )
    if problems:
        raise ConfigError(problems)


def _wrong_certificate(certificate: str, key: str) -> list[str]:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        return [
            f"--tls-cert {certificate}, --tls-key {key}: {error}; allowed: a certificate and its "
            "key, both PEM"
        ]
    return []


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        pass
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        # To listen there will fail, and say so.
        return True
    return all(ipaddress.ip_address(entry[4][0]).is_loopback for entry in found)


def open_socket(place: Listening) -> socket.socket:
    """The socket that all workers answer on.

    Raises:
        ConfigError: nobody can listen there: the port is taken, or the host is none of this
            machine's.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(
            place.host, place.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except OSError as error:
        raise ConfigError(
            f"--host {place.host}, --port {place.port}: {error.strerror or error}; allowed: an "
            "address of this machine with a free port, or --port 0 for any free one"
        ) from error


def url_of(place: Listening, port: int) -> str:
    """The address that callers use."""
    host = f"[{place.host}]" if ":" in place.host else place.host
    return f"{'https' if place.tls_cert else 'http'}://{host}:{port}"


class WorkerWatch:
    """The workers of one service."""

    def __init__(
        self, settings: ServiceSettings, workers: int, listening: socket.socket, module: str
    ) -> None:
        self._settings, self._workers, self._socket = settings, workers, listening
        self._module = module
        self._figures = process_folder("figures")
        self._children: list[_Child] = []
        self._forced = 0

    def run(self, begun: str) -> None:
        """Keeps the workers running until a signal comes.

        Args:
            begun: a line that is shown once all workers take requests.

        Raises:
            Interrupted: a signal came; all workers have ended.
            BatchInferError: a worker cannot begin.
        """
        try:
            self._children = [self._start() for _ in range(self._workers)]
            self._await_ready()
            show_line(begun)
            while True:
                time.sleep(_LOOK_EVERY_S)
                self._replace_ended()
        finally:
            self._end()

    def how_it_ended(self) -> str:
        """What became of requests in flight, once the workers have ended."""
        if self._forced:
            return f"{self._forced} workers took too long, and requests of theirs were cut off"
        return "requests in flight had their time to be answered"

    def _start(self) -> _Child:
        read, write = os.pipe()
        environment = {**os.environ, FOLDER_VARIABLE: str(self._figures)}
        # What it holds came with the settings.
        environment.pop(VARIABLE, None)
        listening = self._socket.fileno()
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", self._module, str(listening), str(write)],
                stdin=subprocess.PIPE,
                stdout=2,
                pass_fds=(listening, write),
                env=environment,
            )
        finally:
            os.close(write)
        child = _Child(process, read)
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended already: that is seen next
            process.stdin.write(to_json(self._settings).encode() + b"\n")
            process.stdin.flush()
        return child

    def _await_ready(self) -> None:
        most = _WARM_WITHIN_S if self._settings.warm else _READY_WITHIN_S
        until = time.monotonic() + most
        for child in self._children:
            assert child.ready is not None
            left = max(0.0, until - time.monotonic())
            told, _, _ = select.select([child.ready], [], [], left)
            if not told:
                raise BatchInferError(f"a worker was not ready within {most:g} s")
            if not os.read(child.ready, 1):
                code = child.process.wait()
                raise BatchInferError(f"a worker ended before it was ready: exit {code}")
            os.close(child.ready)
            child.ready = None

    def _replace_ended(self) -> None:
        for place, child in enumerate(self._children):
            code = child.process.poll()
            if code is None:
                continue
            stopping.check()
            how = f"signal {-code}" if code < 0 else f"exit {code}"
            show_line(f"batchinfer: worker {child.process.pid} ended ({how}); another one begins")
            _close(child)
            forget_worker(self._figures, child.process.pid)
            time.sleep(_ANEW_AFTER_S)
            self._children[place] = self._start()

    def _end(self) -> None:
        """Ends the workers; those that take too long, and all at a second signal, by force."""
        self._socket.close()
        try:
            for child in self._children:
                if child.process.poll() is None:
                    child.process.terminate()
            until = time.monotonic() + self._settings.bounds.drain_s + _END_S
            for child in self._children:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.process.wait(max(0.0, until - time.monotonic()))
        finally:
            for child in self._children:
                if child.process.poll() is None:
                    self._forced += 1
                    child.process.kill()
                    child.process.wait()
                _close(child)


def _close(child: _Child) -> None:
    if child.process.stdin is not None:
        with contextlib.suppress(OSError):
            child.process.stdin.close()
    if child.ready is not None:
        os.close(child.ready)
        child.ready = None


@contextlib.contextmanager
def _told_of(facts: dict[str, object]) -> Generator[None]:
    """What is known of the service stands in the JSON line, however it ends."""
    started = time.perf_counter()
    try:
        yield
    except (Interrupted, BatchInferError) as error:
        error.facts |= {**facts, "seconds": round(time.perf_counter() - started, 3)}
        raise


def serve_by_workers(settings: ServiceSettings, workers: int, module: str) -> None:
    """Serves until a signal comes.

    Args:
        module: that is run as a worker, with the descriptors of the socket and of a pipe.

    Raises:
        Interrupted: a signal came, and requests in flight were answered.
        ConfigError: it may not, or cannot, listen there.
    """
    place = settings.listening
    check_listening(place, settings.callers is not None)
    with open_socket(place) as listening:
        port = listening.getsockname()[1]
        names = [served.name for served in settings.pipelines]
        url = url_of(place, port)
        watch = WorkerWatch(settings, workers, listening, module)
        with _told_of({"pipelines": names, "url": url, "workers": workers}):
            try:
                watch.run(f"serving {', '.join(names)} on {url}")
            except Interrupted as stopped:
                signal_, _, _ = stopped.problems[0].partition(":")
                stopped.problems = (f"{signal_}: {watch.how_it_ended()}",)
                raise
