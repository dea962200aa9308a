"""A webhook of the tests' own: a real HTTP server that keeps what is posted, and fails when told
to.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from local_server import serving


@dataclass
class Hook:
    """What came in.

    Attributes:
        url: where the server is; its path is a secret.
        bodies: of each POST.
        answers: statuses of the next answers; 204 where there are none. 0: it never answers.
    """

    url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)


@contextmanager
def hooked(hook: Hook) -> Iterator[Hook]:
    """Serves a hook on a free port of 127.0.0.1 while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            hook.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            status = hook.answers.pop(0) if hook.answers else 204
            while not status:
                time.sleep(0.05)
                self.wfile.write(b"H")
            self.send_response(status)
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """The test says what matters."""

    with serving(Handler) as address:
        hook.url = f"{address}/services/T0CANARY/xyzzyplugh"
        yield hook
