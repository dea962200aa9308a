"""Steps that remove rows: `deduplicate` and `filter`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from batchinfer.prepare.filter_sql import rule_faults, rule_words
from batchinfer.prepare.table_step import (
    PLAIN,
    REMOVED,
    SLICE_NAME,
    Columns,
    Surroundings,
    TableStep,
    TableStepProblem,
    named,
    of_kind,
    type_family,
)

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame

_DUPLICATE = "duplicate"
_NAME_LENGTH = 60


class Deduplicate(TableStep):
    """Keeps one row of each slice for each combination of `by`; null equals null there, as in
    `SELECT DISTINCT`.

    Which one is kept: the first by `order`, or the last; rows that have no `order` stand behind
    those that have one. Without `order` it is the row's place: file, line, key.

    Attributes:
        by: columns of which each combination is kept once in a slice.
        order: columns that tell which row is first; without it file, line and key.
        keep: which row is kept.
    """

    step: ClassVar[str] = "deduplicate"
    removes: ClassVar[bool] = True

    by: Columns
    order: Columns | None = None
    keep: Literal["first", "last"] = "first"

    def uses(self) -> dict[str, tuple[str, ...]]:
        return {"by": self.by, "order": self.order or ()}

    def wrong_types(
        self, fields: Mapping[str, pa.DataType]
    ) -> list[tuple[tuple[str | int, ...], str]]:
        return not_plain(self, fields)

    def reasons(self) -> dict[str, str]:
        which = "" if self.order is None else f" by {', '.join(self.order)}"
        return {
            _DUPLICATE: f"another row of the slice has the same {', '.join(self.by)}, and the "
            f"{self.keep} one{which} is kept"
        }

    def mends(self, key: tuple[str, ...]) -> bool:
        """Whether the rows that remain have a key that repeats in no slice."""
        return set(self.by) <= set(key)

    def apply(self, rows: DataFrame, surroundings: Surroundings) -> DataFrame:
        from pyspark.sql import Window
        from pyspark.sql import functions as F

        own = [named(name) for name in self.order or ()]
        first = self.keep == "first"
        order = [column.asc_nulls_last() if first else column.desc_nulls_last() for column in own]
        order += [
            named(name).asc_nulls_first() if first else named(name).desc_nulls_last()
            for name in surroundings.ties
        ]
        remains = named(REMOVED).isNull()
        window = Window.partitionBy(
            named(SLICE_NAME), *(named(name) for name in self.by), remains
        ).orderBy(*order)
        again = remains & (F.row_number().over(window) > 1)
        return rows.withColumn(REMOVED, F.when(again, F.lit(_DUPLICATE)).otherwise(named(REMOVED)))


class Filter(TableStep):
    """Keeps the rows of which `rule`, a boolean SQL expression, is true; null is not true.

    Attributes:
        rule: a boolean SQL expression over the columns of the row.
        name: of the rule, in the reason of quarantined rows; without it, the rule's own text.
    """

    step: ClassVar[str] = "filter"
    removes: ClassVar[bool] = True

    rule: str
    name: str | None = None

    @property
    def reason(self) -> str:
        """`rule:<name>`; without a name, the rule's own words."""
        text = self.name or " ".join(self.rule.split())
        return f"rule:{text if len(text) <= _NAME_LENGTH else text[: _NAME_LENGTH - 2] + ' …'}"

    def uses(self) -> dict[str, tuple[str, ...]]:
        return {}

    def wrong_types(
        self, fields: Mapping[str, pa.DataType]
    ) -> list[tuple[tuple[str | int, ...], str]]:
        return [(("rule",), fault) for fault in rule_faults(self.rule, fields)]

    def leaks(self, target: str) -> list[tuple[tuple[str | int, ...], str]]:
        if target.lower() not in (word.lower() for word in rule_words(self.rule)):
            return []
        return [
            (
                ("rule",),
                f"got {target}, the target: rows to be scored have none yet; "
                "allowed: other columns",
            )
        ]

    def reasons(self) -> dict[str, str]:
        return {self.reason: f"the rule is not true of the row: {self.rule}"}

    def apply(self, rows: DataFrame, surroundings: Surroundings) -> DataFrame:
        from pyspark.errors import AnalysisException, ParseException
        from pyspark.sql import functions as F

        allowed = "allowed: a boolean SQL expression of the row's own columns"
        try:
            found = rows.select(F.expr(self.rule)).schema[0].dataType.simpleString()
            if found not in ("boolean", "void"):
                raise TableStepProblem(
                    [(("rule",), f"got {self.rule!r}, which is of type {found}; {allowed}")]
                )
            broken = named(REMOVED).isNull() & ~F.coalesce(F.expr(self.rule), F.lit(False))
            return rows.withColumn(
                REMOVED, F.when(broken, F.lit(self.reason)).otherwise(named(REMOVED))
            )
        except (AnalysisException, ParseException) as error:
            fact = " ".join(str(error).split("SQLSTATE")[0].split())
            raise TableStepProblem(
                [(("rule",), f"got {self.rule!r}, which Spark refuses: {fact}; {allowed}")]
            ) from error


def not_plain(
    step: TableStep, fields: Mapping[str, pa.DataType]
) -> list[tuple[tuple[str | int, ...], str]]:
    """Columns among `by` and `order` of a step that have no order: lists, maps, structs."""
    used = {
        parameter: names for parameter, names in step.uses().items() if parameter in ("by", "order")
    }
    return [
        (
            (parameter,),
            f"column {name} is {type_family(fields[name])} ({fields[name]}); allowed: numbers, "
            "text, dates, timestamps, booleans",
        )
        for parameter, names in used.items()
        for name in of_kind(fields, names, PLAIN)
    ]
