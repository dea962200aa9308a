"""Figures of the service for Prometheus, right with several workers: each writes into files of its
own, and whichever is asked adds them up.

Owns the names of the figures. Labels have known values alone: routes, pipelines that are served,
statuses.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# prometheus_client decides when it is imported whether several processes count together.
FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class ServiceMetrics:
    """What one worker counts."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        registry = CollectorRegistry()
        self._requests = Counter(
            "batchinfer_requests",
            "Requests that were answered.",
            ["route", "pipeline", "status"],
            registry=registry,
        )
        self._seconds = Histogram(
            "batchinfer_request_seconds",
            "Seconds from a request to its answer.",
            ["route", "pipeline"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._keys = Counter(
            "batchinfer_keys",
            "Keys that were asked for: hit, miss; fallback of those that a fallback answers for.",
            ["pipeline", "result"],
            registry=registry,
        )
        self._predicted = Counter(
            "batchinfer_predictions_now",
            "Keys and rows that were to be scored now: predicted, absent, failed.",
            ["pipeline", "result"],
            registry=registry,
        )
        self._models = Gauge(
            "batchinfer_models_held",
            "Models that workers keep for predictions now.",
            ["pipeline"],
            multiprocess_mode="livesum",
            registry=registry,
        )
        self._model_loads = Counter(
            "batchinfer_models_loaded",
            "Times that a worker loaded a model which it did not keep.",
            ["pipeline"],
            registry=registry,
        )
        self._rejected = Counter(
            "batchinfer_requests_rejected",
            "Requests that were refused unread, by reason.",
            ["reason"],
            registry=registry,
        )
        self.in_flight = Gauge(
            "batchinfer_requests_in_flight",
            "Requests that are being answered.",
            multiprocess_mode="livesum",
            registry=registry,
        )
        self._age = Gauge(
            "batchinfer_generation_age_seconds",
            "Seconds since the generation that is read was loaded; of several workers the oldest.",
            ["pipeline"],
            multiprocess_mode="livemax",
            registry=registry,
        )
        self._ready = Gauge(
            "batchinfer_pipeline_ready",
            "1 where a pipeline is answered from its newest generation or its table, else 0; of "
            "several workers the least.",
            ["pipeline"],
            multiprocess_mode="livemin",
            registry=registry,
        )
        self._switches = Counter(
            "batchinfer_generations",
            "Generations that workers have taken up.",
            ["pipeline"],
            registry=registry,
        )
        # To find a child by its labels costs more than to count.
        self._by_request: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._by_pipeline: dict[str, tuple[Counter, Counter, Counter]] = {}

    def count_request(self, route: str, pipeline: str, status: int, seconds: float) -> None:
        """One request that was answered."""
        key = (route, pipeline, status)
        found = self._by_request.get(key)
        if found is None:
            found = self._by_request[key] = (
                self._requests.labels(route, pipeline, str(status)),
                self._seconds.labels(route, pipeline),
            )
        found[0].inc()
        found[1].observe(seconds)

    def count_keys(self, pipeline: str, hits: int, misses: int, fallbacks: int = 0) -> None:
        """Keys of one request."""
        found = self._by_pipeline.get(pipeline)
        if found is None:
            found = self._by_pipeline[pipeline] = (
                self._keys.labels(pipeline, "hit"),
                self._keys.labels(pipeline, "miss"),
                self._keys.labels(pipeline, "fallback"),
            )
        if hits:
            found[0].inc(hits)
        if misses:
            found[1].inc(misses)
        if fallbacks:
            found[2].inc(fallbacks)

    def count_predicted(self, pipeline: str, results: Sequence[Mapping[str, Any]]) -> None:
        """Answers of one `:predict`."""
        for one in results:
            result = "failed" if "error" in one else "predicted" if one["found"] else "absent"
            self._predicted.labels(pipeline, result).inc()

    def count_model(self, pipeline: str) -> None:
        """A model that was loaded, and is kept."""
        self._model_loads.labels(pipeline).inc()
        self.tell_model(pipeline, held=True)

    def tell_model(self, pipeline: str, held: bool) -> None:
        """Whether this worker keeps a pipeline's model."""
        self._models.labels(pipeline).set(float(held))

    def count_rejected(self, reason: str) -> None:
        """One request that was refused unread."""
        self._rejected.labels(reason).inc()

    def count_switch(self, pipeline: str) -> None:
        """A generation that was taken up."""
        self._switches.labels(pipeline).inc()

    def tell_state(self, pipeline: str, ready: bool, age_s: float | None) -> None:
        """How a pipeline stands in this worker."""
        self._ready.labels(pipeline).set(float(ready))
        if age_s is not None:
            self._age.labels(pipeline).set(age_s)


def all_figures() -> bytes:
    """The figures of all workers, as Prometheus reads them. Takes milliseconds: in a thread."""
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.multiprocess import MultiProcessCollector

    registry = CollectorRegistry()
    MultiProcessCollector(registry, os.environ[FOLDER_VARIABLE])
    return generate_latest(registry)


def forget_worker(folder: Path, process: int) -> None:
    """Takes away what a worker that has ended says of its present."""
    for file in folder.glob(f"gauge_live*_{process}.db"):
        file.unlink(missing_ok=True)
