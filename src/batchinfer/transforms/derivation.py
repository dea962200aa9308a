"""The `derive` of a pipeline file, held against the columns before any data is read.

Owns the sentences about what is wrong there, each with the name of its column. Knows neither data
nor how a pipeline file is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import pyarrow as pa

from batchinfer.config.suggestions import among
from batchinfer.contracts import SLICE, SOURCE_FILE, SOURCE_LINE, Problem
from batchinfer.transforms.column import UNKNOWN
from batchinfer.transforms.step import SECTION, RowStep

if TYPE_CHECKING:
    from batchinfer.transforms.expressions import Expression
    from batchinfer.transforms.steps.derived import Derive

_ADDED: tuple[str, ...] = (SLICE, SOURCE_FILE, SOURCE_LINE)


class CheckedDerivation(NamedTuple):
    """What a pipeline file derives.

    Attributes:
        step: of the expressions that are right; None: there are none.
        unknown: columns whose expression has a problem.
        problems: all of them, with paths ("derive", name).
    """

    step: Derive | None
    unknown: list[str]
    problems: list[Problem]


def check_derivation(
    raw: Any,
    fields: Mapping[str, pa.DataType],
    target: str | None = None,
) -> CheckedDerivation:
    """Every problem of `derive` with these columns; without columns, of the expressions alone.

    Args:
        raw: what the document has there; what is no text is the loader's to tell.
        fields: columns that the expressions may read, and their types.
        target: what the model learns, which no expression may read.

    Runs on: driver.
    """
    written: dict[Any, Any] = raw if isinstance(raw, dict) else {}
    names = [name for name in written if isinstance(name, str)]
    walk = _Walk(dict(fields), names, target)
    for name in names:
        walk.take(name, written[name])
    sound = walk.sound
    return CheckedDerivation(_step_of(sound), walk.unknown, walk.problems)


def _step_of(sound: Mapping[str, Expression]) -> Derive | None:
    if not sound:
        return None
    from batchinfer.transforms.steps.derived import Derive

    return Derive.of({name: one.text for name, one in sound.items()})


class _Walk:
    """The expressions in their order, with the columns that each may read."""

    def __init__(
        self, fields: Mapping[str, pa.DataType], names: list[str], target: str | None
    ) -> None:
        self.source, self.names, self.target = fields, names, target
        self.types = dict(fields)
        self.taken: dict[str, str] = dict.fromkeys(_ADDED, "a name that every landed table has")
        self.taken |= {name.lower(): f"a column of the source ({name})" for name in fields}
        self.sound: dict[str, Expression] = {}
        self.unknown: list[str] = []
        self.problems: list[Problem] = []

    def take(self, name: str, text: Any) -> None:
        # The language of expressions is large, and most pipelines derive nothing.
        from batchinfer.transforms.expressions import ExpressionError, parse_expression
        from batchinfer.transforms.steps.derived import derived_type

        found: list[str] = []
        if reason := self.taken.get(name.lower()):
            found.append(f"got the name {name}, {reason}; allowed: other names")
        self.taken[name.lower()] = f"which is derived already ({name})"
        type_, expression = UNKNOWN, None
        if isinstance(text, str):
            try:
                expression = parse_expression(text)
                found += self._wrong_columns(name, expression)
                if not found and self.source:
                    type_ = derived_type(expression, self.types)
            except ExpressionError as error:
                found.append(str(error))
        self.problems += [Problem((SECTION, name), message) for message in found]
        self.types[name] = type_
        if found or expression is None:
            self.unknown.append(name)
        else:
            self.sound[name] = expression

    def _wrong_columns(self, name: str, expression: Expression) -> list[str]:
        if not expression.columns:
            return [
                "reads no column, so that it is the same in every row; allowed: an expression that "
                "reads a column"
            ]
        return [
            message
            for column in expression.columns
            if (message := self._wrong_column(name, column)) is not None
        ]

    def _wrong_column(self, name: str, column: str) -> str | None:
        if column == self.target:
            return f"'{column}' is the target: a feature made of it would leak the answer"
        if column == name:
            return f"reads {column}, which is the column itself; allowed: those before it"
        if column in self.types:
            return None
        if column in self.names:
            return (
                f"reads {column}, which is derived after it; allowed: {column} before {name}, "
                "since each expression may read those above it"
            )
        if not self.source:
            return None
        allowed = [one for one in self.types if one != self.target]
        return f"no such column: {among(column, allowed)}"


def read_columns(raw: Any) -> list[str]:
    """The columns that the expressions read, each other's too, as far as they can be parsed."""
    written: dict[Any, Any] = raw if isinstance(raw, dict) else {}
    read: dict[str, None] = {}
    for text in written.values():
        from batchinfer.transforms.expressions import ExpressionError, parse_expression

        try:
            found = parse_expression(text).columns if isinstance(text, str) else ()
        except ExpressionError:
            continue
        read.update(dict.fromkeys(found))
    return list(read)


def derived_names(raw: Any) -> list[str]:
    """The names of the columns that `derive` makes, as far as they are names."""
    return [name for name in raw if isinstance(name, str)] if isinstance(raw, dict) else []


def split_derived(steps: Sequence[RowStep]) -> tuple[dict[str, str], list[RowStep]]:
    """The named expressions of steps, and the steps besides."""
    derives = [cast("Derive", step) for step in steps if step.name == SECTION]
    derived = {name: text for step in derives for name, text in step.expressions}
    return derived, [step for step in steps if step.name != SECTION]
