"""Steps that look at earlier rows: `forward_fill`, `lag` and `rolling`.

"Earlier" is by `order` among the rows of the same `by` (null is a value of its own there), in the
row's slice and in all that sort before it. A row whose `order` is null has no place among them: it
gets no value, and no other row sees it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, get_args

from pydantic import BeforeValidator, Field

from batchinfer.config.fields import Flag, Positive
from batchinfer.config.shapes.described import WHOLE_FROM_1, one_or_more
from batchinfer.prepare.removal import not_plain
from batchinfer.prepare.spans import Window, span_us
from batchinfer.prepare.table_step import (
    HIDDEN,
    NUMBERS,
    PLACED,
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
    from pyspark.sql import Column, DataFrame, WindowSpec

_MOMENT = f"{HIDDEN}moment"
Statistic = Literal["mean", "sum", "min", "max", "std", "count", "median"]


def _listed(value: Any) -> Any:
    return value if isinstance(value, (list, tuple)) else [value]


class _LookBack(TableStep):
    """What the three share.

    Attributes:
        columns: whose earlier values are looked at.
        order: columns that tell which rows are earlier.
        by: rows with the same values here belong together; without it, all do.
    """

    looks_back: ClassVar[bool] = True

    columns: Columns
    order: Columns
    by: Columns = ()

    def uses(self) -> dict[str, tuple[str, ...]]:
        return {"columns": self.columns, "by": self.by, "order": self.order}

    def wrong_types(
        self, fields: Mapping[str, pa.DataType]
    ) -> list[tuple[tuple[str | int, ...], str]]:
        return not_plain(self, fields)

    def leaks(self, target: str) -> list[tuple[tuple[str | int, ...], str]]:
        return [
            problem
            for problem in super().leaks(target)
            if problem[0] != ("columns",) or not self.strictly_earlier
        ]

    @property
    def strictly_earlier(self) -> bool:
        """Whether a row's result depends on earlier rows only, so that the target itself may be
        looked back at.
        """
        return False

    @property
    def mark(self) -> str:
        """The hidden column that says which rows have a place in the order."""
        return f"{PLACED}_{'_'.join(self.order)}"

    def placed(self, rows: DataFrame) -> DataFrame:
        """The rows with that column; where an earlier step left it, Spark finds them grouped and
        sorted already.
        """
        if self.mark in rows.columns:
            return rows
        place = named(REMOVED).isNull()
        for name in self.order:
            place = place & named(name).isNotNull()
        return rows.withColumn(self.mark, place)

    def ordered(self, ties: tuple[str, ...]) -> WindowSpec:
        """The earlier rows of a row, in one order whatever order they are read in."""
        from pyspark.sql import Window as SparkWindow

        own = [named(name) for name in (*self.order, *ties)]
        return SparkWindow.partitionBy(
            *(named(name) for name in self.by), named(self.mark)
        ).orderBy(*own)


class ForwardFill(_LookBack):
    """Fills what is missing in `columns` with the last value before it; `limit` is how many rows
    back that may be.

    Attributes:
        limit: rows back that a value may be from; without it, any number.
    """

    step: ClassVar[str] = "forward_fill"

    limit: Positive | None = None

    def changes(self) -> tuple[str, ...]:
        return self.columns

    def _why_no_target(self) -> str:
        return "filled in, it would be learned as if it had been measured; allowed: other columns"

    def apply(self, rows: DataFrame, surroundings: Surroundings) -> DataFrame:
        from pyspark.sql import Window as SparkWindow
        from pyspark.sql import functions as F

        first = SparkWindow.unboundedPreceding if self.limit is None else -self.limit
        window = self.ordered(surroundings.ties).rowsBetween(first, SparkWindow.currentRow)
        rows = self.placed(rows)
        types = dict(rows.dtypes)
        filled = {
            name: F.when(
                named(self.mark), F.last(_present(name, types[name]), ignorenulls=True).over(window)
            ).otherwise(named(name))
            for name in self.columns
        }
        return rows.withColumns(filled)


class Lag(_LookBack):
    """The value of `columns` so many rows before, as `<column>_lag_<n>`: rows, not hours, so gaps
    in time are not seen.

    Attributes:
        periods: how many rows back; each makes a column.
    """

    step: ClassVar[str] = "lag"

    periods: Annotated[
        tuple[Positive, ...],
        BeforeValidator(_listed),
        Field(min_length=1),
        one_or_more("a whole number from 1 up, or a list of them", WHOLE_FROM_1),
    ] = (1,)

    @property
    def strictly_earlier(self) -> bool:
        return True

    def makes(self, fields: Mapping[str, pa.DataType]) -> Fields:
        import pyarrow as pa

        periods = dict.fromkeys(self.periods)
        return {
            f"{name}_lag_{count}": fields.get(name, pa.null())
            for name in self.columns
            for count in periods
        }

    def apply(self, rows: DataFrame, surroundings: Surroundings) -> DataFrame:
        from pyspark.sql import functions as F

        window = self.ordered(surroundings.ties)
        made = {
            f"{name}_lag_{count}": F.when(named(self.mark), F.lag(named(name), count).over(window))
            for name in self.columns
            for count in dict.fromkeys(self.periods)
        }
        return self.placed(rows).withColumns(made)


class Rolling(_LookBack):
    """Statistics of the last rows, as `<column>_<statistic>_<window>`; missing values are left out
    of them.

    `window` is a number of rows, the row's own among them, or a span that ends with the row: `24h`
    before it, its own moment included, the moment 24 hours earlier not. With `include_current:
    false` it ends before the row: so many rows before it, or the moments from 24 hours earlier up
    to, and without, its own. Fewer rows than that are no error: at the beginning there are fewer.
    `std` is of a sample (n - 1), and missing for one value; of no values `count` is 0 and all else
    is missing.

    Attributes:
        window: a number of rows, or a span of time that ends with the row.
        statistic: what is computed of the window; each makes a column.
        include_current: the row itself is part of the window.
    """

    step: ClassVar[str] = "rolling"

    window: Window
    statistic: Annotated[
        tuple[Statistic, ...],
        BeforeValidator(_listed),
        Field(min_length=1),
        one_or_more(
            f"{', '.join(get_args(Statistic))}, or a list of them",
            {"enum": list(get_args(Statistic))},
        ),
    ] = ("mean",)
    include_current: Flag = True

    @property
    def strictly_earlier(self) -> bool:
        return not self.include_current

    def _why_no_target(self) -> str:
        return (
            "a window that holds the row itself would tell the answer; allowed for the target: "
            "include_current: false"
        )

    def wrong_types(
        self, fields: Mapping[str, pa.DataType]
    ) -> list[tuple[tuple[str | int, ...], str]]:
        problems = super().wrong_types(fields)
        problems += [
            (
                ("columns",),
                f"column {name} is {type_family(fields[name])} ({fields[name]}); allowed: columns "
                "of numbers",
            )
            for name in of_kind(fields, self.columns, NUMBERS)
        ]
        if isinstance(self.window, int):
            return problems
        if len(self.order) != 1:
            problems.append(
                (("order",), f"got {len(self.order)} columns; allowed with a window of time: one")
            )
        return problems + [
            (
                ("order",),
                f"column {name} is {type_family(fields[name])} ({fields[name]}); allowed with a "
                "window of time: timestamp, date",
            )
            for name in of_kind(fields, self.order[:1], TIMES)
        ]

    def makes(self, fields: Mapping[str, pa.DataType]) -> Fields:
        return {
            f"{name}_{statistic}_{self.window}": _result_type(statistic, fields.get(name))
            for name in self.columns
            for statistic in dict.fromkeys(self.statistic)
        }

    def apply(self, rows: DataFrame, surroundings: Surroundings) -> DataFrame:
        from pyspark.sql import functions as F

        rows = self.placed(rows)
        types = dict(rows.dtypes)
        if isinstance(self.window, int):
            bounds = (1 - self.window, 0) if self.include_current else (-self.window, -1)
            window = self.ordered(surroundings.ties).rowsBetween(*bounds)
        else:
            rows, window = self._spanning(rows, surroundings.ties, span_us(self.window))
        made = {
            f"{name}_{statistic}_{self.window}": F.when(
                named(self.mark), _aggregate(statistic, _present(name, types[name])).over(window)
            )
            for name in self.columns
            for statistic in dict.fromkeys(self.statistic)
        }
        return rows.withColumns(made).drop(_MOMENT)

    def _spanning(
        self, rows: DataFrame, ties: tuple[str, ...], span: int
    ) -> tuple[DataFrame, WindowSpec]:
        """The rows with their moment in microseconds, and a window over a span of it.

        A window by range takes one column of order, which leaves rows of one moment in any order,
        and sums of fractions depend on that in their last digits. So the rows are put into one
        order before, which Spark then finds sorted already.
        """
        from pyspark.sql import Window as SparkWindow
        from pyspark.sql import functions as F

        moment = F.unix_micros(named(self.order[0]).cast("timestamp"))
        groups = [*(named(name) for name in self.by), named(self.mark)]
        rows = rows.withColumn(_MOMENT, moment).repartition(*groups)
        rows = rows.sortWithinPartitions(*groups, named(_MOMENT), *(named(name) for name in ties))
        bounds = (1 - span, 0) if self.include_current else (-span, -1)
        return rows, SparkWindow.partitionBy(*groups).orderBy(named(_MOMENT)).rangeBetween(*bounds)


def _present(name: str, type_: str) -> Column:
    """The column with NaN as null: both are missing."""
    from pyspark.sql import functions as F

    column = named(name)
    return F.when(~F.isnan(column), column) if type_ in ("float", "double") else column


def _aggregate(statistic: str, column: Column) -> Column:
    from pyspark.sql import functions as F

    if statistic == "median":
        # Not `median`: Spark takes that over no window that has an order.
        return F.percentile(column.cast("double"), F.lit(0.5))
    if statistic in ("mean", "std"):
        return (F.avg if statistic == "mean" else F.stddev_samp)(column.cast("double"))
    return {"sum": F.sum, "min": F.min, "max": F.max, "count": F.count}[statistic](column)


def _result_type(statistic: str, type_: pa.DataType | None) -> pa.DataType:
    import pyarrow as pa

    if statistic == "count":
        return pa.int64()
    if statistic in ("mean", "std", "median"):
        return pa.float64()
    if type_ is None or pa.types.is_null(type_) or statistic in ("min", "max"):
        return type_ or pa.null()
    return pa.int64() if pa.types.is_integer(type_) else pa.float64()
