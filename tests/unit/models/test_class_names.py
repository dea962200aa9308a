"""Names of classes: which spellings are one class, and which class a setting names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.config.fields import canonical_name
from batchinfer.config.pipeline import Target
from batchinfer.errors import ModelError
from batchinfer.models.class_names import (
    positive_place,
    positive_places,
    same_class,
    unused_positive,
)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("", ""),
        ("yes", "yes"),
        ("nan", "nan"),
        ("1", "1.0"),
        ("-2.0", "-2"),
        ("0", "-0.0"),
        ("0.5", "5e-01"),
        ("10000000000000000", "1e+16"),
        ("123456789012.0", "1.23456789012e+11"),
        ("9007199254740993", "9007199254740993.0"),
        ("true", "True"),
        ("FALSE", "false"),
    ],
)
def test_spellings_of_one_value_are_one_class(a: str, b: str) -> None:
    assert same_class(a, b) and same_class(b, a)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("yes", "Yes"),
        ("churned", "Churned"),
        ("1", "01"),
        ("1", "+1"),
        ("1", " 1"),
        ("1", "1."),
        ("1", "1.00"),
        ("1", "1e0"),
        ("1", "1_"),
        ("10", "1_0"),
        ("1", "١"),
        ("1.1", "1.10"),
        ("nan", "NaN"),
        ("inf", "Infinity"),
        ("1", "true"),
        ("0", "false"),
        ("true", "false"),
        ("true", "tRUE"),
        ("9007199254740992", "9007199254740993"),
        ("9007199254740993", "9007199254740992.0"),
        ("0.1", "0.10000000000000001"),
        ("", "0"),
    ],
)
def test_other_values_and_names_that_only_look_like_numbers_stay_apart(a: str, b: str) -> None:
    assert not same_class(a, b) and not same_class(b, a)


@given(st.integers(), st.integers())
def test_whole_numbers_are_one_class_if_they_are_equal(a: int, b: int) -> None:
    assert same_class(str(a), str(b)) == (a == b)
    assert same_class(str(a), f"{a}.0") and same_class(canonical_name(a), str(a))


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_is_the_class_that_it_is_written_as(value: float) -> None:
    assert same_class(canonical_name(value), repr(value))
    assert same_class(repr(value), canonical_name(value))


def test_numbers_and_truth_values_have_one_name() -> None:
    values = (1, 1.0, 0, -0.0, True, False, 2.5, 2**53 + 1, -7)
    assert [canonical_name(value) for value in values] == [
        "1",
        "1",
        "0",
        "0",
        "true",
        "false",
        "2.5",
        "9007199254740993",
        "-7",
    ]


def target(*positive: str, pattern: str | None = None) -> Target:
    return Target(column="y", positive=positive or None, positive_pattern=pattern)


@pytest.mark.parametrize(
    ("labels", "asked", "place"),
    [
        (("no", "yes"), target(), None),
        (("no", "yes"), target("no"), 0),
        (("no", "yes"), target("y", "yes"), 1),
        (("1.0", "2.0"), target("1"), 0),
        (("1", "2"), target("2.0"), 1),
        (("False", "True"), target("true"), 1),
        (("1", "1.0"), target("1.0"), 1),
        (("churned", "stayed"), target(pattern="^ch"), 0),
        (("churned", "stayed"), target("gone", pattern="^st"), 1),
    ],
)
def test_the_class_that_the_target_names_is_the_positive_one(
    labels: tuple[str, ...], asked: Target, place: int | None
) -> None:
    assert positive_place(labels, asked) == place


@pytest.mark.parametrize(
    ("labels", "asked", "says"),
    [
        (
            ("churned", "stayed"),
            target("Churned"),
            'train.target.positive: got ["Churned"] (did you mean churned?); the model\'s classes '
            "are churned, stayed",
        ),
        (("0", "1"), target("true"), 'positive: got ["true"]; the model\'s classes are 0, 1'),
        (("a", "b"), target(pattern="^c"), "positive_pattern: got '^c'; the model's classes are a"),
        (("a", "b"), target("b", "a"), "both of the model's classes, a, b; allowed: one of them"),
        (("ab", "ac"), target("ab", pattern="c"), "names both of the model's classes"),
    ],
)
def test_a_target_that_names_neither_class_or_both_is_refused(
    labels: tuple[str, ...], asked: Target, says: str
) -> None:
    with pytest.raises(ModelError) as caught:
        positive_place(labels, asked)
    assert says in str(caught.value)


def test_of_more_classes_a_positive_one_is_not_used_and_must_still_be_one_of_them() -> None:
    labels = [str(number) for number in range(12)]
    assert unused_positive(labels, target()) is None
    warning = unused_positive(labels, target("3.0"))
    assert warning is not None and 'got ["3.0"], which is not used: the model has 12' in warning
    assert "8, 9 and 2 more" in warning
    with pytest.raises(ModelError, match=r'got \["12"\].*the model\'s classes are 0, 1'):
        unused_positive(labels, target("12"))


def test_the_places_are_those_of_the_classes_in_order() -> None:
    assert positive_places(("1", "2", "3"), ("3.0", "1"), None) == (0, 2)
    assert positive_places(("1", "2"), ("x",), None) == ()
    assert positive_places((), ("x",), "x") == ()
