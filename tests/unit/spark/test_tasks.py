"""Errors of executors arrive on the driver with their class and their words."""

from __future__ import annotations

import pytest

from batchinfer.errors import ConfigError, InputError
from batchinfer.spark.tasks import error_json, results_in_order
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
