"""The application of one worker: its endpoints, and what lives as long as it does.

Endpoints are plain, a request in and a response out; FastAPI has the pages and the documents about
them.
"""

from __future__ import annotations

import asyncio
import functools
import json
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from batchinfer.config.suggestions import did_you_mean
from batchinfer.lookups.stores.store_catalogue import StoredTable, open_store
from batchinfer.service.access_log import AccessLog
from batchinfer.service.answer_routes import (
    PREDICTIONS,
    AnswerRoutes,
    Endpoint,
    problem_response,
    wrong_method,
)
from batchinfer.service.asked_predictor import MakePredictor
from batchinfer.service.caller_keys import CallerCheck, not_yours
from batchinfer.service.followed_store import FollowedStore
from batchinfer.service.held_generation import HeldGeneration
from batchinfer.service.masked_problems import mask_of
from batchinfer.service.openapi_document import describe
from batchinfer.service.pipeline_answers import ABSENT, AnswerBody, PipelineAnswers
from batchinfer.service.predictions_now import PredictionsNow
from batchinfer.service.problem_documents import (
    HttpProblem,
    failure,
    shortened,
    wrong_entry,
)
from batchinfer.service.question_bodies import read_predicted, read_questions
from batchinfer.service.request_guard import CALL, Application, HttpCall, RequestGuard
from batchinfer.service.served_values import ServedPipeline, ServiceSettings
from batchinfer.service.service_metrics import ServiceMetrics, all_figures
from batchinfer.service.table_reads import TableReads
from batchinfer.version import __version__

_STATES_EVERY_S = 1.0
# Stores are looked at before the first request is taken, but none keeps the service from beginning.
_FIRST_LOOK_S = 30.0


class ServiceApplication:
    """The application, and the stores that it follows."""

    def __init__(self, settings: ServiceSettings, make_predictor: MakePredictor) -> None:
        self._settings = settings
        self._predictors = {served.name: make_predictor(served) for served in settings.pipelines}
        self._masks = {served.name: mask_of(served) for served in settings.pipelines}
        self._metrics = ServiceMetrics()
        self._predictions = PredictionsNow(settings.bounds, self._metrics)
        self._tables = TableReads()
        self._answers = {
            served.name: PipelineAnswers(
                served,
                self._followed(served),
                self._followed_fallbacks(served),
                self._tables,
                settings.bounds.seconds,
            )
            for served in settings.pipelines
        }
        self._log = AccessLog() if settings.log_requests else None
        self._callers = CallerCheck(settings.callers)

    def asgi(self) -> Application:
        """What uvicorn runs."""
        # FastAPI's own page of /docs loads its script from a public server.
        app = FastAPIOffline(
            title="batchinfer",
            version=__version__,
            lifespan=self._live,
            redoc_url=None,
            swagger_ui_parameters={"validatorUrl": None},
            redirect_slashes=False,
            exception_handlers={HTTPException: _no_route, Exception: _failed},
        )
        app.openapi = functools.cache(lambda: describe(self._settings))
        paths = {
            "/healthz": Endpoint("healthz", self._health),
            "/readyz": Endpoint("readyz", self._ready),
            "/metrics": Endpoint("metrics", self._figures),
        }
        of_pipelines = {
            "": Endpoint("one", self._one),
            "batch": Endpoint("batch", self._batch, ("POST",)),
            "predict": Endpoint("predict", self._predict, ("POST",)),
        }
        return RequestGuard(
            AnswerRoutes(app, paths, of_pipelines),
            self._settings.bounds,
            self._callers,
            self._metrics,
            self._log,
            self._settings.log_keys,
        )

    async def _one(self, request: Request, call: HttpCall) -> Response:
        answers = self._of(request, call)
        key = _parameters(request)
        as_of = key.pop("as_of", None) if "as_of" not in answers.served.key else None
        call.keys = [key]
        try:
            return self._respond(await answers.one(key, as_of), call)
        except HttpProblem as problem:
            if problem.kind == ABSENT:
                self._metrics.count_keys(call.pipeline, 0, 1)
            raise

    async def _batch(self, request: Request, call: HttpCall) -> Response:
        answers = self._of(request, call)
        _check_no_parameters(request, "keys")
        keys, as_of = await read_questions(request, self._settings.bounds)
        call.keys = keys
        return self._respond(await answers.many(keys, as_of), call)

    async def _predict(self, request: Request, call: HttpCall) -> Response:
        answers = self._of(request, call)
        _check_no_parameters(request, "keys and rows")
        form, asked = await read_predicted(request, self._settings.bounds)
        if form == "keys":
            call.keys = asked
        predictor = self._predictors[call.pipeline]
        told = await self._predictions.answer(answers.served, predictor, form, asked)
        self._metrics.count_predicted(call.pipeline, told.results)
        return _json({"results": told.results, "model_version": told.model_version})

    def _respond(self, answer: AnswerBody, call: HttpCall) -> Response:
        self._metrics.count_keys(call.pipeline, answer.hits, answer.misses, answer.fallbacks)
        return Response(answer.body, media_type="application/json")

    async def _health(self, request: Request, call: HttpCall) -> Response:
        return _json({"status": "ok"})

    async def _ready(self, request: Request, call: HttpCall) -> Response:
        states = {name: answers.state() for name, answers in self._answers.items()}
        told = {state["state"] for state in states.values()}
        out = bool(told & {"starting", "unavailable"})
        status = "unavailable" if out else ("degraded" if "degraded" in told else "ready")
        body: dict[str, Any] = {"status": status}
        if call.caller is not None or not self._callers.asks:
            body["pipelines"] = {
                name: state
                for name, state in states.items()
                if call.caller is None or call.caller.may_read(name)
            }
        return _json(body, 503 if out else 200)

    async def _figures(self, request: Request, call: HttpCall) -> Response:
        text = await asyncio.get_running_loop().run_in_executor(None, all_figures)
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    def _of(self, request: Request, call: HttpCall) -> PipelineAnswers:
        """The pipeline that the path names, if the caller may read it."""
        name: str = request.path_params["pipeline"]
        found = self._answers.get(name)
        caller = call.caller
        if found is None:
            allowed = [one for one in self._answers if caller is None or caller.may_read(one)]
            told = ", ".join(sorted(allowed))
            raise HttpProblem(
                404,
                "unknown-pipeline",
                f"no pipeline {shortened(repr(name))} is served{did_you_mean(name, allowed)}; "
                f"allowed: {told}, and behind a name :batch, :predict",
                [wrong_entry("pipeline", name, told)],
            )
        call.pipeline, call.mask = name, self._masks[name]
        if caller is not None and not caller.may_read(name):
            raise not_yours(name)
        return found

    def _followed(self, served: ServedPipeline) -> FollowedStore:
        store = open_store(served.target, StoredTable(served.name, Path(served.home)))
        return FollowedStore(served, store, functools.partial(self._took_up, served.name))

    def _followed_fallbacks(self, served: ServedPipeline) -> FollowedStore | None:
        if served.fallback is None:
            return None
        name = f"{served.name}.fallbacks"
        store = open_store(served.target, StoredTable(name, Path(served.home)))
        own = replace(served, name=name, table=served.fallback_table, fallback=None)
        return FollowedStore(own, store, lambda _: None)

    def _took_up(self, name: str, held: HeldGeneration) -> None:
        self._metrics.count_switch(name)

    @asynccontextmanager
    async def _live(self, _: FastAPI) -> AsyncGenerator[None]:
        stores = [store for answers in self._answers.values() for store in answers.stores]
        looks = [asyncio.ensure_future(store.look()) for store in stores]
        await asyncio.wait(looks, timeout=_FIRST_LOOK_S)
        tasks = [
            asyncio.ensure_future(_follow(store, look))
            for store, look in zip(stores, looks, strict=True)
        ]
        tasks.append(asyncio.ensure_future(self._tell_states()))
        if self._settings.warm:
            await self._predictions.warm(self._predictors)
        yield
        for task in tasks:
            task.cancel()
        for store in stores:
            await store.close()
        self._tables.close()
        self._predictions.close()
        if self._log is not None:
            self._log.close()

    async def _tell_states(self) -> None:
        while True:
            for name, answers in self._answers.items():
                held = answers.store.current
                ready = answers.store.state()["state"] in ("store", "table", "nothing")
                self._metrics.tell_state(name, ready, held and time.time() - held.loaded_s)
            await asyncio.sleep(_STATES_EVERY_S)


