"""From the `prepare` of a pipeline file to steps, held against the columns, with every problem at
once.

Owns the reading of step items and the walk of the column types through the steps. Knows neither
files nor tables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from batchinfer.config.places import Places, Spot
from batchinfer.config.suggestions import did_you_mean, listed, shown
from batchinfer.config.wording import validate
from batchinfer.contracts import Problem
from batchinfer.prepare.join import Join
from batchinfer.prepare.lookback import ForwardFill, Lag, Rolling
from batchinfer.prepare.removal import Deduplicate, Filter
from batchinfer.prepare.table_step import HIDDEN, Fields, TableStep, TableStepProblem

if TYPE_CHECKING:
    import pyarrow as pa

_ALL: tuple[type[TableStep], ...] = (Deduplicate, Filter, ForwardFill, Lag, Rolling, Join)
STEPS: dict[str, type[TableStep]] = {step.step: step for step in _ALL}


class Prepared(NamedTuple):
    """The steps and what they make of the columns.

    Attributes:
        steps: those without a problem of their own.
        fields: columns and types after the last step, as far as they can be told.
        problems: everything that is wrong, with its path ("prepare", place, name, parameter).
    """

    steps: list[TableStep]
    fields: Fields
    problems: list[Problem]


def parse_table_steps(raw: Sequence[Any]) -> tuple[list[TableStep], list[Problem]]:
    """The steps of `prepare`, and every problem found; a step with a problem is left out of the
    list.

    Each item is a mapping with one key, `{name: {parameter: …}}`.

    Runs on: driver.
    """
    steps: list[TableStep] = []
    problems: list[Problem] = []
    for place, item in enumerate(raw):
        step, found = _parse(place, item)
        problems += found
        if step is not None:
            step._position = place
            steps.append(step)
    return steps, problems


def _parse(place: int, item: Any) -> tuple[TableStep | None, list[Problem]]:
    if not isinstance(item, Mapping) or len(item) != 1:
        message = (
            f"got {shown(item)}; allowed: one step as a mapping with one key, such as "
            f"filter: {{rule: speed <= 200}}"
        )
        return None, [Problem(("prepare", place), message)]
    ((name, parameters),) = item.items()
    path = ("prepare", place, name)
    if name not in STEPS:
        return None, [
            Problem(
                path,
                f"unknown step {shown(name)}{did_you_mean(name, STEPS)}; allowed: {listed(STEPS)}",
            )
        ]
    step, found = validate(STEPS[name], _with_on(parameters, STEPS[name]), Places(Spot("prepare")))
    return step, [Problem((*path, *problem.path), problem.message) for problem in found]


def _with_on(parameters: Any, step: type[TableStep]) -> Any:
    """The parameters with `on` as it was written: YAML reads the bare word as true."""
    if (
        not isinstance(parameters, Mapping)
        or True not in parameters
        or "on" not in step.model_fields
        or "on" in parameters
    ):
        return parameters
    return {"on" if key is True else key: value for key, value in parameters.items()}


def check_prepare(
    raw: Sequence[Any],
    fields: Mapping[str, pa.DataType],
    target: str | None = None,
    key: Sequence[str] = (),
) -> Prepared:
    """The steps of `prepare` with these columns of the source; without columns, the steps alone are
    checked.

    Columns that steps with problems would have made are not told as unknown to those after them.

    Runs on: driver.
    """
    steps, problems = parse_table_steps(raw)
    problems += _repeated_reasons(steps)
    now: Fields = dict(fields)
    if not fields:
        return Prepared(steps, now, problems)
    problems += [
        Problem(
            ("source", "schema", name),
            f"got the column {name}; allowed: names that do not begin with {HIDDEN}",
        )
        for name in fields
        if name.lower().startswith(HIDDEN)
    ]
    unread = len(steps) < len(raw)
    for step in steps:
        path = ("prepare", step.position, step.step)
        problems += [Problem((*path, *at), message) for at, message in _misuses(step, target, key)]
        try:
            now = step.output_fields(now)
        except TableStepProblem as found:
            # An unknown column may be one that a step makes that could not be read.
            told = [each for each in found.problems if not (unread and "no such column" in each[1])]
            problems += [Problem((*path, *at), message) for at, message in told]
            now = {**step.makes(now), **now}
    return Prepared(steps, now, problems)


def _misuses(
    step: TableStep, target: str | None, key: Sequence[str]
) -> list[tuple[tuple[str | int, ...], str]]:
    problems = [] if target is None else step.leaks(target)
    return problems + [
        (
            ("columns",),
            f"got {name}, a column of the key: rows would be known by another one; allowed: "
            "columns outside the key",
        )
        for name in step.changes()
        if name in key
    ]


def _repeated_reasons(steps: Sequence[TableStep]) -> list[Problem]:
    """Rules of one name could not be told apart in the quarantine."""
    seen: set[str] = set()
    problems: list[Problem] = []
    for step in steps:
        reasons = step.reasons().keys() if isinstance(step, Filter) else ()
        for reason in reasons:
            if reason in seen:
                message = (
                    f"got {shown(reason.removeprefix('rule:'))}, the name of an earlier "
                    "rule too; allowed: names that differ"
                )
                problems.append(Problem(("prepare", step.position, step.step, "name"), message))
            seen.add(reason)
    return problems
