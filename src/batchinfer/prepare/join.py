"""`join`: features fetched by key from a feature table, at a point in time.

Owns how the newest feature row that a row may know is found. It is told the table's frame and
columns; which version is read, and where the table lies, is not known here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, PrivateAttr

from batchinfer.config.fields import NotAllowed, Place, Strict
from batchinfer.config.shapes.described import TEXT, TEXTS, json_schema
from batchinfer.config.suggestions import among
from batchinfer.prepare.spans import Span, span_us
from batchinfer.prepare.table_step import (
    HIDDEN,
    PLAIN,
    REMOVED,
    TIMES,
    Columns,
    Fields,
    Surroundings,
    TableStep,
    named,
    of_kind,
    type_family,
)

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import Column, DataFrame

SLICE_MOMENT = f"{HIDDEN}slice_moment"
_KEY, _MOMENT, _THEIRS, _FOUND = (
    f"{HIDDEN}key_",
    f"{HIDDEN}moment",
    f"{HIDDEN}theirs",
    f"{HIDDEN}found",
)


def _pairs(value: Any) -> Any:
    """`on` as a mapping of own columns to theirs, however it was written."""
    if isinstance(value, str):
        return {value: value}
    if isinstance(value, (list, tuple)) and all(isinstance(name, str) for name in value):
        if len(set(value)) != len(value):
            raise NotAllowed("each column once")
        return {name: name for name in value}
    if isinstance(value, dict) and all(
        isinstance(name, str) for pair in value.items() for name in pair
    ):
        return value
    raise NotAllowed(
        "a column, a list of columns, or a mapping of own columns to those of the table"
    )


class AsOf(Strict):
    """Which rows of the feature table a row may know: those whose `table_column` is not later than
    the row's `column`.

    Without `column` it is the first moment of the row's slice. `tolerance`: how much older they may
    be.

    Attributes:
        table_column: the time of a row of the feature table.
        column: the time of our row; without it, the first moment of its slice.
        tolerance: how much older the table's row may be.
    """

    table_column: str
    column: str | None = None
    tolerance: Span | None = None


class Join(TableStep):
    """Fetches `columns` by key from a feature table; rows that find none get nulls, and a null in a
    key finds none.

    With `as_of` it is the newest row of the table that is not later than the row's time; of several
    of one moment, the one that is greatest by the columns fetched, in their order. Without, the
    table may have one row a key only.

    Attributes:
        table: a Delta table: a path below the lake, or a path or URI.
        on: columns that are equal in both.
        columns: of the feature table that are fetched.
        as_of: the newest row that was known at the time of our row.
        prefix: before the names of the columns fetched.
    """

    step: ClassVar[str] = "join"

    table: Place
    on: Annotated[
        dict[str, str],
        BeforeValidator(_pairs),
        Field(min_length=1),
        json_schema(
            "a column, a list of columns, or a mapping of own columns to those of the table",
            TEXT,
            TEXTS,
            {"type": "object", "additionalProperties": TEXT, "minProperties": 1},
        ),
    ]
    columns: Columns
    as_of: AsOf | None = None
    prefix: str = ""

    _types: dict[str, pa.DataType] = PrivateAttr(default_factory=dict)

    def uses(self) -> dict[str, tuple[str, ...]]:
        return {"on": tuple(self.on)}

    @property
    def by_slice(self) -> bool:
        """Whether a row's time is that of its slice."""
        return self.as_of is not None and self.as_of.column is None

    def know(self, types: Mapping[str, pa.DataType]) -> None:
        """Tells the step the columns of the feature table, which the pipeline file does not."""
        self._types.clear()
        self._types.update(types)

    def table_faults(self, fields: Mapping[str, pa.DataType]) -> list[str]:
        """What the feature table lacks of what the step needs of it, given the columns of the rows.

        Runs on: driver, after `know`.
        """
        theirs = self._types
        wanted = {"on": self.on.values(), "columns": self.columns}
        if self.as_of is not None:
            wanted["as_of.table_column"] = (self.as_of.table_column,)
        faults = [
            f"{parameter}: it has no such column: {among(name, theirs)}"
            for parameter, names in wanted.items()
            for name in names
            if name not in theirs
        ]
        for own, other in self.on.items():
            if own not in fields or other not in theirs:
                continue
            got, need = type_family(theirs[other]), type_family(fields[own])
            if got != need and need != "unknown":
                faults.append(
                    f"on: its column {other} is {got} ({theirs[other]}), but {own} is {need} "
                    f"({fields[own]})"
                )
        if self.as_of is not None:
            faults += [
                f"as_of.table_column: its column {name} is {type_family(theirs[name])} "
                f"({theirs[name]}); allowed: timestamp, date"
                for name in of_kind(theirs, [self.as_of.table_column], TIMES)
            ]
        return faults

    def wrong_types(
        self, fields: Mapping[str, pa.DataType]
    ) -> list[tuple[tuple[str | int, ...], str]]:
        problems: list[tuple[tuple[str | int, ...], str]] = [
            (
                ("on",),
                f"column {name} is {type_family(fields[name])} ({fields[name]}); allowed: "
                "numbers, text, dates, timestamps, booleans",
            )
            for name in of_kind(fields, self.on, PLAIN)
        ]
        if self.as_of is None or self.as_of.column is None:
            return problems
        own = self.as_of.column
        if own not in fields:
            problems.append(
                (("as_of", "column"), f"no such column at this step: {among(own, fields)}")
            )
        problems += [
            (
                ("as_of", "column"),
                f"column {name} is {type_family(fields[name])} ({fields[name]}); allowed: "
                "timestamp, date",
            )
            for name in of_kind(fields, [own], TIMES)
        ]
        return problems

    def leaks(self, target: str) -> list[tuple[tuple[str | int, ...], str]]:
        problems = super().leaks(target)
        if self.as_of is not None and self.as_of.column == target:
            problems.append(
                (("as_of", "column"), f"got {target}, the target: {self._why_no_target()}")
            )
        return problems

    def makes(self, fields: Mapping[str, pa.DataType]) -> Fields:
        import pyarrow as pa

        return {f"{self.prefix}{name}": self._types.get(name, pa.null()) for name in self.columns}

    def features(self, table: DataFrame) -> DataFrame:
        """The columns of the feature table that the step reads, under names that no table has; rows
        with nulls in them aside.

        Runs on: driver.
        """
        from pyspark.sql import functions as F

        keys = [
            named(theirs).alias(f"{_KEY}{number}") for number, theirs in enumerate(self.on.values())
        ]
        fetched = F.struct(
            *(named(name).alias(f"{self.prefix}{name}") for name in self.columns)
        ).alias(_THEIRS)
        moment = (
            []
            if self.as_of is None
            else [_microseconds(named(self.as_of.table_column)).alias(_MOMENT)]
        )
        return table.select(*keys, *moment, fetched).dropna(
            subset=[*self.key_names(), *([_MOMENT] if moment else [])]
        )

    def key_names(self) -> list[str]:
        """Names of the key columns of `features`."""
        return [f"{_KEY}{number}" for number in range(len(self.on))]

    def apply(self, rows: DataFrame, surroundings: Surroundings) -> DataFrame:
        from pyspark.sql import functions as F

        features = self.features(surroundings.tables[self.position])
        kept = rows.columns
        keyed = rows.withColumns(
            {key: named(own) for key, own in zip(self.key_names(), self.on, strict=True)}
        )
        if self.as_of is None:
            joined = keyed.join(features, self.key_names(), "left").withColumnRenamed(
                _THEIRS, _FOUND
            )
            known = named(REMOVED).isNull()
        else:
            joined, known = self._newest(keyed, features, self.as_of)
        made = [
            F.when(known, F.col(_FOUND)[f"{self.prefix}{name}"]).alias(f"{self.prefix}{name}")
            for name in self.columns
        ]
        return joined.select(*(named(name) for name in kept), *made)

    def _newest(
        self, keyed: DataFrame, features: DataFrame, as_of: AsOf
    ) -> tuple[DataFrame, Column]:
        """The rows, each with the feature row that stands last before it, and whether it may know
        that one.

        Rows and feature rows are put into one order of time, one key at a time: one sort, and no
        row is ever paired with all the feature rows of its key.
        """
        from pyspark.sql import Window
        from pyspark.sql import functions as F

        own_time = named(SLICE_MOMENT) if as_of.column is None else named(as_of.column)
        own = keyed.withColumn(_MOMENT, _microseconds(own_time)).withColumn(
            f"{HIDDEN}own", F.lit(True)
        )
        both = own.unionByName(features, allowMissingColumns=True)
        # A feature row of the same moment is not later than the row: it stands before it. Rows with
        # a null in their key are among themselves, because no feature row has one.
        is_own = F.coalesce(named(f"{HIDDEN}own"), F.lit(False))
        fetched = [
            _comparable(named(_THEIRS)[f"{self.prefix}{name}"], self._types.get(name))
            for name in self.columns
        ]
        window = Window.partitionBy(*map(named, self.key_names())).orderBy(
            named(_MOMENT), is_own, *fetched
        )
        window = window.rowsBetween(Window.unboundedPreceding, Window.currentRow)
        at = f"{HIDDEN}at"
        last = F.last(
            F.when(~is_own, F.struct(named(_MOMENT).alias(at), named(_THEIRS).alias(_THEIRS))),
            ignorenulls=True,
        )
        joined = both.withColumn(f"{HIDDEN}last", last.over(window)).where(is_own)
        joined = joined.withColumn(_FOUND, F.col(f"{HIDDEN}last")[_THEIRS])
        known = named(REMOVED).isNull() & named(_MOMENT).isNotNull()
        if as_of.tolerance is not None:
            known = known & (
                named(_MOMENT) - F.col(f"{HIDDEN}last")[at] <= span_us(as_of.tolerance)
            )
        return joined, known


def _microseconds(moment: Column) -> Column:
    """A time as microseconds since the epoch; a date is its first moment, UTC as the session is."""
    from pyspark.sql import functions as F

    return F.unix_micros(moment.cast("timestamp"))


def _comparable(column: Column, type_: pa.DataType | None) -> Column:
    from pyspark.sql import functions as F

    # Spark orders everything but maps.
    return F.to_json(column) if type_ is not None and type_family(type_) == "nested" else column
