"""The rows of a pipeline's fallbacks: what the query of each level gives, and the answer of every
landed key that has no prediction.

Runs on: driver, with Spark.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from batchinfer.config.shapes.fallback_levels import FallbackLevel
from batchinfer.contracts import RUN_ID, SERVED, SLICE
from batchinfer.errors import ConfigError
from batchinfer.lookups.fallback_chain import ANSWERS, BY, LEVEL, OWN_LEVEL, ROW, by_text
from batchinfer.lookups.stores.stored_rows import stored_key
from batchinfer.lookups.told_rows import json_value
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.fallbacks.level_queries import LevelQueries
from batchinfer.pipeline.slices.landed import read_data
from batchinfer.pipeline.slices.slice_frames import table_frame
from batchinfer.spark.frames import quoted_name, version_frame

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

# What the driver holds, and what a service keeps beside its predictions.
MOST_ROWS = 1_000_000


def fallback_rows(
    context: Context, spark: SparkSession, version: int
) -> tuple[list[dict[str, Any]], str]:
    """The rows of the table of fallbacks, and the newest slice that they are computed from.

    Args:
        version: of the predictions table.

    Raises:
        ConfigError: a query that Spark refuses, columns that it does not give, several rows of a
            group, more rows than a driver holds.
    """
    assert context.pipeline.fallback is not None, "asked for by a pipeline that has levels"
    fallback = context.pipeline.fallback
    levels = fallback.levels
    own = spark.newSession()
    key = list(context.pipeline.source.key)
    predictions = _newest(version_frame(own, context.predictions, version), key, SERVED)
    queries = LevelQueries.over(context, fallback, own, predictions, _features(context, own, key))
    slice_ = predictions.agg({SLICE: "max"}).first()
    common = {
        "predictions_version": version,
        RUN_ID: context.run_id,
        "computed_at": dt.datetime.now(dt.timezone.utc),
    }
    rows: list[dict[str, Any]] = []
    groups: dict[str, dict[str, str]] = {}
    for place, level in enumerate(levels):
        groups[level.name] = _level_rows(queries, level, place)
        for by, row in groups[level.name].items():
            rows.append({LEVEL: level.name, BY: by, ANSWERS: level.name, ROW: row})
    rows += _own_answers(queries.features, predictions, key, levels, groups)
    if len(rows) > MOST_ROWS:
        raise ConfigError(
            f"{context.loaded.file}: fallback: its levels give {len(rows):,} rows; allowed: "
            f"{MOST_ROWS:,}, such as groups of keys and not the keys themselves"
        )
    newest = slice_[0] if slice_ is not None else None
    return [row | common for row in rows], newest or ""


def _newest(rows: DataFrame, key: Sequence[str], served: str | None = None) -> DataFrame:
    """The newest row of each key."""
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    if served is not None and served in rows.columns:
        rows = rows.where(F.col(served))
    if SLICE not in rows.columns:
        return rows
    order = Window.partitionBy(*map(quoted_name, key)).orderBy(F.col(SLICE).desc_nulls_last())
    number = "__batchinfer_number"
    return rows.withColumn(number, F.row_number().over(order)).where(f"{number} = 1").drop(number)


def _features(context: Context, spark: SparkSession, key: Sequence[str]) -> DataFrame:
    data = read_data(context, None)
    if data.fields is None:
        return _newest(version_frame(spark, data.table, data.version), key)
    return _newest(table_frame(spark, data.table, data.version, data.rules, data.files), key)


def _level_rows(queries: LevelQueries, level: FallbackLevel, place: int) -> dict[str, str]:
    """The answer of each group, as JSON."""
    where, found = queries.where(level, place), queries.answers(level, place, MOST_ROWS + 1)
    rows: dict[str, str] = {}
    for row in found.to_pylist(maps_as_pydicts="lossy"):
        values = [row[name] for name in level.by]
        if any(value is None for value in values):
            # Nobody can ask for it.
            continue
        group = by_text(values)
        if group in rows:
            of_group = queries.context.sensitive.row({name: row[name] for name in level.by})
            told = ", ".join(f"{name}={value}" for name, value in of_group.items()) or "all keys"
            raise ConfigError(
                f"{where}: the query gives several rows for {told}; allowed: one"
                + (", or columns in by that tell them apart" if not level.by else "")
            )
        rows[group] = json.dumps({name: json_value(value) for name, value in row.items()})
    return rows


def _own_answers(
    features: DataFrame,
    predictions: DataFrame,
    key: Sequence[str],
    levels: Sequence[FallbackLevel],
    groups: Mapping[str, Mapping[str, str]],
) -> list[dict[str, Any]]:
    """The answers of landed keys without a prediction, found by their own features: what a level
    without `by` says needs no row of its own.
    """
    usable = [level for level in levels if level.by and set(level.by) <= set(features.columns)]
    if not usable:
        return []
    columns = list(dict.fromkeys([*key, *(name for level in usable for name in level.by)]))
    alone = features.join(predictions.select(*map(quoted_name, key)), list(key), "left_anti")
    found = alone.select(*map(quoted_name, columns)).limit(MOST_ROWS + 1).toArrow()
    rows: list[dict[str, Any]] = []
    for row in found.to_pylist():
        for level in usable:
            values = [row[name] for name in level.by]
            if any(value is None for value in values):
                continue
            answer = groups[level.name].get(by_text(values))
            if answer is not None:
                own = stored_key([row[name] for name in key]).decode()
                rows.append({LEVEL: OWN_LEVEL, BY: own, ANSWERS: level.name, ROW: answer})
                break
    return rows
