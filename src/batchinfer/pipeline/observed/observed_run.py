"""A run that tells collectors of itself: when its work begins, and when it has ended.

Owns that nothing of this fails a run or makes it wait for long, and that whatever did not arrive is
said. Who is told stands in the environment (`observability`); where that is empty, nothing is
loaded and nothing happens.
"""

from __future__ import annotations

import datetime as dt
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from batchinfer.credentials import told_without_secrets, without_credentials
from batchinfer.errors import BatchInferError, Interrupted
from batchinfer.observability.collector_post import LIMIT_S, STOPPED_LIMIT_S, Collector, Courier
from batchinfer.observability.collectors import (
    OPENLINEAGE,
    OTLP,
    PROMETHEUS,
    Collectors,
    find_collectors,
)
from batchinfer.observability.run_facts import NominalTime, RunBegan, RunEnded
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.definition.slice_names import names_slice, next_moment, unit_of
from batchinfer.report.terminal import show_line
from batchinfer.schedule import UNIT_FORMATS

_FIGURES = "the figures"
_JSON = "application/json"
# Commands that may have changed what is published.
_PUBLISH = ("score", "replay", "backfill", "nightly")


def observe(context: Context, command: str, slice_: str | None = None) -> ObservedRun | None:
    """Tells the environment's collectors that the work of a run begins; None where there are none.

    Runs on: driver, before the work.

    Raises:
        ConfigError: a variable that a collector needs is not set, or holds something else.
        SetupError: a package that a collector needs is not installed.
    """
    settings = context.environment.observability
    found = find_collectors(settings, context.loaded.environment_name, os.environ)
    return None if found.are_none else ObservedRun(context, command, slice_, found)


