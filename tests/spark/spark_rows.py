"""What Spark itself says of expressions: their types, their values, and in which rows they err.

Spark ends a whole query at the first wrong row, so rows are asked one by one first: the optimized
expression is evaluated inside the JVM, row after row. Then one query gives the values of all
expressions in the rows that are right, through Spark's own execution.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_RULES = "org.apache.spark.sql.catalyst.optimizer."
_KEEPS_ERRORS = [
    "BooleanSimplification",
    "CombineConcats",
    "ConstantFolding",
    "ConstantPropagation",
    "FoldablePropagation",
    "LikeSimplification",
    "NullDownPropagation",
    "NullPropagation",
    "OptimizeIn",
    "PushFoldableIntoBranches",
    "ReorderAssociativeOperator",
    "ReplaceNullWithFalseInPredicate",
    "SimplifyBinaryComparison",
    "SimplifyCaseConversionExpressions",
    "SimplifyCasts",
    "SimplifyConditionals",
    "UnwrapCastInBinaryComparison",
]
"""Without these the optimizer computes an expression as it stands: with them it leaves out parts
whose value does not matter, and their errors with them.
"""


@dataclass(frozen=True)
class SparkAnswer:
    """Spark's view of one expression.

    Attributes:
        refused: the first line of what Spark's analysis said; None: nothing.
        values: one a row, null in wrong rows; None if refused.
        errors: what is wrong, by row.
    """

    refused: str | None
    values: pa.Array | None
    errors: dict[int, str]


@contextmanager
def ansi(spark: SparkSession, as_written: bool = True) -> Iterator[None]:
    """Spark in ANSI mode and UTC; `as_written`: without the rules that leave out errors."""
    settings = {
        "spark.sql.ansi.enabled": "true",
        "spark.sql.session.timeZone": "UTC",
        # What stands twice, and what `between` tests, would be computed before anything else, also
        # in rows that do not ask for it.
        "spark.sql.subexpressionElimination.enabled": "false",
        "spark.sql.alwaysInlineCommonExpr": "true",
    }
    if as_written:
        settings["spark.sql.optimizer.excludedRules"] = ",".join(map(_RULES.__add__, _KEEPS_ERRORS))
    before = {name: spark.conf.get(name, None) for name in settings}
    for name, value in settings.items():
        spark.conf.set(name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                spark.conf.unset(name)
            else:
                spark.conf.set(name, value)


class SparkRows:
    """A table in a Parquet file, about which Spark is asked."""

    def __init__(self, spark: SparkSession, table: pa.Table, folder: Path) -> None:
        self._spark = spark
        self.count = table.num_rows
        numbered = table.append_column("row_number", pa.array(range(self.count), pa.int32()))
        pq.write_table(numbered, folder / "rows.parquet")
        self._frame = spark.read.parquet(str(folder / "rows.parquet"))
        self._frame_rows = self._frame._jdf.queryExecution().executedPlan().executeCollect()
        self._catalyst = spark._jvm.org.apache.spark.sql.catalyst.expressions

    def ask(self, expressions: Sequence[str]) -> list[SparkAnswer]:
        """All expressions; inside of `ansi`."""
        refused: dict[int, str] = {}
        errors: dict[int, dict[int, str]] = {}
        together = self._planned(expressions)
        for place, text in enumerate(expressions):
            try:
                planned = together[place] if together else None
                errors[place] = self._errors(text, planned)
            except PySparkException as error:
                refused[place] = str(error).splitlines()[0] if str(error) else type(error).__name__
        values = self.values({place: expressions[place] for place in errors}, errors)
        return [
            SparkAnswer(refused[place], None, {})
            if place in refused
            else SparkAnswer(None, values[place], errors[place])
            for place in range(len(expressions))
        ]

    def values(
        self, texts: dict[int, str], errors: dict[int, dict[int, str]]
    ) -> dict[int, pa.Array]:
        """The values of expressions in the rows in which they do not err."""
        selected = []
        for place, text in texts.items():
            wrong = ", ".join(map(str, errors[place])) or "-1"
            selected.append(f"case when row_number not in ({wrong}) then {text} end as e{place}")
        made = self._frame.orderBy("row_number").selectExpr("row_number", *selected).toArrow()
        return {place: made[f"e{place}"].combine_chunks() for place in texts}

    def _planned(self, texts: Sequence[str]) -> list[Any] | None:
        """The optimized expressions, ready for rows; None: not all of them can be had so."""
        try:
            frame = self._frame.selectExpr(*(f"{text} as x{i}" for i, text in enumerate(texts)))
            plan = frame._jdf.queryExecution().optimizedPlan()
            if plan.nodeName() != "Project" or plan.child().nodeName() == "Project":
                return None
            output = getattr(self._catalyst, "package$AttributeSeq")(plan.child().output())
            bind = self._catalyst.BindReferences.bindReference
            listed = plan.projectList()
            return [bind(listed.apply(i).child(), output, False) for i in range(len(texts))]
        except (PySparkException, Py4JJavaError):
            return None

    def _errors(self, text: str, planned: Any) -> dict[int, str]:
        if planned is None:
            self._frame.selectExpr(f"{text} as x")
            alone = self._planned([text])
            if alone is None:
                return self._errors_of_queries(text)
            planned = alone[0]
        return {
            row: told
            for row in range(self.count)
            if (told := self._error_of(planned, self._frame_rows[row])) is not None
        }

    def _error_of(self, bound: Any, row: Any) -> str | None:
        try:
            bound.eval(row)
        except PySparkException as error:
            return str(error).splitlines()[0]
        except Py4JJavaError as error:
            return str(error.java_exception).splitlines()[0]
        return None

    def _errors_of_queries(self, text: str) -> dict[int, str]:
        errors: dict[int, str] = {}
        for row in range(self.count):
            one = self._frame.where(f"row_number = {row}").selectExpr(f"{text} as x")
            try:
                one.toArrow()
            except PySparkException as error:
                errors[row] = str(error).splitlines()[0]
        return errors
