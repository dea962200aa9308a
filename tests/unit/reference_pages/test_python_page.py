"""The page about Python names every public name, and what its functions raise there is."""

from __future__ import annotations

import inspect

import pytest
from reference_pages.python_page import (
    error_classes,
    items_of,
    python_page,
    sections_of,
    shared_parameters,
)

import batchinfer
from batchinfer import errors

FUNCTIONS = [name for name in batchinfer.__all__ if inspect.isfunction(getattr(batchinfer, name))]


def test_every_public_name_has_a_heading() -> None:
    page = python_page().splitlines()
    for name in batchinfer.__all__:
        assert f"## {name}" in page or f"### {name}" in page, name


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_parameter_is_described(name: str) -> None:
    function = getattr(batchinfer, name)
    told = {**shared_parameters(), **items_of(sections_of(function).get("Args", ""))}
    for parameter in inspect.signature(function).parameters:
        assert told.get(parameter), parameter


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_is_described_is_a_parameter(name: str) -> None:
    function = getattr(batchinfer, name)
    described = items_of(sections_of(function).get("Args", ""))
    assert described.keys() <= inspect.signature(function).parameters.keys()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_says_what_it_raises(name: str) -> None:
    raised = items_of(sections_of(getattr(batchinfer, name))["Raises"])
    assert raised
    assert {*raised} <= {error.__name__ for error in error_classes()}


def test_every_exit_code_of_an_error_is_on_the_page() -> None:
    page = python_page()
    for error in error_classes():
        assert f"| `{error.__name__}` | {error.exit_code} |" in page
    assert {error.exit_code for error in error_classes()} == {
        1,
        *(kind.exit_code for kind in errors.BatchInferError.__subclasses__()),
    }
