"""What every table transform has in common: its contract, its problems, and how it is checked
against the columns.

A table transform needs other rows than its own, so it is a Spark step before the features. Owns
`TableStep`, `StepProblem` and the hidden columns. Knows no concrete step, no pipeline file and no
table.

Rows that a step removes are marked, not dropped: the mark is the reason, later steps pass marked
rows by, and whoever reads the frame quarantines them. So one pass over the rows tells what became
of each of them. Null and NaN are the same and mean "missing", as in the row transforms.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import AfterValidator, PrivateAttr

from batchinfer.config.fields import Names, NotAllowed, Strict
from batchinfer.config.suggestions import among

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import Column, DataFrame

Fields = dict[str, "pa.DataType"]

HIDDEN = "__batchinfer_"
SLICE_NAME = f"{HIDDEN}slice"
REMOVED = f"{HIDDEN}removed"
RAW = f"{HIDDEN}raw"
PLACED = f"{HIDDEN}placed"


def _distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) != len(names):
        raise NotAllowed("each column once")
    return names


Columns = Annotated[Names, AfterValidator(_distinct)]


class TableStepProblem(Exception):
    """A step that does not fit the columns that it gets.

    Attributes:
        problems: (path below the step, message) of each.
    """

    def __init__(self, problems: Iterable[tuple[tuple[str | int, ...], str]]) -> None:
        self.problems = list(problems)
        super().__init__("; ".join(message for _, message in self.problems))


@dataclass(frozen=True)
class Surroundings:
    """What a step needs besides its parameters and the rows.

    Attributes:
        ties: columns that put rows into one order where a step's own order does not tell them
            apart.
        tables: frames of the feature tables that steps read, at the version of the run, by the
            step's place.
    """

    ties: tuple[str, ...]
    tables: Mapping[int, DataFrame] = field(default_factory=dict)


class TableStep(Strict):
    """One table transform: parameters from the pipeline file, `output_fields` on types, `apply` on
    a Spark frame.

    Class attributes:
        step: as written in the pipeline file.
        looks_back: True if rows of earlier slices change what the step makes of a row.
        removes: True if the step removes rows.
    """

    step: ClassVar[str]
    looks_back: ClassVar[bool] = False
    removes: ClassVar[bool] = False

    _position: int = PrivateAttr(0)

    @property
    def position(self) -> int:
        """Place of the step in `prepare`."""
        return self._position

    def uses(self) -> dict[str, tuple[str, ...]]:
        """The columns that the step names, by parameter."""
        raise NotImplementedError(type(self).__name__)

    def changes(self) -> tuple[str, ...]:
        """The columns that the step gives other values under their own names."""
        return ()

    def makes(self, fields: Mapping[str, pa.DataType]) -> Fields:
        """New columns and their types, given the columns that there are (some may be of unknown
        type).
        """
        return {}

    def wrong_types(
        self, fields: Mapping[str, pa.DataType]
    ) -> list[tuple[tuple[str | int, ...], str]]:
        """Columns that the step cannot take, with their place; only those that there are."""
        return []

    def output_fields(self, fields: Mapping[str, pa.DataType]) -> Fields:
        """The columns and types after the step; made ones at the end.

        Raises:
            StepProblem: unknown column, wrong type, or a made column whose name is taken.
        """
        problems: list[tuple[tuple[str | int, ...], str]] = [
            ((parameter,), f"no such column at this step: {among(name, fields)}")
            for parameter, names in self.uses().items()
            for name in names
            if name not in fields
        ]
        problems += self.wrong_types(fields)
        made = self.makes(fields)
        # Spark tells no case apart in names.
        taken = {name.lower(): name for name in fields}
        problems += [
            (
                (),
                f"it makes the column {name}, but {taken[name.lower()]} is there already; allowed: "
                "names that are free",
            )
            for name in made
            if name.lower() in taken
        ]
        if problems:
            raise TableStepProblem(problems)
        return {**fields, **made}

    def leaks(self, target: str) -> list[tuple[tuple[str | int, ...], str]]:
        """Uses of the target that would tell the answer, or that are not possible where it is not
        known yet.
        """
        return [
            ((parameter,), f"got {target}, the target: {self._why_no_target()}")
            for parameter, names in self.uses().items()
            if target in names
        ]

    def _why_no_target(self) -> str:
        return "rows to be scored have none yet; allowed: other columns"

    def reasons(self) -> dict[str, str]:
        """Of a step that removes rows: the reason that marks them, and what it says to a reader of
        the quarantine.
        """
        return {}

    def apply(self, rows: DataFrame, surroundings: Surroundings) -> DataFrame:
        """The frame after the step: as many rows, made columns in any order, hidden columns kept.

        Runs on: driver; what it describes runs on executors.
        """
        raise NotImplementedError(type(self).__name__)


def of_kind(
    fields: Mapping[str, pa.DataType], names: Collection[str], allowed: Collection[str]
) -> list[str]:
    """The columns among these that are there and of another kind than is allowed; unknown types are
    of every kind.
    """
    return [
        name
        for name in names
        if name in fields and type_family(fields[name]) not in (*allowed, "unknown")
    ]


NUMBERS = ("integer", "number")
TIMES = ("timestamp", "date")
PLAIN = (*NUMBERS, *TIMES, "text", "boolean", "bytes")


def type_family(type_: pa.DataType) -> str:
    """`integer, number, text, boolean, timestamp, date, bytes, nested`, or `unknown` where an
    earlier problem left it open.
    """
    import pyarrow.types as is_

    tests: dict[str, Any] = {
        "unknown": is_.is_null,
        "integer": is_.is_integer,
        "boolean": is_.is_boolean,
        "timestamp": is_.is_timestamp,
        "date": is_.is_date,
        "nested": is_.is_nested,
    }
    found = next((name for name, test in tests.items() if test(type_)), None)
    if found is not None:
        return found
    if is_.is_floating(type_) or is_.is_decimal(type_):
        return "number"
    return (
        "text"
        if is_.is_string(type_) or is_.is_large_string(type_) or is_.is_string_view(type_)
        else "bytes"
    )


def named(name: str) -> Column:
    """A column by its name, whatever characters it has."""
    from pyspark.sql import functions as F

    return F.col("`" + name.replace("`", "``") + "`")