class ObservedRun:
    """A run whose collectors have been told that it begins."""

    def __init__(
        self, context: Context, command: str, slice_: str | None, collectors: Collectors
    ) -> None:
        self._context, self._to = context, collectors
        self._began = RunBegan(
            context.run_id,
            context.name,
            command,
            without_credentials(context.pipeline.description or ""),
            slice_,
            span_of(context, slice_),
            dt.datetime.now(dt.timezone.utc),
            context.parent,
        )
        self._couriers = {
            name: Courier(name)
            for name, is_told in (
                (PROMETHEUS, collectors.folder is not None),
                (OTLP, collectors.otlp is not None),
                (OPENLINEAGE, collectors.openlineage is not None),
            )
            if is_told
        }
        self._notes: list[str] = []
        if collectors.openlineage is not None:
            self._make(OPENLINEAGE, lambda: self._send_event("START", None))

    def finish(
        self,
        status: str,
        exit_code: int,
        seconds: float,
        facts: Mapping[str, Any],
        errors: Sequence[str] = (),
    ) -> list[str]:
        """Tells the collectors how the run has ended, and waits a few seconds at most; returns what
        did not arrive, which is said on stderr as well.

        Args:
            facts: fields of the run's JSON line.

        Runs on: driver, in the main thread or in that of a slice.

        Raises:
            Interrupted: a signal came meanwhile.
        """
        try:
            return self._finish(status, exit_code, seconds, facts, errors)
        except Interrupted as error:
            named = {"run_id": self._began.run_id, "pipeline": self._began.pipeline}
            error.facts |= named | ({"slice": self._began.slice} if self._began.slice else {})
            raise

    def finish_failed(self, error: BaseException, seconds: float) -> None:
        """The same of a run that ended with an error: what did not arrive is added to the error's
        facts, for the JSON line.
        """
        facts: dict[str, Any] = error.__dict__.setdefault("facts", {})
        known = isinstance(error, BatchInferError | Interrupted)
        problems = error.problems if known else (f"{type(error).__name__}: {error}",)
        status = "interrupted" if isinstance(error, Interrupted) else "failed"
        notes = self.finish(status, error.exit_code if known else 1, seconds, facts, problems)
        if notes:
            facts["warnings"] = [*facts.get("warnings", ()), *notes]

    def _finish(
        self,
        status: str,
        exit_code: int,
        seconds: float,
        facts: Mapping[str, Any],
        errors: Sequence[str],
    ) -> list[str]:
        limit = STOPPED_LIMIT_S if status == "interrupted" else LIMIT_S
        until = time.monotonic() + limit
        ended = RunEnded(
            status,
            exit_code,
            seconds,
            dt.datetime.now(dt.timezone.utc),
            told_without_secrets(dict(facts)),
            tuple(told_without_secrets([without_credentials(each) for each in errors])),
            self._newest(exit_code),
        )
        if self._to.folder is not None:
            self._make(PROMETHEUS, lambda: self._write_figures(ended, limit))
        if self._to.otlp is not None:
            self._make(OTLP, lambda: self._send_figures(ended, limit))
        if self._to.openlineage is not None:
            self._make(OPENLINEAGE, lambda: self._send_event("the event of its end", ended))
        for courier in self._couriers.values():
            self._notes += courier.wait(until)
        for note in self._notes:
            show_line(f"batchinfer: warning: {note}")
        return self._notes

    def _make(self, name: str, work: Callable[[], object]) -> None:
        """Does what comes before the sending; whatever fails there is said, and no more."""
        try:
            work()
        except Exception as error:  # noqa: BLE001 - whatever it is, the run goes on
            text = without_credentials(f"{type(error).__name__}: {error}")
            self._notes.append(f"{name}: nothing could be told of the run: {text}")

    def _write_figures(self, ended: RunEnded, limit_s: float) -> None:
        from batchinfer.observability.prometheus_text import MetricsFile
        from batchinfer.observability.run_metrics import run_figures

        assert self._to.folder is not None, "asked before"
        lake = without_credentials(self._context.environment.lake)
        file = MetricsFile(self._to.folder, self._began.pipeline, lake)
        figures = run_figures(self._began, ended)
        self._couriers[PROMETHEUS].take(
            _FIGURES, lambda: file.update(self._began.command, figures, limit_s)
        )

    def _send_figures(self, ended: RunEnded, limit_s: float) -> None:
        from batchinfer.observability.otlp_metrics import otlp_request, send_metrics
        from batchinfer.observability.run_metrics import run_figures

        collector = self._to.otlp
        assert collector is not None, "asked before"
        request = otlp_request(run_figures(self._began, ended), ended.ended.timestamp())
        self._couriers[OTLP].take(_FIGURES, lambda: send_metrics(collector, request, limit_s))

    def _send_event(self, what: str, ended: RunEnded | None) -> None:
        from batchinfer.observability.lineage_events import end_event, start_event
        from batchinfer.pipeline.observed.run_datasets import RunDatasets

        began = self._began
        datasets = RunDatasets(self._context, began.command, began.slice)
        if ended is not None:
            is_done = ended.exit_code == 0
            facts = ended.facts
            datasets = RunDatasets(self._context, began.command, began.slice, facts, is_done)
        both = datasets.inputs(), datasets.outputs()
        body = (
            start_event(began, self._to.namespace, *both)
            if ended is None
            else end_event(began, ended, self._to.namespace, *both)
        )
        collector = self._to.openlineage
        assert isinstance(collector, Collector), "asked before"
        self._couriers[OPENLINEAGE].take(what, lambda: collector.post(body, _JSON))

    def _newest(self, exit_code: int) -> dt.datetime | None:
        """When the newest published slice begins, of runs that may have changed that."""
        if exit_code or self._began.command not in _PUBLISH:
            return None
        if self._to.folder is None and self._to.otlp is None:
            return None
        found: list[NominalTime | None] = []

        def look() -> None:
            found.append(newest_span(self._context))

        self._make(PROMETHEUS if self._to.folder else OTLP, look)
        return found[0].start if found and found[0] else None


def span_of(context: Context, slice_: str | None) -> NominalTime | None:
    """The hour, day or month that a slice is; None of other slices."""
    rule = context.pipeline.source.slice
    unit = unit_of(rule)
    if unit is None or slice_ is None or not names_slice(rule, slice_):
        return None
    moment = dt.datetime.strptime(slice_, UNIT_FORMATS[unit])
    following = next_moment(moment, unit)
    utc = dt.timezone.utc
    return NominalTime(moment.replace(tzinfo=utc), following and following.replace(tzinfo=utc))


def newest_span(context: Context) -> NominalTime | None:
    """The hour, day or month of the newest slice that the pipeline has published.

    Runs on: driver, without Spark.
    """
    from batchinfer.lake.ledger import owners_of, slices_of
    from batchinfer.lake.log import read_transactions
    from batchinfer.lake.snapshots import exists

    if unit_of(context.pipeline.source.slice) is None or not exists(context.predictions):
        return None
    known = read_transactions(context.predictions)
    owners = owners_of(known)
    own = [
        each for each in slices_of(known) if owners.get(each or "", context.name) == context.name
    ]
    spans = [span for name in own if (span := span_of(context, name)) is not None]
    return max(spans, key=lambda span: span.start, default=None)
