"""`train.target.positive`: text, numbers and truth values, kept as text; what is none of these, or
what YAML reads as another word than is written, is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from batchinfer.config.pipeline import Target

from .conftest import GOOD

Problems = Callable[..., list[str]]


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("yes", ("yes",)),
        (["yes", "01"], ("yes", "01")),
        (1, ("1",)),
        ([2], ("2",)),
        ([1.0, 0.5, -0.0], ("1", "0.5", "0")),
        (True, ("true",)),
        ([False, "x", 3], ("false", "x", "3")),
        ([2**63 + 1], ("9223372036854775809",)),
        ([1e300], ("1e+300",)),
    ],
)
def test_numbers_and_truth_values_are_kept_as_the_names_of_classes(
    written: Any, kept: tuple[str, ...]
) -> None:
    assert Target(column="y", positive=written).positive == kept
    # It crosses to the executors as JSON.
    again = Target(**Target(column="y", positive=written).model_dump())
    assert again.positive == kept


@pytest.mark.parametrize(
    "written",
    [[], [[1]], {"a": 1}, [None], float("nan"), [float("inf")], [10**5000], b"x", [{"a": 1}]],
)
def test_what_names_no_class_is_refused(written: Any) -> None:
    with pytest.raises(ValidationError):
        Target(column="y", positive=written)


@pytest.mark.parametrize("written", ["1", "[2, 1.0]", "true", "[True, FALSE]", "[-1.50, 1e3, 0]"])
def test_a_file_may_name_numbers_and_truth_values(problems: Problems, written: str) -> None:
    assert problems(GOOD.replace("yes please", written)) == []


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        ("[]", "(train.target.positive): got a list of 0; allowed: a list or mapping of at least"),
        (
            "[.nan]",
            "(train.target.positive[0]): got .nan, which YAML reads as the number nan; allowed: "
            "text, a finite number, true or false",
        ),
        (
            "-.inf",
            "(train.target.positive): got -.inf, which YAML reads as the number -inf; allowed",
        ),
        ("[[1]]", "(train.target.positive[0]): got a list of 1; allowed: text, a finite number"),
        ("{a: 1}", "got a mapping ('a'); allowed: text, a finite number, true or false, or a list"),
        (
            "[x, yes]",
            "(train.target.positive[1]): got yes, which YAML reads as true; allowed: text, a "
            'number, true or false (as text it is written in quotes: "yes")',
        ),
        ("no", "(train.target.positive): got no, which YAML reads as false; allowed: text"),
        ("[010]", '(as text it is written in quotes: "010")'),
        ("[1_000]", "got 1_000, which YAML reads as the number 1000"),
        ("[1:30]", "got 1:30, which YAML reads as the number 90"),
        ("[2024-01-01]", "which YAML reads as a date; allowed: text"),
    ],
)
def test_a_word_that_names_no_class_or_another_one_than_is_written_is_refused(
    problems: Problems, written: str, sentence: str
) -> None:
    found = problems(GOOD.replace("yes please", written))
    assert len(found) == 1 and sentence in found[0], found


def test_an_override_is_held_to_the_same(problems: Problems) -> None:
    assert problems(GOOD, overrides=["train.target.positive=[2]"]) == []
    (found,) = problems(GOOD, overrides=["train.target.positive=[on]"])
    assert "got on, which YAML reads as true" in found
