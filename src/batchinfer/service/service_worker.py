"""One worker process of the service, as the module that starts it runs it.

Its settings come on standard input as a line of JSON; when standard input ends, the process that
watches over it has gone, and the worker ends, too. It answers on a socket that it was given.
"""

from __future__ import annotations

import logging
import os
import resource
import signal
import socket
import sys
import threading
from typing import Any

import uvicorn

from batchinfer.json_values import from_json
from batchinfer.service.asked_predictor import MakePredictor
from batchinfer.service.bounded_http import bounded_protocol
from batchinfer.service.served_values import ServiceSettings
from batchinfer.service.service_app import ServiceApplication

# Longer than the idle time of load balancers: they, not the service, close what they keep.
_KEEP_ALIVE_S = 75
_BACKLOG = 2_048


class Worker(uvicorn.Server):
    """A server that says when it takes requests."""

    def __init__(self, config: uvicorn.Config, ready: int) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        os.write(self._ready, b"1")
        os.close(self._ready)


def run_worker(listening: int, ready: int, make_predictor: MakePredictor) -> None:
    """Answers until it is told to stop.

    Args:
        listening: descriptor of the socket.
        ready: descriptor that is told once requests are taken.
        make_predictor: of each pipeline; must not take time, or import what is heavy.
    """
    settings = from_json(ServiceSettings, sys.stdin.readline())
    _raise_open_files(settings.bounds.connections)
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    place = settings.listening
    tls: dict[str, Any] = (
        {"ssl_certfile": place.tls_cert, "ssl_keyfile": place.tls_key} if place.tls_cert else {}
    )
    config = uvicorn.Config(
        ServiceApplication(settings, make_predictor).asgi(),
        http=bounded_protocol(settings.bounds),
        loop="uvloop",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=max(1, round(settings.bounds.drain_s)),
        **tls,
    )
    threading.Thread(target=_end_with_parent, daemon=True).start()
    Worker(config, ready).run(sockets=[socket.socket(fileno=listening)])


def _raise_open_files(connections: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + 1_024
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))


def _end_with_parent() -> None:
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)
