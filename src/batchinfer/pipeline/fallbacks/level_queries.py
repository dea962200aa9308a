"""The queries of a pipeline's fallbacks: the two tables that they read, and what Spark says of them
before a row is read.

Runs on: driver, with Spark.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchinfer.config.shapes.fallback_levels import Fallback, FallbackLevel
from batchinfer.config.types import spark_name
from batchinfer.errors import ConfigError
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.fallbacks.derived_features import (
    lacking_columns,
    named_derivation,
    with_derived,
)
from batchinfer.pipeline.slices.landed import read_data
from batchinfer.spark.frames import bare_frame, quoted_name

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.errors import PySparkException
    from pyspark.sql import DataFrame, SparkSession

_PLACE = re.compile(r";?\s*\(?\bline \d+,? pos \d+\)?;?\s*$")
PREDICTIONS, FEATURES = "predictions", "features"


def check_levels(
    context: Context,
    fallback: Fallback,
    open_session: Callable[[], SparkSession],
    predictions: pa.Schema,
) -> None:
    """Holds the query of each level against the columns of its tables, by Spark's own analysis; no
    row is read.

    Args:
        fallback: the pipeline's.
        predictions: the columns that the predictions table is about to have.

    Raises:
        ConfigError: every query that Spark refuses, or whose columns cannot answer.
    """
    own = open_session().newSession()
    fields = [f"{quoted_name(field.name)} {spark_name(field.type)}" for field in predictions]
    data = read_data(context, None)
    features = bare_frame(own, data.table, data.version)
    queries = LevelQueries.over(
        context, fallback, own, own.createDataFrame([], ", ".join(fields)), features.limit(0)
    )
    problems: list[str] = []
    for place, level in enumerate(fallback.levels):
        try:
            queries.answers(level, place, 0)
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)


@dataclass(frozen=True)
class LevelQueries:
    """The queries of a pipeline's levels over two tables.

    Attributes:
        features: with the derived columns that a level names.
        lacking: columns that derived ones would be made of, and that features has not: there are
            no derived ones then.
    """

    context: Context
    spark: SparkSession
    predictions: DataFrame
    features: DataFrame
    lacking: Sequence[str]

    @classmethod
    def over(
        cls,
        context: Context,
        fallback: Fallback,
        spark: SparkSession,
        predictions: DataFrame,
        features: DataFrame,
    ) -> LevelQueries:
        """Gives the tables their names.

        Args:
            spark: a session of these queries alone.
        """
        derive = named_derivation(context.pipeline.derive, fallback)
        lacking = lacking_columns(derive, features.columns)
        if not lacking:
            features = with_derived(features, derive)
        predictions.createOrReplaceTempView(PREDICTIONS)
        features.createOrReplaceTempView(FEATURES)
        return cls(context, spark, predictions, features, lacking)

    def answers(self, level: FallbackLevel, place: int, most: int) -> pa.Table:
        """What a level's query gives, so many rows at most; none of them reads no row.

        Args:
            place: of the level, from 0.

        Raises:
            ConfigError: Spark refuses the query, or its columns cannot answer.
        """
        from pyspark.errors import PySparkException

        where = self.where(level, place)
        query = level.sql.strip().removesuffix(";")
        try:
            with _refusals_unlogged():
                # In brackets: a command, such as one that drops a table, would be obeyed.
                frame = self.spark.sql(f"select * from (\n{query}\n)")
                self._check_columns(frame.columns, level, where)
                return frame.limit(most).toArrow()
        except PySparkException as error:
            # An error of a row repeats its values, of whichever columns.
            said = self.context.sensitive.of_record(_first_line(error))
            told = f"{where}: Spark refuses the query: {said}{self._allowed(error)}"
            raise ConfigError(told) from error

    def where(self, level: FallbackLevel, place: int) -> str:
        """A level's place, for messages."""
        return f"{self.context.loaded.file}: fallback.levels[{place}] ({level.name})"

    def _check_columns(self, names: Sequence[str], level: FallbackLevel, where: str) -> None:
        given = ", ".join(names)
        if missing := [name for name in level.by if name not in names]:
            raise ConfigError(
                f"{where}: by: the query gives no column {missing[0]}; it gives {given}"
            )
        if set(names) <= set(level.by):
            raise ConfigError(
                f"{where}: the query gives {given} alone; allowed: at least one column that answers"
            )
        if len(set(names)) < len(names):
            raise ConfigError(f"{where}: the query gives {given}; allowed: each name once")

    def _allowed(self, error: PySparkException) -> str:
        condition = error.getCondition() or ""
        if condition == "TABLE_OR_VIEW_NOT_FOUND":
            return f"; allowed: {PREDICTIONS}, {FEATURES}"
        if not condition.startswith("UNRESOLVED_COLUMN"):
            return ""
        told = (
            f"; allowed: of {PREDICTIONS}: {', '.join(self.predictions.columns)}; of {FEATURES}: "
            f"{', '.join(self.features.columns)}"
        )
        if self.lacking:
            told += (
                f". {FEATURES} has no derived columns here, as they read "
                f"{', '.join(self.lacking)}, which has not landed"
            )
        return told


@contextmanager
def _refusals_unlogged() -> Generator[None]:
    """PySpark logs what it refuses with the trace of the JVM; the error says it in a sentence."""
    from pyspark.logger import PySparkLogger

    logger = PySparkLogger.getLogger("SQLQueryContextLogger")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def _first_line(error: Exception) -> str:
    """What is wrong, without the place in the text: that counts the bracket around the query."""
    return _PLACE.sub("", str(error).strip().splitlines()[0])[:500].strip()
