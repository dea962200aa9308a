"""Errors of executors arrive on the driver with their class and their words; tasks of this process
do what those of executors do.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from batchinfer.errors import ConfigError, InputError
from batchinfer.spark.capacity import workers
from batchinfer.spark.tasks import THIS_PROCESS, Work, error_json, results_in_order, run_tasks
from batchinfer.transforms import StepProblem


@pytest.mark.parametrize(
    ("error", "class_"),
    [(InputError("a", "b"), InputError), (StepProblem(["c", "d"]), ConfigError)],
)
def test_an_error_arrives_as_the_class_that_has_its_exit_code(
    error: InputError | ConfigError, class_: type[Exception]
) -> None:
    with pytest.raises(class_) as caught:
        results_in_order([(0, "{}"), (1, error_json(error))], dict[str, int], 2)
    assert type(caught.value) is class_
    assert (caught.value.problems, caught.value.hint) == (error.problems, error.hint)  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Span:
    """Numbers up to one."""

    end: int


def numbers(task: Span) -> Iterator[int]:
    for number in range(task.end):
        if number == 3:
            raise StepProblem([f"{task.end} goes too far"])
        yield number


WORK = Work(numbers, Span, int)


def test_tasks_of_this_process_give_their_results_in_order() -> None:
    assert run_tasks(THIS_PROCESS, WORK, [Span(3), Span(0), Span(1)], "counting") == [
        [0, 1, 2],
        [],
        [0],
    ]
    assert run_tasks(THIS_PROCESS, WORK, [], "counting") == []
    assert workers(THIS_PROCESS) == 1


def test_an_error_in_this_process_undoes_what_other_tasks_did() -> None:
    undone: list[int] = []
    with pytest.raises(ConfigError, match="9 goes too far") as caught:
        run_tasks(THIS_PROCESS, WORK, [Span(2), Span(9), Span(1), Span(5)], "x", undone.extend)
    assert type(caught.value) is ConfigError
    assert caught.value.problems == ("9 goes too far", "5 goes too far")
    assert undone == [0, 1, 0], "whatever succeeded, before and behind the error"
