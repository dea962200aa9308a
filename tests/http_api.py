"""An HTTP API of the tests' own: a real server that pages its records in several ways, and fails
when told to.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Record = dict[str, Any]


@dataclass(frozen=True)
class Reply:
    """What the server sends.

    Attributes:
        cut: so many bytes of the body are sent before the connection is closed; None: all.
        wait_s: before the first byte.
    """

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    wait_s: float = 0.0


def as_json(value: Any, **headers: str) -> Reply:
    return Reply(
        json.dumps(value).encode(), headers={"Content-Type": "application/json", **headers}
    )


def orders(numbers: range) -> list[Record]:
    return [{"id": n, "color": ("red", "blue")[n % 2], "size": n * 0.5} for n in numbers]


class Api:
    """What the server has and does.

    Attributes:
        records: all of them; pages are cut out of them.
        size: records a page.
        faults: replies that are sent instead, first ones first; None lets one request pass.
        answer: query and headers to reply; by default paging by `page`.
        asked: the path with its query of every request, in order.
        authorization: the header of every request, or None.
    """

    def __init__(self, records: list[Record], size: int = 3) -> None:
        self.records, self.size = records, size
        self.faults: list[Reply | None] = []
        self.answer: Callable[[dict[str, str]], Reply] = self.by_page
        self.asked: list[str] = []
        self.at: list[float] = []
        self.authorization: list[str | None] = []
        self.url = ""
        self.slow_s = 0.0

    def by_page(self, query: dict[str, str]) -> Reply:
        start = (int(query.get("page", "1")) - 1) * self.size
        return as_json({"items": self.records[start : start + self.size]})

    def by_offset(self, query: dict[str, str]) -> Reply:
        start = int(query.get("offset", "0"))
        return as_json(self.records[start : start + self.size])

    def by_cursor(self, query: dict[str, str]) -> Reply:
        start = int(query.get("cursor", "c0")[1:])
        end = start + self.size
        follows = f"c{end}" if end < len(self.records) else None
        return as_json(
            {"data": {"rows": self.records[start:end]}, "meta": {"next_cursor": follows}}
        )

    def by_link(self, query: dict[str, str]) -> Reply:
        start = int(query.get("after", "0"))
        end = start + self.size
        links = [f'<{self.url}?after=0>; rel="first"']
        if end < len(self.records):
            links.append(f'<{self.url}?after={end}>; title="a, b"; rel="next"')
        return as_json(self.records[start:end], Link=", ".join(links))

    def reply(self, path: str, authorization: str | None) -> Reply:
        self.asked.append(path)
        self.at.append(time.monotonic())
        self.authorization.append(authorization)
        time.sleep(self.slow_s)
        fault = self.faults.pop(0) if self.faults else None
        if fault is not None:
            return fault
        return self.answer(
            {name: values[0] for name, values in parse_qs(urlsplit(path).query).items()}
        )

    def take_asked(self) -> list[str]:
        """The requests since the last call, without the part that all have."""
        asked, self.asked = [path.removeprefix("/orders") for path in self.asked], []
        return asked


@contextmanager
def serving(api: Api) -> Iterator[Api]:
    """Serves an API on a free port of 127.0.0.1 while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Head and body in one packet: apart, the second waits 40 ms for the first to be
        # acknowledged.
        wbufsize = -1

        def do_GET(self) -> None:
            reply = api.reply(self.path, self.headers.get("Authorization"))
            time.sleep(reply.wait_s)
            self.send_response(reply.status)
            for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body[: reply.cut])
            if reply.cut is not None:
                self.close_connection = True

        def log_message(self, *_: Any) -> None:
            """The test says what matters."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign,assignment]  # a client that went away is what is tested
    api.url = f"http://127.0.0.1:{server.server_port}/orders"
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
    )
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)
