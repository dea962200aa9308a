"""A collector of the tests' own: a real HTTP server that takes OpenLineage events and OTLP metrics,
reads both by their own schemas, and fails or keeps silent when told to.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from local_server import serving

EVENTS, METRICS = "/api/v1/lineage", "/v1/metrics"


@dataclass
class Taken:
    """What came in.

    Attributes:
        url: where the server is.
        paths, headers: of each request.
        events: of OpenLineage, as they were sent.
        requests: of OTLP, decoded.
        answers: statuses of the next answers; 200 where there are none. 0: it never answers.
        rejected: figures that the answer says were refused.
    """

    url: str = ""
    paths: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    requests: list[Any] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    rejected: int = 0
    closing: threading.Event = field(default_factory=threading.Event)

    @property
    def kinds(self) -> list[str]:
        """`income.score START` of each event."""
        return [f"{one['job']['name']} {one['eventType']}" for one in self.events]

    def figures(self) -> dict[tuple[str, ...], float]:
        """The figures of all requests, the later ones over the earlier, by name and labels."""
        found: dict[tuple[str, ...], float] = {}
        for request in self.requests:
            for metric in request.resource_metrics[0].scope_metrics[0].metrics:
                for point in metric.gauge.data_points:
                    labels = [one.value.string_value for one in point.attributes]
                    kind = point.WhichOneof("value")
                    found[(metric.name, *labels)] = getattr(point, kind)
        return found


@contextmanager
def collecting(taken: Taken) -> Iterator[Taken]:
    """Serves a collector on a free port of 127.0.0.1 while the block runs."""
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
        ExportMetricsPartialSuccess,
        ExportMetricsServiceRequest,
        ExportMetricsServiceResponse,
    )

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = taken.answers.pop(0) if taken.answers else 200
            taken.paths.append(self.path)
            taken.headers.append(dict(self.headers))
            taken.raw.append(body)
            while not status:
                # A byte now and then: the limit of a single read never passes.
                if taken.closing.wait(0.05):
                    return
                self.wfile.write(b"H")
            answer = b""
            if 200 <= status < 300:
                answer = self._take(body)
            self.send_response(status)
            self.send_header("Location", f"{taken.url}/elsewhere")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def do_GET(self) -> None:
            taken.paths.append(f"GET {self.path}")
            self.send_response(200)
            self.end_headers()

        def _take(self, body: bytes) -> bytes:
            if self.path.endswith(EVENTS):
                taken.events.append(json.loads(body))
                return b""
            taken.requests.append(ExportMetricsServiceRequest.FromString(body))
            partial = ExportMetricsPartialSuccess(rejected_data_points=taken.rejected)
            return ExportMetricsServiceResponse(partial_success=partial).SerializeToString()

        def log_message(self, *_: Any) -> None:
            """The test says what matters."""

    with serving(Handler) as taken.url:
        try:
            yield taken
        finally:
            taken.closing.set()


def closed_port() -> str:
    """An address at which nobody listens."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def waited_for(condition: Any, limit_s: float = 10) -> bool:
    """Whether a condition comes true in time."""
    until = time.monotonic() + limit_s
    while not condition() and time.monotonic() < until:
        time.sleep(0.02)
    return bool(condition())
