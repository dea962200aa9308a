"""What every transform has in common: its contract, its problems, and how it is checked against the
columns.

Owns `RowStep` and `StepProblem`. Knows no concrete step, no pipeline file and no Spark.

One rule for missing values holds for all steps: null and NaN are the same and mean "missing"; a
step passes missing on as missing unless its docstring says otherwise; where a feature is still
missing at the end, the matrix holds 0 (after `standardize` that is the mean), unless `keep` named
it last. Statistics leave out
missing and infinite values. An infinite value passes through as infinite: `clip` it where the data
has them. A result that is not a number, such as 0/0, is missing.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from typing import Annotated, Any, ClassVar, get_args

import pyarrow as pa
from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationInfo,
    field_validator,
)

from batchinfer.config.shapes.described import TEXT, Described, one_or_more
from batchinfer.errors import ConfigError
from batchinfer.transforms.column import (
    UNKNOWN,
    Column,
    arrow_column,
    is_unencoded,
    kind,
    unencoded,
)
from batchinfer.transforms.statistics import Statistic
from batchinfer.transforms.supervised import HIDDEN, TARGET

SECTION = "derive"
"""The section of a pipeline file that is one step, and the name of that."""
KEEP = "keep"
"""The step that changes nothing."""
Json = Any
State = dict[str, Any] | None
Fields = dict[str, pa.DataType]


class StepProblem(ConfigError):
    """A step that does not fit the columns that it gets; `problems` holds one sentence each."""


def nearest_hint(word: str, allowed: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the nearest allowed word, or nothing."""
    near = difflib.get_close_matches(word, list(allowed), n=1)
    return f"; did you mean '{near[0]}'?" if near else ""


