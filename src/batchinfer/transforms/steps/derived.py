"""`derive`: new columns by named expressions, row by row.

Owns the one step that a pipeline file writes as a section of its own, and the naming of the rows
that an expression fails on. What an expression means is `expressions`' to say.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, PrivateAttr, model_validator

from batchinfer.errors import UnfitRows
from batchinfer.transforms.column import UNKNOWN, Column, kind, plain_type
from batchinfer.transforms.expressions import Expression, ExpressionError, parse_expression
from batchinfer.transforms.step import SECTION, Fields, RowStep, State, StepProblem

_SHOWN = 120


class Derive(RowStep):
    """New columns by named expressions, each made of a row's own columns.

    An expression may read the columns that stand before it. A NaN in a column of the source is
    null, as it is for every step. A row that an expression fails on is named (`errors.UnfitRows`):
    in scoring it goes to quarantine, in training it is left out.

    Attributes:
        columns: what the expressions read of the source, in order of first mention.
        expressions: name and text of each new column, in the order of the pipeline file.
    """

    name: ClassVar[str] = SECTION
    accepts: ClassVar[tuple[str, ...]] = ()
    in_place: ClassVar[bool] = False
    tells_rows: ClassVar[bool] = True

    expressions: tuple[tuple[str, str], ...] = Field(min_length=1)

    _parsed: dict[str, Expression] = PrivateAttr(default_factory=dict)

    @classmethod
    def of(cls, expressions: Mapping[str, str]) -> Derive:
        """The step of these named expressions.

        Raises:
            ValueError: one that is none, or that reads no column.
        """
        parsed = {name: parse_expression(text) for name, text in expressions.items()}
        return cls(columns=_sources(parsed), expressions=tuple(expressions.items()))

    @model_validator(mode="after")
    def _reads_what_it_says(self) -> Derive:
        try:
            self._parsed = {name: parse_expression(text) for name, text in self.expressions}
        except ExpressionError as error:
            raise ValueError(str(error)) from error
        if len(self._parsed) < len(self.expressions) or self.columns != _sources(self._parsed):
            raise ValueError("columns and expressions that belong together")
        return self

    def makes(self) -> Fields:
        return dict.fromkeys(self._parsed, UNKNOWN)

    def reads(self, available: Collection[str]) -> list[str]:
        return list(self.columns)

    @property
    def mentions(self) -> list[str]:
        # A step that names one gives it its place; those that none names come last.
        return []

    @property
    def feeds(self) -> list[str]:
        return [name for name in self._parsed if name not in self.helpers]

    @property
    def helpers(self) -> list[str]:
        """The new columns that another expression reads: the model gets one of them only if a step
        changes it.
        """
        read = {name for one in self._parsed.values() for name in one.columns}
        return [name for name in self._parsed if name in read]

    def output_fields(self, fields: Mapping[str, pa.DataType], state: State = None) -> Fields:
        result = dict(fields)
        problems: list[str] = []
        for name, expression in self._parsed.items():
            if name in fields:
                problems.append(f"derive.{name}: a column of that name is there already")
            absent = [column for column in expression.columns if column not in result]
            problems += [f"derive.{name}: no column '{column}'" for column in absent]
            result[name] = UNKNOWN
            if not absent:
                try:
                    result[name] = derived_type(expression, result)
                except ExpressionError as error:
                    problems.append(f"derive.{name}: {error}")
        if problems:
            raise StepProblem(problems)
        return result

    def transform(self, frame: dict[str, Column], prepared: Any) -> None:
        told: dict[int, str] = {}
        columns = {name: _without_nan(frame[name]) for name in self.columns}
        for name, expression in self._parsed.items():
            found = expression.evaluate({column: columns[column] for column in expression.columns})
            columns[name] = frame[name] = found.values
            for row, why in found.errors.items():
                told.setdefault(row, f"derive.{name} ({_short(expression.text)}): {why}")
        if told:
            raise UnfitRows(told)


def derived_type(expression: Expression, fields: Mapping[str, pa.DataType]) -> pa.DataType:
    """The type that an expression has with these columns; unknown where it reads one of a type that
    is not known.

    Raises:
        ExpressionError: the types of the columns do not fit the expression.
    """
    read = {name: plain_type(fields[name]) for name in expression.columns}
    if any(kind(type_) == "unknown" for type_ in read.values()):
        return UNKNOWN
    return plain_type(expression.type_of(read))


def _without_nan(column: Any) -> pa.Array:
    """A column with null for each NaN: both mean missing, and one row that comes by pandas has but
    one word for them.
    """
    if not pa.types.is_floating(column.type):
        return column
    gone = column.is_null(nan_is_null=True)
    if gone.true_count == column.null_count:
        return column
    nothing = pa.scalar(None, column.type)
    return pc.call_function("if_else", [gone, nothing, column])


def _sources(parsed: Mapping[str, Expression]) -> tuple[str, ...]:
    """What the expressions read besides each other."""
    read = dict.fromkeys(name for one in parsed.values() for name in one.columns)
    return tuple(name for name in read if name not in parsed)


def _short(text: str) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= _SHOWN else f"{plain[: _SHOWN - 2]} …"
