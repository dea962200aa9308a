"""Rows of a Spark frame, as Great Expectations' Spark engine judges them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from batchinfer.checks.judged_rows import is_json

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame
    from pyspark.sql.types import DataType


class SparkRows:
    """As `judged_rows.JudgedRows`; the frame is read by Spark jobs and never collected."""

    def __init__(self, frame: DataFrame) -> None:
        self.frame = frame
        self.columns: Sequence[str] = frame.columns

    @property
    def faults(self) -> tuple[type[Exception], ...]:
        from pyspark.errors import PySparkException

        return (PySparkException,)

    def with_frame(self, frame: DataFrame) -> SparkRows:
        return SparkRows(frame)

    def batches(self, context: Any, name: str) -> Any:
        # persist would cache the whole frame in the executors' memory, for a suite that reads it a
        # few times.
        source = context.data_sources.add_spark(name, persist=False)
        return source.add_dataframe_asset(name).add_batch_definition_whole_dataframe(name)

    def has(self, name: str) -> bool:
        return self._type_of(name) is not None

    def has_nan(self, name: str) -> bool:
        from pyspark.sql.types import DoubleType, FloatType

        return isinstance(self._type_of(name), DoubleType | FloatType)

    def is_text(self, name: str) -> bool:
        from pyspark.sql.types import StringType

        return isinstance(self._type_of(name), StringType)

    def told_type(self, name: str) -> str:
        found = self._type_of(name)
        return "" if found is None else found.simpleString()

    def nan(self, name: str) -> Column:
        from pyspark.sql import functions as F

        return F.coalesce(F.isnan(self._column(name)), F.lit(False))

    def null(self, name: str) -> Column:
        return self._column(name).isNull()

    def no_json(self, name: str) -> Column:
        from pyspark.sql import functions as F

        # Spark would ask the library's own function in the same pass, of the rows left out, too.
        judged = F.udf(is_json, "boolean", useArrow=False).asNondeterministic()
        return ~judged(self._column(name))

    def count(self, masks: Sequence[Column]) -> list[int]:
        """One Spark job."""
        from pyspark.sql import functions as F

        marks = [mask.alias(f"unfit_{place}") for place, mask in enumerate(masks)]
        counts = [F.count_if(F.col(f"unfit_{place}")) for place in range(len(masks))]
        return [int(count) for count in self.frame.select(*marks).agg(*counts).collect()[0]]

    def without(self, mask: Column) -> SparkRows:
        return SparkRows(self.frame.where(~mask))

    def is_empty(self) -> bool:
        return self.frame.isEmpty()

    def plain(self, found: Any) -> Any:
        return found

    def _column(self, name: str) -> Column:
        from pyspark.sql import functions as F

        return F.col("`" + name.replace("`", "``") + "`" if name in self.columns else name)

    def _type_of(self, name: str) -> DataType | None:
        """Type of a column, or of a field inside of one; None where there is none of this name."""
        from pyspark.sql.types import StructType

        found: DataType | None = self.frame.schema
        for part in [name] if name in self.columns else name.split("."):
            there = isinstance(found, StructType) and part in found.names
            found = found[part].dataType if there and isinstance(found, StructType) else None
        return found
