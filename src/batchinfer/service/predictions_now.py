"""Rows that are scored while their caller waits: one question at a time in a thread of the worker,
few that wait, and none longer than a request may take.

Owns how many models a worker keeps: the one that was asked longest ago goes.
"""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from batchinfer.errors import BatchInferError, InputMissing, ModelError
from batchinfer.report.terminal import show_line
from batchinfer.service.asked_predictor import Predicted, RowPredictor, WrongQuestion
from batchinfer.service.problem_documents import HttpProblem, unavailable
from batchinfer.service.question_keys import check_names
from batchinfer.service.served_values import Bounds, ServedPipeline
from batchinfer.service.service_metrics import ServiceMetrics

Answer = TypeVar("Answer")
# Questions that wait while one is answered; those beyond would mostly wait in vain.
_WAITING = 8
# Models take seconds to be loaded, and longer than a request may take.
_LOADED_AFTER_S = 5


class PredictionsNow:
    """What one worker scores, whichever pipeline it is of."""

    def __init__(self, bounds: Bounds, metrics: ServiceMetrics) -> None:
        self._seconds, self._most_models = bounds.seconds, bounds.models
        self._metrics = metrics
        self._pool = ThreadPoolExecutor(1, "predict")
        self._places = threading.BoundedSemaphore(1 + _WAITING)
        # Those that have a model, the one that was asked last at the end; the pool's one thread
        # changes it, so no model goes while it is in use.
        self._loaded: OrderedDict[str, RowPredictor] = OrderedDict()

    async def warm(self, predictors: Mapping[str, RowPredictor]) -> None:
        """Loads models, in the order of the pipelines, until as many are there as may be kept; the
        log says which cannot be loaded, and which are not.
        """
        loop, left = asyncio.get_running_loop(), list(predictors)
        while left and len(self._loaded) < self._most_models:
            name = left.pop(0)
            predictor = predictors[name]
            try:
                await loop.run_in_executor(self._pool, self._asked, name, predictor, predictor.load)
            except BatchInferError as error:
                show_line(f"batchinfer: pipeline {name}: its model is not loaded: {error}")
        if left:
            show_line(
                f"batchinfer: {', '.join(left)}: their models are loaded when they are asked, as "
                f"--most-models is {self._most_models}"
            )

    async def answer(
        self,
        served: ServedPipeline,
        predictor: RowPredictor,
        form: str,
        asked: Sequence[Mapping[str, Any]],
    ) -> Predicted:
        """Predictions of one question.

        Args:
            form: keys or rows.
            asked: they.

        Raises:
            HttpProblem: 400, 404, 422, 424, 503, 504: a question that cannot be answered, or cannot
                be answered now.
        """
        if form == "keys":
            if served.keys_refused:
                raise HttpProblem(422, "no-features", f"{served.keys_refused}; allowed: rows")
            check_names(asked, served.key, None, listed=True)
        ask = predictor.of_keys if form == "keys" else predictor.of_rows
        if not self._places.acquire(blocking=False):
            raise unavailable("too-busy", "as many predictions as may be are being made or wait")
        future = self._pool.submit(self._asked, served.name, predictor, lambda: ask(asked))
        future.add_done_callback(lambda _: self._places.release())
        try:
            told = await asyncio.wait_for(asyncio.wrap_future(future), self._seconds)
        except asyncio.TimeoutError:
            raise self._too_slow(served) from None
        except WrongQuestion as wrong:
            raise HttpProblem(422, wrong.kind, wrong.detail, wrong.errors) from None
        except BatchInferError as error:
            raise _cannot(served, error) from None
        return told

    def _asked(self, name: str, predictor: RowPredictor, ask: Callable[[], Answer]) -> Answer:
        """What a predictor answers; whatever that is, its model counts among those in memory."""
        was_loaded = predictor.is_loaded
        try:
            return ask()
        finally:
            if predictor.is_loaded:
                if not was_loaded:
                    self._metrics.count_model(name)
                self._loaded[name] = predictor
                self._loaded.move_to_end(name)
            while len(self._loaded) > self._most_models:
                other, longest_unasked = self._loaded.popitem(last=False)
                longest_unasked.release()
                self._metrics.tell_model(other, held=False)

    def close(self) -> None:
        """Ends what waits."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _too_slow(self, served: ServedPipeline) -> HttpProblem:
        if served.name not in self._loaded:
            return unavailable(
                "model-loading",
                f"the model of pipeline {served.name} is being loaded",
                _LOADED_AFTER_S,
            )
        return HttpProblem(
            504,
            "too-slow",
            f"predictions of pipeline {served.name} took longer than {self._seconds:g} s",
        )


def _cannot(served: ServedPipeline, error: BatchInferError) -> HttpProblem:
    """What keeps a pipeline from answering; the log has the places that no caller is told."""
    show_line(f"batchinfer: pipeline {served.name}: {error}")
    if isinstance(error, InputMissing):
        return HttpProblem(
            404,
            "nothing-landed",
            f"no rows of pipeline {served.name} have landed; allowed: rows",
            fields={
                "hint": f"{served.extract_command} lands them",
                "next": [served.extract_command],
            },
        )
    if isinstance(error, ModelError):
        # No 503: waiting does not help, and a proxy would take a worker whose lookups are fine for
        # broken.
        return HttpProblem(
            424,
            "no-model",
            f"pipeline {served.name} has no model that can be asked; the service's log says why",
            fields={
                "hint": f"{served.models_command} tells the versions that there are",
                "next": [served.models_command],
            },
        )
    return unavailable(
        "predictions-unavailable", f"pipeline {served.name} cannot make predictions now"
    )
