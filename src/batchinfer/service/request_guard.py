"""What every request goes through, whatever it asks for: bounds, the caller's key, a number, the
figures and the access log.

Owns that each request is answered with a document, and that no error leaves more than a sentence.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import time
import traceback
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from batchinfer.credentials import without_credentials
from batchinfer.report.terminal import show_line
from batchinfer.service.access_log import AccessLog
from batchinfer.service.caller_keys import CallerCheck
from batchinfer.service.masked_problems import CallerMask
from batchinfer.service.problem_documents import MEDIA_TYPE, HttpProblem, failure, unavailable
from batchinfer.service.served_values import Bounds, CallerKey
from batchinfer.service.service_metrics import ServiceMetrics

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

# Under this name the call stands in a request's scope.
CALL = "batchinfer.call"
# Asked by those who watch over the service: they have no key, and are never kept waiting.
HEALTH = ("/healthz", "/readyz")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,100}")
# What nginx writes where the client has gone before it was answered.
_CLIENT_GONE = 499


class HttpCall:
    """One request, as the log and the figures tell it.

    Attributes:
        route: as the documentation names it; `other` where there is none.
        pipeline: that is served; empty for others.
        caller: whose key was sent; None: nobody's.
        keys: that were asked for, where the log tells them.
        mask: of the pipeline that was asked; None: nothing of it is sensitive.
        gone: the client has left before its request was whole, or does not read its answer.
    """

    __slots__ = (
        "bytes",
        "caller",
        "gone",
        "keys",
        "mask",
        "pipeline",
        "request_id",
        "route",
        "status",
    )

    def __init__(self, request_id: str) -> None:
        self.request_id = request_id
        self.route, self.pipeline = "other", ""
        self.status, self.bytes = 0, 0
        self.caller: CallerKey | None = None
        self.keys: Any = None
        self.mask: CallerMask | None = None
        self.gone = False


class RequestGuard:
    """An ASGI application around another one."""

    def __init__(
        self,
        app: Application,
        bounds: Bounds,
        callers: CallerCheck,
        metrics: ServiceMetrics,
        log: AccessLog | None,
        log_keys: bool,
    ) -> None:
        self._app, self._bounds, self._callers = app, bounds, callers
        self._metrics, self._log, self._log_keys = metrics, log, log_keys
        self._busy = 0
        self._prefix, self._numbers = os.urandom(5).hex(), itertools.count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        authorization, given_id = _headers(scope)
        call = scope[CALL] = HttpCall(given_id or f"{self._prefix}-{next(self._numbers):x}")
        identity = (b"x-request-id", call.request_id.encode())

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                call.status = message["status"]
                message["headers"] = [*message["headers"], identity]
            else:
                call.bytes += len(message.get("body", b""))
            await send(message)

        # Its body may take its time, and its answer; a client that does not read gets no more.
        limit = asyncio.get_running_loop().call_later(
            2 * self._bounds.seconds + 1, _give_up, asyncio.current_task(), call
        )
        health = scope["path"] in HEALTH
        self._busy += 1
        self._metrics.in_flight.inc()
        try:
            if not health:
                self._admit(scope)
            call.caller = self._caller(health, authorization)
            await self._app(scope, receive, told)
        except HttpProblem as problem:
            await self._refuse(problem, call, told)
        except asyncio.CancelledError:
            if not call.gone:
                raise
        except Exception:  # noqa: BLE001 - whatever it is, the caller is told a sentence
            show_line(without_credentials(traceback.format_exc()).rstrip())
            await self._refuse(failure(), call, told)
        finally:
            limit.cancel()
            self._busy -= 1
            self._metrics.in_flight.dec()
            self._ended(scope, call, time.perf_counter() - started)

    def _admit(self, scope: Scope) -> None:
        if self._busy > self._bounds.at_once:
            self._metrics.count_rejected("at_once")
            raise unavailable("too-busy", "as many requests as may be are being answered")
        length = len(scope["raw_path"]) + len(scope["query_string"])
        if length > self._bounds.url_bytes:
            self._metrics.count_rejected("url_bytes")
            raise HttpProblem(
                414,
                "url-too-long",
                f"path and query have {length:,} bytes; allowed: {self._bounds.url_bytes:,}",
            )

    def _caller(self, health: bool, authorization: bytes | None) -> CallerKey | None:
        try:
            return self._callers.caller(authorization)
        except HttpProblem:
            if health:
                return None
            self._metrics.count_rejected("key")
            raise

    async def _refuse(self, problem: HttpProblem, call: HttpCall, send: Send) -> None:
        if call.status:
            # The answer has begun; its end is missing, so that nobody takes it for whole.
            return
        await send_problem(problem, call, send)

    def _ended(self, scope: Scope, call: HttpCall, seconds: float) -> None:
        status = _CLIENT_GONE if call.gone else call.status or _CLIENT_GONE
        self._metrics.count_request(call.route, call.pipeline, status, seconds)
        if self._log is None:
            return
        line = {
            "time": time.time(),
            "method": scope["method"],
            "route": call.route,
            "pipeline": call.pipeline or None,
            "status": status,
            "ms": round(seconds * 1000, 3),
            "bytes": call.bytes,
            "caller": call.caller.name if call.caller else None,
            "request_id": call.request_id,
        }
        if self._log_keys and call.keys is not None:
            line["keys"] = call.mask.keys(call.keys) if call.mask else call.keys
        self._log.write(line)


def _give_up(task: asyncio.Task[Any] | None, call: HttpCall) -> None:
    call.gone = True
    if task is not None:
        task.cancel()


async def send_problem(problem: HttpProblem, call: HttpCall, send: Send) -> None:
    """A problem as the response."""
    body = problem.document(call.request_id)
    headers = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", b"%d" % len(body))]
    headers += [(name.lower().encode(), text.encode()) for name, text in problem.headers.items()]
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _headers(scope: Scope) -> tuple[bytes | None, str | None]:
    """The authorization, and the number that the caller gave the request, if it can be one."""
    authorization: bytes | None = None
    given: str | None = None
    for name, value in scope["headers"]:
        if name == b"authorization":
            authorization = value
        elif name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            given = value.decode()
    return authorization, given
