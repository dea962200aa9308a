"""From the `features` of a pipeline file to steps, and back.

Owns the reading of step items and the wording of their problems. Knows neither the columns (see
`check`) nor files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import ValidationError

from batchinfer.contracts import Problem
from batchinfer.transforms.known_steps import STEPS, STORED_STEPS
from batchinfer.transforms.step import Item, RowStep, nearest_hint

S = TypeVar("S", bound=Item)


def parse_steps(raw: Sequence[Mapping[str, Any]]) -> tuple[list[RowStep], list[Problem]]:
    """The steps of `features`, and every problem found; a step with a problem is left out of the
    list.

    Each item is a mapping with one key, `{name: {columns: …, parameter: …}}`. Problems carry the
    path ("features", place, name, parameter). Runs on: driver.
    """
    return parse_items(raw, STEPS, "features", "standardize: {columns: [age]}")


def load_steps(stored: Sequence[Mapping[str, Any]]) -> tuple[list[RowStep], list[Problem]]:
    """The steps that `dump_steps` wrote, that of `derive` among them, and every problem found.

    Runs on: driver | executor.
    """
    return parse_items(stored, STORED_STEPS, "features", "standardize: {columns: [age]}")


def parse_items(
    raw: Sequence[Any], known: Mapping[str, type[S]], section: str, example: str
) -> tuple[list[S], list[Problem]]:
    """The same for any section of steps.

    Args:
        known: the steps that there are, by name.
        section: of the pipeline file, where the paths of problems start.
        example: of an item, for messages.
    """
    steps: list[S] = []
    problems: list[Problem] = []
    for position, item in enumerate(raw):
        step, found = _parse_item(item, known, example)
        problems += [
            Problem((section, position, *problem.path), problem.message) for problem in found
        ]
        if step is not None:
            step._position = position
            steps.append(step)
    return steps, problems


def dump_steps(steps: Sequence[Item]) -> list[dict[str, Any]]:
    """The steps as JSON-able items that `parse_steps` reads: only parameters that differ from their
    defaults.
    """
    return [
        {step.name: step.model_dump(mode="json", by_alias=True, exclude_defaults=True)}
        for step in steps
    ]


def _parse_item(
    item: Any, known: Mapping[str, type[S]], example: str
) -> tuple[S | None, list[Problem]]:
    """A step, or its problems with paths below the item."""
    if (
        not isinstance(item, Mapping)
        or len(item) != 1
        or not all(isinstance(name, str) for name in item)
    ):
        return None, [
            Problem(
                (),
                f"got {_short(item)}; allowed: one step as a mapping with one key, such as "
                f"{example}",
            )
        ]
    ((name, parameters),) = item.items()
    if name not in known:
        return None, [
            Problem(
                (name,),
                f"unknown step '{name}'{nearest_hint(name, known)}; allowed: {', '.join(known)}",
            )
        ]
    if not isinstance(parameters, Mapping):
        inside = example.partition(": ")[2]
        return None, [
            Problem(
                (name,),
                f"got {_short(parameters)}; allowed: the step's parameters, such as {inside}",
            )
        ]
    try:
        return known[name].model_validate(dict(parameters)), []
    except ValidationError as error:
        return None, _problems(known[name], error)


def _problems(step: type[Item], error: ValidationError) -> list[Problem]:
    """One problem for each parameter: pydantic reports each arm of a union apart."""
    found: dict[tuple[str | int, ...], list[Mapping[str, Any]]] = {}
    for detail in error.errors(include_url=False):
        found.setdefault(detail["loc"][:1], []).append(detail)
    return [
        Problem((step.name, *where), _message(step, details)) for where, details in found.items()
    ]


def _message(step: type[Item], details: Sequence[Mapping[str, Any]]) -> str:
    first = details[0]
    allowed = [field.alias or name for name, field in step.model_fields.items()]
    if first["type"] == "extra_forbidden":
        word = str(first["loc"][0])
        return (
            f"unknown parameter '{word}'{nearest_hint(word, allowed)}; allowed: "
            f"{', '.join(allowed)}"
        )
    if first["type"] == "missing" and len(first["loc"]) == 1:
        return (
            f"parameter '{first['loc'][0]}' is missing; parameters of {step.name}: "
            f"{', '.join(allowed)}"
        )
    reasons = " or ".join(dict.fromkeys(_reason(detail) for detail in details))
    return reasons if not first["loc"] else f"got {_short(first['input'])}; allowed: {reasons}"


def _reason(detail: Mapping[str, Any]) -> str:
    if detail["type"] in ("too_short", "too_long"):
        bound, limit = (
            ("at least", "min_length")
            if detail["type"] == "too_short"
            else ("at most", "max_length")
        )
        return f"{bound} {detail['ctx'][limit]} of them"
    message = str(detail["msg"])
    for prefix in (
        "Value error, ",
        "Input should be a valid ",
        "Input should be an ",
        "Input should be a ",
        "Input should be ",
    ):
        message = message.removeprefix(prefix)
    return message


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
