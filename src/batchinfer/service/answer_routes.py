"""The way from a path to the endpoint that answers it.

Questions for predictions take it, and so do probes; FastAPI gets everything else: its pages, and
paths that are none. Its own way through middleware and routes took a third of what an answer costs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from batchinfer.service.problem_documents import MEDIA_TYPE, HttpProblem, shortened
from batchinfer.service.request_guard import CALL, Application, HttpCall, Receive, Scope, Send

PREDICTIONS = "/v1/predictions"
_ONE = f"{PREDICTIONS}/"

Answer = Callable[[Request, HttpCall], Awaitable[Response]]


@dataclass(frozen=True)
class Endpoint:
    """What answers a path.

    Attributes:
        name: of the route, in figures and the log.
        methods: that it takes.
    """

    name: str
    answer: Answer
    methods: tuple[str, ...] = ("GET", "HEAD")


class AnswerRoutes:
    """An ASGI application in front of another one.

    Args:
        others: gets what no endpoint answers.
        paths: endpoints of whole paths.
        of_pipelines: endpoints of `/v1/predictions/PIPELINE`, and of the same with `:NAME` behind
            it; the former has the empty name.
    """

    def __init__(
        self,
        others: Application,
        paths: Mapping[str, Endpoint],
        of_pipelines: Mapping[str, Endpoint],
    ) -> None:
        self._others, self._paths, self._of_pipelines = others, paths, of_pipelines

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self._found(scope["path"]) if scope["type"] == "http" else None
        if found is None:
            await self._others(scope, receive, send)
            return
        endpoint, scope["path_params"] = found
        call: HttpCall = scope[CALL]
        call.route = endpoint.name
        request = Request(scope, receive)
        try:
            if scope["method"] not in endpoint.methods:
                problem = wrong_method(request, ", ".join(endpoint.methods))
                if endpoint is self._of_pipelines[""]:
                    problem.detail += f"; behind a pipeline's name: {self.actions}"
                raise problem
            response = await endpoint.answer(request, call)
        except HttpProblem as problem:
            response = problem_response(problem, call)
        except ClientDisconnect:
            call.gone = True
            response = Response(status_code=400)
        await response(scope, receive, send)

    @property
    def actions(self) -> str:
        """What may stand behind a pipeline's name, with its methods."""
        named = sorted((name, one) for name, one in self._of_pipelines.items() if name)
        return ", ".join(f":{name} ({', '.join(one.methods)})" for name, one in named)

    def _found(self, path: str) -> tuple[Endpoint, dict[str, Any]] | None:
        if not path.startswith(_ONE):
            endpoint = self._paths.get(path)
            return None if endpoint is None else (endpoint, {})
        named = path[len(_ONE) :]
        if not named or "/" in named:
            return None
        name, colon, action = named.rpartition(":")
        if colon and name and action in self._of_pipelines:
            return self._of_pipelines[action], {"pipeline": name}
        return self._of_pipelines[""], {"pipeline": named}


def wrong_method(request: Request, allow: str) -> HttpProblem:
    """405, with the methods that there are."""
    path = shortened(request.url.path)
    detail = f"{request.method} {path}: no such method; allowed: {allow}"
    return HttpProblem(405, "wrong-method", detail, headers={"Allow": allow})


def problem_response(problem: HttpProblem, call: HttpCall) -> Response:
    """A problem as the response, without values of sensitive columns."""
    if call.mask is not None:
        call.mask.mask(problem)
    return Response(problem.document(call.request_id), problem.status, problem.headers, MEDIA_TYPE)
