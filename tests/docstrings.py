"""Runs the examples in the docstrings of public functions, and compares what they print."""

from __future__ import annotations

import doctest
from collections.abc import Mapping
from typing import Any

import batchinfer

# Their examples want a session; those of the others run without a JVM.
ON_SPARK = (
    "extract", "train", "score", "status", "quarantine", "evaluate", "plan", "lookup", "load",
    "backfill", "replay", "predict_udf",
)  # fmt: skip
WITHOUT_SPARK = ("init", "register", "predict")


def example_of(name: str) -> doctest.DocTest:
    """The example of a public function, as lines to run with what they should print."""
    function = getattr(batchinfer, name)
    [found] = doctest.DocTestFinder(recurse=False).find(function, name, globs={})
    return found


def run_example(name: str, given: Mapping[str, Any] | None = None) -> None:
    """Runs it with these names; every difference in one error."""
    example, told = example_of(name), list[str]()
    example.globs = dict(given or {})
    result = doctest.DocTestRunner(verbose=False).run(example, out=told.append)
    assert result.attempted and not result.failed, "".join(told)
