"""Rows that are scored while their caller waits: one question at a time in a thread of the worker,
few that wait, and none longer than a request may take.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from batchinfer.errors import BatchInferError, InputMissing, ModelError
from batchinfer.report.terminal import show_line
from batchinfer.service.asked_predictor import Predicted, RowPredictor, WrongQuestion
from batchinfer.service.problem_documents import HttpProblem, unavailable
from batchinfer.service.question_keys import check_names
from batchinfer.service.served_values import ServedPipeline

# Questions that wait while one is answered; those beyond would mostly wait in vain.
_WAITING = 8
# Models take seconds to be loaded, and longer than a request may take.
_LOADED_AFTER_S = 5


class PredictionsNow:
    """What one worker scores, whichever pipeline it is of."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._pool = ThreadPoolExecutor(1, "predict")
        self._places = threading.BoundedSemaphore(1 + _WAITING)
        self._loaded: set[str] = set()

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
            check_names(asked, served.key)
        ask = predictor.of_keys if form == "keys" else predictor.of_rows
        if not self._places.acquire(blocking=False):
            raise unavailable("too-busy", "as many predictions as may be are being made or wait")
        future = self._pool.submit(ask, asked)
        future.add_done_callback(lambda _: self._places.release())
        try:
            told = await asyncio.wait_for(asyncio.wrap_future(future), self._seconds)
        except asyncio.TimeoutError:
            raise self._too_slow(served) from None
        except WrongQuestion as wrong:
            raise HttpProblem(422, wrong.kind, wrong.detail, wrong.errors) from None
        except BatchInferError as error:
            raise _cannot(served, error) from None
        self._loaded.add(served.name)
        return told

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
