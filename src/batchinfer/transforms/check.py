"""Whether the steps fit the columns, before any data is read; and which columns the model gets.

Owns the walk of the column types through the steps. Knows neither data nor pipeline files.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.types as pt

from batchinfer.contracts import Problem
from batchinfer.transforms.column import NUMBERS, UNKNOWN, kind, plain_type
from batchinfer.transforms.known_steps import STEPS
from batchinfer.transforms.step import KEEP, SECTION, Fields, RowStep, State, StepProblem

UNTOLD = "untold"
_ABSENT = re.compile(r"no column '(.*?)'[;:]")
_ENCODERS = (
    "one_hot",
    "ordinal",
    "hashing",
    "frequency",
    "embedding_index",
    "date_parts",
    "image",
)
"""Steps that make numbers of what is none, as they are proposed."""


class Walk(NamedTuple):
    """What the steps make of the columns.

    Attributes:
        fields: all columns after the last step, with their types, the hidden ones of encoders too.
        mentioned: columns in order of first mention; what a step makes comes after the columns that
            it names, and what `derive` makes after all others, unless a step names it.
        writer: the last step that changed or made a column, by its place in the steps.
        read: columns that a step read to make another one of, after they were changed.
        problems: what does not fit.
    """

    fields: Fields
    mentioned: list[str]
    writer: dict[str, int]
    read: set[str]
    problems: list[Problem]


def walk(
    steps: Sequence[RowStep],
    fields: Mapping[str, pa.DataType],
    states: Mapping[str, State] | None = None,
) -> Walk:
    """Takes the columns' types through the steps; goes on after a problem with what it touches as
    unknown.
    """
    now: Fields = {name: plain_type(type_) for name, type_ in fields.items()}
    result = Walk(now, [], {}, set(), [])
    seen: dict[str, None] = {}
    for place, step in enumerate(steps):
        made = step.makes()
        seen.update(dict.fromkeys(step.mentions))
        try:
            now = step.output_fields(now, (states or {}).get(str(place)))
        except StepProblem as problem:
            result.problems.extend(Problem(_path(step, place), text) for text in problem.problems)
            touched = [name for name in step.columns if step.in_place and name in now]
            now = now | dict.fromkeys([*touched, *made], UNKNOWN)
        for name in (*(step.columns if step.in_place else ()), *step.feeds):
            # A step that only names what is kept leaves each column what the step before made of
            # it.
            result.writer[name] = result.writer.get(name, place) if step.only else place
            result.read.discard(name)
        if step.only:
            for name in [name for name in result.writer if name not in step.columns]:
                del result.writer[name]
        if not step.in_place:
            result.read.update(step.columns)
    for step in steps:
        seen.update(dict.fromkeys(step.makes()))
    return result._replace(fields=now, mentioned=[name for name in seen if name in now])


def check_steps(
    steps: Sequence[RowStep],
    fields: Mapping[str, pa.DataType],
    excluded: Collection[str] = (),
    target: str | None = UNTOLD,
) -> list[Problem]:
    """Every problem of the steps with these source columns.

    Args:
        excluded: columns that may not be used (the target: a leak).
        target: what steps that are fitted on the target get: `number`, `classes`, or None for no
            target at all; without it nothing is said of them.

    Runs on: driver.
    """
    found = walk(steps, fields)
    problems = [_later(problem, steps) for problem in found.problems]
    for place, step in enumerate(steps):
        told = step.target_problems(target) if target != UNTOLD else []
        problems += [Problem(_path(step, place)[:-1], text) for text in told]
        for name in step.columns:
            if name in excluded:
                problems.append(
                    Problem(
                        _path(step, place),
                        f"'{name}' is the target: a feature made of it would leak the answer",
                    )
                )
    # Columns as they are feed a model that takes them so: `train` asks for a matrix by itself.
    as_they_are = only_kept(steps) or (
        target is None and all(step.name == SECTION for step in steps)
    )
    if not as_they_are:
        problems += _not_for_a_matrix(steps, fields, found, excluded)
    return sorted(
        problems, key=lambda problem: [part for part in problem.path if isinstance(part, int)]
    )


def matrix_problems(
    steps: Sequence[RowStep], fields: Mapping[str, pa.DataType], found: Walk
) -> list[str]:
    """Kept columns that no matrix of numbers can be made of; what they are kept for is a model that
    takes columns.
    """
    kept = {name for name, place in found.writer.items() if steps[place].keeps_missing}
    problems = _not_for_a_matrix(steps, fields, found, set(found.writer) - kept)
    return [problem.message for problem in problems]


def _not_for_a_matrix(
    steps: Sequence[RowStep],
    fields: Mapping[str, pa.DataType],
    found: Walk,
    excluded: Collection[str],
) -> list[Problem]:
    problems = []
    for name, place in found.writer.items():
        type_ = found.fields.get(name, UNKNOWN)
        if name in found.read or name in excluded:
            continue
        if kind(type_) not in (*NUMBERS, "vector", "unknown"):
            derived = name in steps[place].feeds and steps[place].name == SECTION
            message = (
                f"is {type_}, and nothing reads it: no expression, and no step of features makes a "
                f"number of it; allowed: {_a_step_for(type_)}no such expression"
                if derived
                else f"column '{name}' is still {type_} after its steps: no step "
                f"makes a number of it; {_to_add(type_)}"
            )
            path = (SECTION, name) if derived else _path(steps[place], place)
            problems.append(Problem(path, message))
        elif steps[place].keeps_missing and pt.is_list(fields.get(name, UNKNOWN)):
            message = (
                f"column '{name}' is a list without a length of its own, of which no matrix can "
                "be made; allowed: numbers, and vectors of a fixed length"
            )
            problems.append(Problem(_path(steps[place], place), message))
    return problems


def only_kept(steps: Sequence[RowStep]) -> bool:
    """True for steps that change nothing, whatever is derived before: the model gets columns."""
    kept = [step.name == KEEP for step in steps if step.name != SECTION]
    return bool(kept) and all(kept)


def kept_columns(steps: Sequence[RowStep]) -> list[str]:
    """The columns of steps that change nothing, in order of first mention; then those that are
    derived for the model.
    """
    named = dict.fromkeys(name for step in steps if step.name == KEEP for name in step.columns)
    derived = [name for step in steps if step.name == SECTION for name in step.feeds]
    return list(dict.fromkeys([*named, *derived]))


def _encoders_of(type_: pa.DataType) -> str:
    """The steps that take this type and make numbers of it; empty where there are none."""
    return ", ".join(name for name in _ENCODERS if kind(type_) in STEPS[name].accepts)


def _a_step_for(type_: pa.DataType) -> str:
    named = _encoders_of(type_)
    return f"a step such as {named}, or " if named else ""


def _to_add(type_: pa.DataType) -> str:
    named = _encoders_of(type_)
    return f"add {named}" if named else "leave the column out"


def feature_columns(steps: Sequence[RowStep], fields: Mapping[str, pa.DataType]) -> list[str]:
    """The columns that the model gets: numbers and vectors that a step changed or made, in order of
    first mention.

    Named integer inputs (`embedding_index`) are among them.
    """
    return fed_columns(walk(steps, fields))


def fed_columns(found: Walk) -> list[str]:
    """`feature_columns` of a walk that was done already."""
    usable = (*NUMBERS, "vector")
    return [
        name
        for name in found.mentioned
        if name in found.writer and kind(found.fields[name]) in usable
    ]


def types_before(
    steps: Sequence[RowStep], fields: Mapping[str, pa.DataType], states: Mapping[str, State]
) -> list[Fields]:
    """The columns and types that each step gets, and at the end those after the last step.

    Raises:
        StepProblem: a step does not fit.
    """
    result: list[Fields] = [{name: plain_type(type_) for name, type_ in fields.items()}]
    for place, step in enumerate(steps):
        result.append(step.output_fields(result[-1], states.get(str(place))))
    return result


def source_columns(steps: Sequence[RowStep], fields: Mapping[str, pa.DataType]) -> list[str]:
    """The source columns that the steps read, in the order of `fields`."""
    made: set[str] = set()
    read: set[str] = set()
    for step in steps:
        read.update(name for name in step.columns if name not in made)
        made.update(step.makes())
    return [name for name in fields if name in read]


def _later(problem: Problem, steps: Sequence[RowStep]) -> Problem:
    """The problem of a column that is not there, with the reason where a later step makes it.

    No columns can be made of each other in a ring: the name of a made column holds the names of
    those it is made of.
    """
    found = _ABSENT.search(problem.message)
    place = next(
        (place for place, step in enumerate(steps) if _path(step, place) == problem.path), None
    )
    if found is None or place is None:
        return problem
    maker = next((at for at in range(place + 1, len(steps)) if found[1] in steps[at].makes()), None)
    if maker is None:
        return problem
    why = (
        f"step {_position(steps[maker], maker) + 1} ({steps[maker].name}) makes it, after this "
        "one; allowed: the step "
        "that makes a column before its use"
    )
    return Problem(problem.path, f"{steps[place].name}: no column '{found[1]}' yet: {why}")


def _position(step: RowStep, place: int) -> int:
    """Where the step stands in the section of its pipeline file."""
    return place if step._position is None else step._position


def _path(step: RowStep, place: int) -> tuple[str | int, ...]:
    if step.name == SECTION:
        return (SECTION,)
    return ("features", _position(step, place), step.name, "columns")
