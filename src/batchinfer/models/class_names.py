"""Names of classes, matched by value: `1`, `1.0` and 1 are one class, however a model, a file or a
column spells it.

Owns which spellings mean the same, and which of a model's classes the target of a pipeline names.
Knows no columns (see `targets`) and no models.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from batchinfer.config.suggestions import did_you_mean, listed
from batchinfer.errors import ModelError

if TYPE_CHECKING:
    from batchinfer.config.pipeline import Target

# Numbers as Python, NumPy, Arrow and JSON write them. What a person may mean as a name stays text:
# 01, +1, 1.10 (a version), 1e5, " 1", other scripts' digits, nan and inf, which equal nothing.
NUMBER_SPELLING = r"-?(0|[1-9][0-9]*)(\.(0|[0-9]*[1-9]))?(e[+-][0-9]{2,3})?"
_NUMBER = re.compile(NUMBER_SPELLING)
_TRUTHS = {
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
}
POSITIVE = "positive"
# The class that is not positive, where it is more than one value; and where `other` is the positive
# one.
OTHER = "other"
REST = "rest"
_SHOWN = 10


def number_of(name: str) -> Decimal | None:
    """The number that a name spells, exactly; None where it is no number."""
    return Decimal(name) if _NUMBER.fullmatch(name) else None


def truth_of(name: str) -> bool | None:
    """The truth value that a name spells; None where it is none, as 1 and 0 are none."""
    return _TRUTHS.get(name)


def same_class(a: str, b: str) -> bool:
    """Whether two names mean one class: equal texts, numbers of one value, or one truth value.

    Numbers are compared exactly, so two integers past 2**53 that one float stands for stay two.
    """
    if a == b:
        return True
    number = number_of(a)
    if number is not None:
        return number == number_of(b)
    truth = truth_of(a)
    return truth is not None and truth is truth_of(b)


def positive_places(
    labels: Sequence[str], positive: Sequence[str], pattern: str | None
) -> tuple[int, ...]:
    """Places of the classes that a setting names, in order; none where it names no class.

    A name that is a label as it stands means that one alone, else all of its value. The pattern is
    searched in the labels.
    Runs on: driver.
    """
    found: set[int] = set()
    for name in positive:
        exact = [place for place, label in enumerate(labels) if label == name]
        found.update(
            exact or [place for place, label in enumerate(labels) if same_class(name, label)]
        )
    if pattern:
        found.update(place for place, label in enumerate(labels) if re.search(pattern, label))
    return tuple(sorted(found))


def positive_place(labels: Sequence[str], target: Target) -> int | None:
    """Place of the positive one of two classes; None where the target says nothing of it.

    Several names in `positive` are spellings: it is enough that one is a class. `idle_positive`
    tells the others.
    Runs on: driver.

    Raises:
        ModelError: none of the two is named, or both are.
    """
    if not says_positive(target):
        return None
    place, *others = _named_places(labels, target)
    if others:
        raise ModelError(
            f"{positive_setting(target)}; it names both of the model's classes, "
            f"{_listed(labels)}; allowed: one of them",
        )
    return place


def unused_positive(labels: Sequence[str], target: Target) -> str | None:
    """What to warn of where a model has more than two classes and the target names one as positive;
    None where it says nothing.

    Runs on: driver.

    Raises:
        ModelError: none of the classes is named.
    """
    if not says_positive(target):
        return None
    _named_places(labels, target)
    return (
        f"{positive_setting(target)}, which is not used: the model has {len(labels)} classes "
        f"({_listed(labels)}), and score is that of the label"
    )


def idle_positive(labels: Sequence[str], target: Target) -> str | None:
    """What to warn of where some of what the target says names no class of a model; None where all
    of it does.

    Runs on: driver.
    """
    idle = [
        json.dumps(name, ensure_ascii=False)
        for name in target.positive or ()
        if not positive_places(labels, (name,), None)
    ]
    parts = [f"train.target.positive: {listed(idle[:_SHOWN])}"] if idle else []
    pattern = target.positive_pattern
    if pattern and not positive_places(labels, (), pattern):
        parts.append(f"train.target.positive_pattern: {pattern!r}")
    if not parts:
        return None
    return f"{', '.join(parts)} names no class of the model; its classes are {_listed(labels)}"


def says_positive(target: Target) -> bool:
    """Whether the target says which class is the positive one."""
    return bool(target.positive or target.positive_pattern)


def positive_label(target: Target) -> str:
    """Label of the positive class: the first of `positive`, else `positive`.

    Runs on: driver.
    """
    return target.positive[0] if target.positive else POSITIVE


def positive_setting(target: Target) -> str:
    """What the target says of the positive class, as a sentence begins: `train.target.positive: got
    ["yes"]`.
    """
    parts = []
    if target.positive:
        names = json.dumps(target.positive[:_SHOWN], ensure_ascii=False)
        parts.append(f"train.target.positive: got {names}")
    if target.positive_pattern:
        parts.append(f"train.target.positive_pattern: got {target.positive_pattern!r}")
    return ", ".join(parts)


def _named_places(labels: Sequence[str], target: Target) -> tuple[int, ...]:
    positive = target.positive or ()
    places = positive_places(labels, positive, target.positive_pattern)
    if places:
        return places
    near = next((hint for name in positive if (hint := did_you_mean(name, labels))), "")
    raise ModelError(
        f"{positive_setting(target)}{near}; the model's classes are {_listed(labels)}",
        "name the positive class as one of these; without train.target.positive and "
        "positive_pattern it is the second of two classes",
    )


def _listed(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - _SHOWN} more" if len(labels) > _SHOWN else ""
    return listed(labels[:_SHOWN]) + more
