"""Runs small JSON tasks on executors, in order, with progress and with errors that keep their
class.

Owns how work travels: a task is a JSON object, a result is one, and the rows themselves never pass
through here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

from batchinfer import errors
from batchinfer.spark.progress import RowProgress, show_progress

if TYPE_CHECKING:
    from pyspark.resource import ResourceProfile
    from pyspark.sql import DataFrame, SparkSession


Task = dict[str, Any]
Work = Callable[[Task], Iterator[dict[str, Any]]]
Undo = Callable[[list[dict[str, Any]]], None]


def run_tasks(
    spark: SparkSession,
    work: Work,
    tasks: Sequence[Task],
    description: str,
    undo: Undo | None = None,
    row_progress: RowProgress | None = None,
    profile: ResourceProfile | None = None,
) -> list[list[dict[str, Any]]]:
    """Runs `work(task)` for every task, each in a Spark task of its own; returns the results in the
    order of the tasks.

    A task that is tried again starts from nothing; only the results of the attempt that succeeded
    count.

    Args:
        undo: is given the results of the tasks that succeeded where others failed.
        row_progress: where the tasks tell of their rows; without it the bar counts tasks.
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
    with show_progress(spark, description, len(tasks), row_progress):
        found = lines.collect()
    return results_in_order(found, len(tasks), undo)


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
    row_progress: RowProgress | None = None,
    through: Literal["mapInArrow", "mapInPandas"] = "mapInArrow",
    profile: ResourceProfile | None = None,
) -> list[dict[str, Any]]:
    """Hands a frame's rows to `work` in batches; it gives one row of JSON a task, as `guarded`
    writes it.

    Runs on: driver; `work` on executors.

    Raises:
        BatchInferError: of the class and with the words that `work` raised it with.
    """
    with show_progress(frame.sparkSession, description, tasks, row_progress):
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


def results_in_order(
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