def _one_or_many(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Names = Annotated[
    tuple[str, ...],
    BeforeValidator(_one_or_many),
    Field(min_length=1),
    one_or_more("a column, or a list of columns", TEXT),
]


class Item(Described):
    """What every step of a pipeline file has: a name, a version, and parameters that are checked
    when the file is read.

    Class attributes:
        name: as written in the pipeline file. version: counts changes of what the step computes; a
        bundle made with another version is refused.
    """

    # A pipeline has a few of the steps that stand in a module with it.
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, defer_build=True)

    name: ClassVar[str]
    version: ClassVar[int] = 1

    _position: int | None = PrivateAttr(None)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Python counts true as 1, but nobody who writes `max_categories: true` means one
        category.
        """
        allowed = cls.model_fields[str(info.field_name)].annotation
        if isinstance(value, bool) and allowed is not bool and bool not in get_args(allowed):
            raise ValueError("no true or false")
        return value


class RowStep(Item):
    """One transform of named columns: parameters from the pipeline file, state from `fit`, `apply`
    on any rows alone.

    Subclasses say what they accept and make, and how rows are changed; they hold no state
    themselves.

    Attributes:
        columns: the columns that the step works on.

    Class attributes:
        accepts: kinds of column (see `column.kind`) that the step reads. in_place: True if the
        columns are changed under their own names, False if the step only makes new ones. encodes:
        True if categories become numbers; the categories stay readable for `cross`. integers: True
        if the columns become named integer inputs of the model instead of columns of the matrix.
        keeps_missing: True if a number that is missing stays so in the matrix (NaN), instead of 0.
        tells_rows: True if it names the rows that it fails on (`errors.UnfitRows`); they are then
        left out of whatever is learned.
    """

    accepts: ClassVar[tuple[str, ...]]
    in_place: ClassVar[bool] = True
    encodes: ClassVar[bool] = False
    integers: ClassVar[bool] = False
    keeps_missing: ClassVar[bool] = False
    tells_rows: ClassVar[bool] = False

    columns: Names

    @field_validator("columns")
    @classmethod
    def _distinct(cls, columns: tuple[str, ...]) -> tuple[str, ...]:
        twice = sorted({name for name in columns if columns.count(name) > 1})
        if twice:
            raise ValueError(f"each column once, but {', '.join(twice)} stands there twice")
        return columns

    # What the step does to the types.

    def changed_type(self, before: pa.DataType, state: Json) -> pa.DataType:
        """Type of a column changed in place, given its type before and its state (None before
        fit).
        """
        return before

    def makes(self) -> Fields:
        """New columns besides the changed ones, with their types."""
        return {}

    def reads(self, available: Collection[str]) -> list[str]:
        """The columns that the step reads, given those that there are."""
        return list(self.columns)

    @property
    def mentions(self) -> list[str]:
        """The columns that take their place in the order of the model's columns here, if no step
        before named them.
        """
        return [*self.columns, *self.makes()]

    @property
    def feeds(self) -> list[str]:
        """The columns that the step makes for the model."""
        return list(self.makes())

    def output_fields(self, fields: Mapping[str, pa.DataType], state: State = None) -> Fields:
        """The columns and types after the step, changed ones in their old position, made ones at
        the end.

        Raises:
            StepProblem: unknown column, wrong type, or a made column whose name is taken.
        """
        problems = self._column_problems(fields)
        made = self.makes()
        problems += [
            f"{self.name} makes the column '{name}', which is there already"
            for name in made
            if name in fields
        ]
        if problems:
            raise StepProblem(problems)
        result = dict(fields)
        if self.in_place:
            for name in self.columns:
                before = fields[name]
                result[name] = (
                    before
                    if before == UNKNOWN
                    else self.changed_type(before, (state or {}).get(name))
                )
                if self.encodes:
                    result[unencoded(name)] = before
        return result | made

    def _column_problems(self, fields: Mapping[str, pa.DataType]) -> list[str]:
        problems = []
        for name, read in zip(self.columns, self.reads(fields), strict=True):
            if read not in fields:
                visible = [
                    field for field in fields if not (is_unencoded(field) or field in HIDDEN)
                ]
                hint = nearest_hint(name, visible)
                problems.append(
                    f"{self.name}: no column '{name}'{hint}; columns at this step: "
                    f"{', '.join(visible)}"
                )
            elif kind(fields[read]) not in (*self.accepts, "unknown"):
                got = "already a vector" if kind(fields[read]) == "vector" else str(fields[read])
                problems.append(
                    f"{self.name}: column '{name}' is {got}; allowed: {', '.join(self.accepts)}"
                )
        return problems

    @property
    def only(self) -> bool:
        """True if the model gets the step's columns and no others made before it."""
        return False

    # Statistics: `fit` is accumulate on each batch, merge in a fixed order, finish.

    def learns_from(self) -> tuple[str, ...]:
        """Hidden columns of `supervised` that its fit reads besides its own columns."""
        return ()

    def target_problems(self, target: str | None) -> list[str]:
        """Why the step cannot be fitted with this target: `number`, `classes` (two or more), or
        None for no target at all.
        """
        if TARGET in self.learns_from() and target is None:
            return [
                f"{self.name} is fitted on the target, and there is none; allowed: with "
                "train.target"
            ]
        return []

    def undo(self, state: Json) -> list[Json]:
        """What undoes the step on one column with this state, for `inverse`.

        Raises:
            StepProblem: it cannot be undone.
        """
        raise StepProblem(f"inverse: {self.name} cannot be undone")

    def released(self, state: State) -> State:
        """The state without what only the rows that were learned from need."""
        return state

    def statistic(self) -> Statistic | None:
        """What is gathered of each column, or None for a step that needs nothing."""
        return None

    @property
    def fitted(self) -> bool:
        """True if the step needs statistics of the data."""
        return self.statistic() is not None

    def _gathered(self) -> Statistic:
        statistic = self.statistic()
        if statistic is None:
            raise TypeError(f"{self.name} gathers no statistics")
        return statistic

    def accumulate(self, columns: Mapping[str, Column]) -> Json:
        """Partial statistics of one batch, JSON-able. Runs on: executor.

        Raises:
            InputError: more distinct categories than can be kept.
        """
        return {name: self._gathered().of(columns[name], name) for name in self.columns}

    def merge(self, left: Json, right: Json) -> Json:
        """Partial statistics of two parts, left before right."""
        return {
            name: self._gathered().merge(left[name], right[name], name) for name in self.columns
        }

    def finish(self, partial: Json) -> State:
        """The state: what `apply` needs, JSON-able, by column. Runs on: driver."""
        return {name: self.conclude(partial[name]) for name in self.columns}

    def conclude(self, partial: Json) -> Json:
        """The state of one column from its partial statistics."""
        raise NotImplementedError(
            f"{type(self).__name__} gathers statistics but does not conclude from them"
        )

    # Rows.

    def prepare(self, fields: Mapping[str, pa.DataType], state: State) -> Any:
        """Lookup tables made once per pipeline from the state, handed to `transform` with each
        batch.
        """
        return state

    def transform(self, frame: dict[str, Column], prepared: Any) -> None:
        """Changes the frame of one batch: rows stay as many and in order, arrays that came in are
        not written to.
        """
        raise NotImplementedError(type(self).__name__)

    def apply(self, columns: Mapping[str, pa.Array], state: State) -> dict[str, pa.Array]:
        """The columns after the step, as Arrow arrays of the types that `output_fields` says.

        Raises:
            StepProblem: the columns do not fit the step.
        """
        fields = {name: array.type for name, array in columns.items()}
        after = self.output_fields(fields, state)
        frame: dict[str, Column] = dict(columns)
        self.transform(frame, self.prepare(fields, state))
        return {
            name: arrow_column(frame[name], type_)
            for name, type_ in after.items()
            if not is_unencoded(name)
        }

    def integer_shape(self, state: Json) -> tuple[int, int | None]:
        """Of a named integer input: how many different integers, and the length of each row (None
        for one number).
        """
        raise NotImplementedError(f"{type(self).__name__} makes no integer input")

    def vector_names(self, column: str, state: State, width: int, before: list[str]) -> list[str]:
        """One name for each place of a vector column; `before` are those that it had before the
        step.
        """
        return [f"{column}[{place}]" for place in range(width)]
