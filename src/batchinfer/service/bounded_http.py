"""The HTTP protocol of a worker, with bounds that hold before a request is one: connections, the
bytes of a request's head, and the seconds that it takes to come.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from batchinfer.service.problem_documents import MEDIA_TYPE, HttpProblem
from batchinfer.service.served_values import Bounds

# Headers besides the address; what browsers and proxies send is a fraction of it.
_HEADER_BYTES = 16_384


class BoundedHttp(HttpToolsProtocol):
    """One connection.

    Attributes:
        bounds: of the service; a class for each is made by `bounded_protocol`.
    """

    bounds: Bounds = Bounds()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head, self._in_head = 0, True
        self._awaited: asyncio.TimerHandle | None = None
        if len(self.connections) > self.bounds.connections:
            self._end(
                HttpProblem(503, "too-many-connections", "too many connections are open"),
                b"retry-after: 1\r\n",
            )
            return
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        super().data_received(data)
        if not self._in_head or self.transport.is_closing():
            return
        self._head += len(data)
        if self._head > self.bounds.url_bytes + _HEADER_BYTES:
            most = self.bounds.url_bytes + _HEADER_BYTES
            self._end(
                HttpProblem(431, "head-too-long", f"a request's head has {most:,} bytes at most")
            )
        elif self._awaited is None:
            self._await_head()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head, self._in_head = 0, True

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._stop_waiting()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        self._end(HttpProblem(400, "no-http", "what was sent is no HTTP request"))

    def _await_head(self) -> None:
        self._awaited = self.loop.call_later(self.bounds.seconds, self._too_slow)

    def _stop_waiting(self) -> None:
        if self._awaited is not None:
            self._awaited.cancel()
            self._awaited = None

    def _too_slow(self) -> None:
        self._awaited = None
        if self._in_head and not self.transport.is_closing():
            seconds = f"{self.bounds.seconds:g} s"
            self._end(HttpProblem(408, "head-too-slow", f"no request came within {seconds}"))

    def _end(self, problem: HttpProblem, headers: bytes = b"") -> None:
        """Answers what is no request, and closes."""
        self._stop_waiting()
        body = problem.document("")
        phrase = HTTPStatus(problem.status).phrase
        self.transport.write(
            f"HTTP/1.1 {problem.status} {phrase}\r\ncontent-type: {MEDIA_TYPE}\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n".encode()
            + headers
            + b"\r\n"
            + body
        )
        self.transport.close()


def bounded_protocol(bounds: Bounds) -> type[Any]:
    """The protocol with these bounds, for uvicorn."""
    return type("BoundedHttpOfService", (BoundedHttp,), {"bounds": bounds})
