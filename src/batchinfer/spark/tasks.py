"""Runs small JSON tasks on executors, in order, with progress and with errors that keep their
class.

Owns how work travels: a task is a JSON object, a result is one, and the rows themselves never pass
through here.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

from batchinfer import errors
from batchinfer.spark.progress import Beats

if TYPE_CHECKING:
    from pyspark.resource import ResourceProfile
    from pyspark.sql import DataFrame, SparkSession

Task = dict[str, Any]
Work = Callable[[Task], Iterator[dict[str, Any]]]
Undo = Callable[[list[dict[str, Any]]], None]
_POLL_S = 0.2


def run_tasks(
    spark: SparkSession,
    work: Work,
    tasks: Sequence[Task],
    description: str,
    undo: Undo | None = None,
    beats: Beats | None = None,
    profile: ResourceProfile | None = None,
) -> list[list[dict[str, Any]]]:
    """Runs `work(task)` for every task, each in a Spark task of its own; returns the results in the
    order of the tasks.

    A task that is tried again starts from nothing; only the results of the attempt that succeeded
    count.

    Args:
        undo: is given the results of the tasks that succeeded where others failed.
        beats: where the tasks tell of their rows; without it the bar counts tasks.
        profile: what each task takes of an executor; None: what all tasks take.

    Runs on: driver; `work` on executors.

    Raises:
        BatchInferError: of the class and with the words that `work` raised it with.
    """
    if not tasks:
        return []
    context = spark.sparkContext
    numbered = [(number, json.dumps(task)) for number, task in enumerate(tasks)]
    given = context.parallelize(numbered, len(numbered))
    lines = (given if profile is None else given.withResources(profile)).flatMap(Guarded(work))
    with show_progress(spark, description, len(tasks), beats):
        found = lines.collect()
    return in_order(found, len(tasks), undo)


class Guarded:
    """Picklable wrapper: results and errors as JSON, so that no class has to cross from executor to
    driver.
    """

    def __init__(self, work: Work) -> None:
        self.work = work

    def __call__(self, numbered: tuple[int, str]) -> Iterable[tuple[int, str]]:
        number, text = numbered
        try:
            results = list(self.work(json.loads(text)))
        except errors.BatchInferError as error:
            results = [as_result(error)]
        return [(number, json.dumps(result)) for result in results]


def guarded(work: Callable[[], dict[str, Any]]) -> str:
    """The result of one task as JSON, or its error, so that it crosses to the driver with its
    class.

    Runs on: executor.
    """
    try:
        return json.dumps(work())
    except errors.BatchInferError as error:
        return json.dumps(as_result(error))


def run_batches(
    frame: DataFrame,
    work: Callable[..., Any],
    description: str,
    tasks: int,
    beats: Beats | None = None,
    through: Literal["mapInArrow", "mapInPandas"] = "mapInArrow",
    profile: ResourceProfile | None = None,
) -> list[dict[str, Any]]:
    """Hands a frame's rows to `work` in batches; it gives one row of JSON a task, as `guarded`
    writes it.

    Runs on: driver; `work` on executors.

    Raises:
        BatchInferError: of the class and with the words that `work` raised it with.
    """
    with show_progress(frame.sparkSession, description, tasks, beats):
        rows = getattr(frame, through)(work, "result string", profile=profile).collect()
    results = [json.loads(row["result"]) for row in rows]
    raise_errors(results)
    return results


def as_result(error: errors.BatchInferError) -> dict[str, Any]:
    """A result that says that a task failed for good, and how; a room's own subclass travels as the
    class it refines.
    """
    name = next(
        class_.__name__
        for class_ in type(error).__mro__
        if vars(errors).get(class_.__name__) is class_
    )
    return {"error": {"class": name, "problems": list(error.problems), "hint": error.hint}}


def raise_errors(results: Iterable[dict[str, Any]]) -> None:
    """Raises the first error among results, with the class it was raised with on the executor and
    what others of it say.
    """
    failed = [result["error"] for result in results if "error" in result]
    if failed:
        first = failed[0]
        problems = [
            problem
            for each in failed
            if each["class"] == first["class"]
            for problem in each["problems"]
        ]
        raise getattr(errors, first["class"])(
            errors.listed_some(list(dict.fromkeys(problems))), first["hint"]
        )


def in_order(
    found: Iterable[tuple[int, str]], tasks: int, undo: Undo | None = None
) -> list[list[dict[str, Any]]]:
    """Numbered results as JSON, put in the order of their tasks; see `run_tasks`."""
    results: list[list[dict[str, Any]]] = [[] for _ in range(tasks)]
    for number, text in found:
        results[number].append(json.loads(text))
    told = [result for of_task in results for result in of_task]
    if undo is not None and any("error" in result for result in told):
        undo([result for result in told if "error" not in result])
    raise_errors(told)
    return results


class show_progress:  # noqa: N801 - reads as the verb it is
    """Shows a bar of Spark tasks while a job runs; asks Spark's status tracker from a thread of its
    own.
    """

    def __init__(
        self, spark: SparkSession, description: str, total: int, beats: Beats | None
    ) -> None:
        self.context, self.description, self.total = spark.sparkContext, description, total
        self.beats = beats if beats is not None and beats.folder else None
        self.done = threading.Event()

    def __enter__(self) -> None:
        self.context.setJobGroup(self.description, self.description, interruptOnCancel=True)
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.thread.join(timeout=5)

    def _watch(self) -> None:
        from py4j.protocol import Py4JError

        try:
            self._show_tasks() if self.beats is None else self._show_rows(self.beats)
        except (Py4JError, OSError):
            # The JVM is gone. Whoever waits for the tasks learns of it, and tells it better than a
            # progress bar.
            return

    def _show_rows(self, beats: Beats) -> None:
        from batchinfer.report.terminal import progress

        with progress(self.description, beats.total, "rows") as advance:
            shown, ended = 0, False
            while not ended:
                ended = self.done.wait(_POLL_S)
                counts = beats.count()
                advance(
                    counts.rows - shown, f"{counts.failed:,} quarantined" if counts.failed else ""
                )
                shown = counts.rows

    def _show_tasks(self) -> None:
        from batchinfer.report.terminal import progress

        tracker = self.context.statusTracker()
        before = set(tracker.getJobIdsForGroup(self.description))
        with progress(self.description, self.total) as advance:
            shown = 0
            while not self.done.wait(_POLL_S):
                completed = sum(
                    _completed(tracker, job)
                    for job in set(tracker.getJobIdsForGroup(self.description)) - before
                )
                advance(completed - shown)
                shown = completed
            advance(self.total - shown)


def _completed(tracker: Any, job: int) -> int:
    info = tracker.getJobInfo(job)
    stages = [tracker.getStageInfo(stage) for stage in info.stageIds] if info else []
    return sum(stage.numCompletedTasks for stage in stages if stage)