async def _follow(store: FollowedStore, look: asyncio.Future[None]) -> None:
    await asyncio.wait([look])
    await store.follow()


async def _no_route(request: Request, error: Exception) -> Response:
    """Paths that are none, and methods that a path does not have."""
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code == 405:
        # Files of /docs name none.
        problem = wrong_method(request, headers.get("Allow", headers.get("allow", "GET, HEAD")))
    else:
        path = shortened(request.url.path)
        detail = f"{path}: no such path; allowed: {PREDICTIONS}/PIPELINE, and those of /docs"
        problem = HttpProblem(error.status_code, "no-such-path", detail, headers=headers)
    return problem_response(problem, request.scope[CALL])


async def _failed(request: Request, error: Exception) -> Response:
    """An error that nobody foresaw; whoever is around the application logs it."""
    return problem_response(failure(), request.scope[CALL])


def _parameters(request: Request) -> dict[str, str]:
    """The parameters of the query, each once.

    Raises:
        HttpProblem: 400: text that is no UTF-8, or a parameter that comes twice.
    """
    query: bytes = request.scope["query_string"]
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict")
    except (UnicodeDecodeError, ValueError):
        raise HttpProblem(
            400, "wrong-parameters", "the query is no text in UTF-8, percent-encoded"
        ) from None
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _unknown(twice, "each parameter once")
    return found


def _check_no_parameters(request: Request, in_body: str) -> None:
    if request.scope["query_string"]:
        name = next(iter(_parameters(request)), "")
        raise _unknown(name, f"none: {in_body} stand in the body")


def _unknown(name: str, allowed: str) -> HttpProblem:
    return HttpProblem(
        400,
        "wrong-parameters",
        f"parameter {shortened(name)}; allowed: {allowed}",
        [wrong_entry("parameter", name, allowed)],
    )


def _json(body: Mapping[str, Any], status: int = 200) -> Response:
    return Response(json.dumps(body), status, media_type="application/json")
