"""The figures of a pipeline's last runs: their names, what they mean, and how they are read off a
run. Writes and sends nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from batchinfer.observability.run_facts import RunBegan, RunEnded


@dataclass(frozen=True)
class Metric:
    """A gauge.

    Attributes:
        name: of Prometheus; its last word is the unit.
        help: one sentence.
        unit: by the code that OpenTelemetry uses: s for seconds, 1 for numbers without one.
    """

    name: str
    help: str
    unit: str


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        labels: names and values, in the order in which they are written.
    """

    metric: Metric
    labels: tuple[tuple[str, str], ...]
    value: float

    @property
    def command(self) -> str | None:
        """The command that it is of; None: it is of the whole pipeline."""
        return dict(self.labels).get("command")


LAST_SUCCESS = Metric(
    "batchinfer_last_success_timestamp_seconds",
    "When the last run that ended with exit code 0 ended, in seconds since 1970.",
    "s",
)
LAST_RUN = Metric(
    "batchinfer_last_run_timestamp_seconds",
    "When the last run ended, however it ended, in seconds since 1970.",
    "s",
)
DURATION = Metric("batchinfer_last_run_duration_seconds", "How long the last run took.", "s")
EXIT_CODE = Metric("batchinfer_last_run_exit_code", "The exit code of the last run.", "1")
STATUS = Metric("batchinfer_last_run_status", "1, with the status of the last run as a label.", "1")
ROWS = Metric("batchinfer_last_run_rows", "Rows of the last run, by what became of them.", "1")
STAGE = Metric(
    "batchinfer_last_run_stage_seconds",
    "Seconds that the stages of the last run took, added up over its workers.",
    "s",
)
NEWEST = Metric(
    "batchinfer_newest_slice_timestamp_seconds",
    "When the newest published slice begins, in seconds since 1970.",
    "s",
)
METRICS = (LAST_SUCCESS, LAST_RUN, DURATION, EXIT_CODE, STATUS, ROWS, STAGE, NEWEST)
_ROWS = (
    ("in", "rows_in"),
    ("landed", "rows_landed"),
    ("scored", "rows_scored"),
    ("reused", "rows_reused"),
    ("quarantined", "rows_quarantined"),
    ("removed", "rows_removed"),
    ("train", "rows_train"),
    ("validation", "rows_validation"),
)


def run_figures(began: RunBegan, ended: RunEnded) -> list[Figure]:
    """The figures of a run; one that failed has no last success."""
    return list(_figures(began, ended))


def _figures(began: RunBegan, ended: RunEnded) -> Iterator[Figure]:
    pipeline = ("pipeline", began.pipeline)
    own = (pipeline, ("command", began.command))
    if ended.exit_code == 0:
        yield Figure(LAST_SUCCESS, own, ended.ended.timestamp())
    yield Figure(LAST_RUN, own, ended.ended.timestamp())
    yield Figure(DURATION, own, ended.seconds)
    yield Figure(EXIT_CODE, own, ended.exit_code)
    yield Figure(STATUS, (*own, ("status", ended.status)), 1)
    for kind, name in _ROWS:
        rows = ended.facts.get(name)
        if isinstance(rows, int):
            yield Figure(ROWS, (*own, ("kind", kind)), rows)
    stages = ended.facts.get("stage_seconds")
    for stage, seconds in sorted(stages.items()) if isinstance(stages, dict) else ():
        yield Figure(STAGE, (*own, ("stage", str(stage))), seconds)
    if ended.newest is not None:
        yield Figure(NEWEST, (pipeline,), ended.newest.timestamp())
