"""Runs small tasks on executors or in this process, in order, with progress and with errors that
keep their class.

Owns how work travels: a task is a value and so is a result; both cross as JSON, and the rows
themselves never pass through here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeAlias, TypeVar

from batchinfer import errors
from batchinfer.json_values import as_value, from_json, to_json
from batchinfer.spark.progress import RowProgress, show_progress

if TYPE_CHECKING:
    from pyspark.resource import ResourceProfile
    from pyspark.sql import DataFrame, SparkSession


Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclass(frozen=True)
class ThisProcess:
    """Does the tasks here, one after the other, where there is no session and the work is small."""


THIS_PROCESS = ThisProcess()
# Who does tasks: the executors of a session, or this process.
Workplace: TypeAlias = "SparkSession | ThisProcess"
# Handed on to whatever may have tasks: most never open one.
OpenWorkplace = Callable[[], Workplace]
# The one key of the JSON of an error.
_ERROR = "batchinfer.error"


@dataclass(frozen=True)
class Work(Generic[Task, Result]):
    """What each task does with its value, and of which types that value and the results are.

    Types that `json_values` reads back: no class has to be pickled between executor and driver.
    """

    do: Callable[[Task], Iterable[Result]]
    takes: type[Task]
    gives: type[Result]


@dataclass(frozen=True)
class TaskError:
    """An error that ended a task for good; one of a room's own classes travels as the class of
    `errors` that it refines.
    """

    name: str
    problems: tuple[str, ...]
    hint: str | None = None

    @classmethod
    def of(cls, error: errors.BatchInferError) -> TaskError:
        name = next(
            class_.__name__
            for class_ in type(error).__mro__
            if vars(errors).get(class_.__name__) is class_
        )
        return cls(name, tuple(error.problems), error.hint)


def run_tasks(
    workplace: Workplace,
    work: Work[Task, Result],
    tasks: Sequence[Task],
    description: str,
    undo: Callable[[list[Result]], None] | None = None,
    row_progress: RowProgress | None = None,
    profile: ResourceProfile | None = None,
) -> list[list[Result]]:
    """Does the work for every task; returns the results in the order of the tasks.

    On executors each is a Spark task of its own. One that is tried again starts from nothing; only
    the results of the attempt that succeeded count. In this process nothing is tried again.

    Args:
        workplace: the session whose executors do the work, or this process.
        undo: is given the results of the tasks that succeeded where others failed.
        row_progress: where the tasks tell of their rows; without it the bar counts tasks.
        profile: what each task takes of an executor; None: what all tasks take.

    Runs on: driver; `work` on executors, or here.

    Raises:
        BatchInferError: of the class and with the words that `work` raised it with.
    """
    if not tasks:
        return []
    numbered = [(number, to_json(task)) for number, task in enumerate(tasks)]
    if isinstance(workplace, ThisProcess):
        found = _done_here(work, numbered, description)
        return results_in_order(found, work.gives, len(tasks), undo)
    context = workplace.sparkContext
    given = context.parallelize(numbered, len(numbered))
    lines = (given if profile is None else given.withResources(profile)).flatMap(Guarded(work))
    with show_progress(workplace, description, len(tasks), row_progress):
        found = lines.collect()
    return results_in_order(found, work.gives, len(tasks), undo)


def _done_here(
    work: Work[Task, Result], numbered: Sequence[tuple[int, str]], description: str
) -> list[tuple[int, str]]:
    from batchinfer.report.terminal import progress

    found: list[tuple[int, str]] = []
    with progress(description, len(numbered)) as advance:
        for task in numbered:
            found += Guarded(work)(task)
            advance(1)
    return found


class Guarded(Generic[Task, Result]):
    """Picklable wrapper: results and errors as JSON, so that no class has to cross from executor to
    driver.
    """

    def __init__(self, work: Work[Task, Result]) -> None:
        self.work = work

    def __call__(self, numbered: tuple[int, str]) -> Iterable[tuple[int, str]]:
        number, text = numbered
        try:
            task = from_json(self.work.takes, text)
            results = [to_json(result) for result in self.work.do(task)]
        except errors.BatchInferError as error:
            results = [error_json(error)]
        return [(number, result) for result in results]


def guarded(work: Callable[[], object]) -> str:
    """The result of one task as JSON, or its error, so that it crosses to the driver with its
    class.

    Runs on: executor.
    """
    try:
        return to_json(work())
    except errors.BatchInferError as error:
        return error_json(error)


def error_json(error: errors.BatchInferError) -> str:
    """The JSON that stands in place of a result."""
    return to_json({_ERROR: TaskError.of(error)})


def run_batches(
    frame: DataFrame,
    work: Callable[..., Any],
    gives: type[Result],
    description: str,
    tasks: int,
    row_progress: RowProgress | None = None,
    through: Literal["mapInArrow", "mapInPandas"] = "mapInArrow",
    profile: ResourceProfile | None = None,
) -> list[Result]:
    """Hands a frame's rows to `work` in batches; it gives one row of JSON a task, as `guarded`
    writes it.

    Args:
        gives: type of the results.

    Runs on: driver; `work` on executors.

    Raises:
        BatchInferError: of the class and with the words that `work` raised it with.
    """
    with show_progress(frame.sparkSession, description, tasks, row_progress):
        rows = getattr(frame, through)(work, "result string", profile=profile).collect()
    results, failed = _told([row["result"] for row in rows], gives)
    raise_errors(failed)
    return results


def raise_errors(failed: Sequence[TaskError]) -> None:
    """Raises the first of some errors, with the class it was raised with on the executor and what
    others of it say.
    """
    if failed:
        first = failed[0]
        problems = [
            problem for each in failed if each.name == first.name for problem in each.problems
        ]
        raise getattr(errors, first.name)(
            errors.listed_some(list(dict.fromkeys(problems))), first.hint
        )


def results_in_order(
    found: Iterable[tuple[int, str]],
    gives: type[Result],
    tasks: int,
    undo: Callable[[list[Result]], None] | None = None,
) -> list[list[Result]]:
    """Numbered lines of JSON, read and put in the order of their tasks; see `run_tasks`."""
    lines: list[list[str]] = [[] for _ in range(tasks)]
    for number, text in found:
        lines[number].append(text)
    results: list[list[Result]] = []
    failed: list[TaskError] = []
    for of_task in lines:
        told, wrong = _told(of_task, gives)
        results.append(told)
        failed += wrong
    if undo is not None and failed:
        undo([result for of_task in results for result in of_task])
    raise_errors(failed)
    return results


def _told(lines: Iterable[str], gives: type[Result]) -> tuple[list[Result], list[TaskError]]:
    """Lines of JSON as results and errors."""
    results: list[Result] = []
    failed: list[TaskError] = []
    for line in lines:
        parsed = json.loads(line)
        if isinstance(parsed, dict) and parsed.keys() == {_ERROR}:
            failed.append(as_value(TaskError, parsed[_ERROR]))
        else:
            results.append(as_value(gives, parsed))
    return results, failed
