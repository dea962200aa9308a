"""Fallbacks follow the predictions: computed anew where the table or the levels are others than
those they were made from.

Runs on: driver.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from batchinfer.errors import ConfigError, SliceHeld
from batchinfer.lake.leases import hold
from batchinfer.lake.snapshots import exists, table_version
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.fallbacks.fallback_rows import fallback_rows
from batchinfer.pipeline.fallbacks.fallback_table import (
    MadeFrom,
    levels_number,
    made_from,
    replace_fallbacks,
)

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def settle_fallbacks(context: Context, open_session: Callable[[], SparkSession]) -> list[str]:
    """Brings the fallbacks of a pipeline to what is published; returns warnings.

    Nothing where the pipeline has none, or where they are up to date. A run that dies before this
    leaves older ones, which the next one replaces.

    Raises:
        ConfigError: what a level's query gives cannot answer.
        StorageError: the lake cannot be written.
    """
    fallback = context.pipeline.fallback
    if fallback is None or not exists(context.predictions):
        return []
    wanted = MadeFrom(table_version(context.predictions), levels_number(fallback))
    if made_from(context) == wanted:
        return []
    try:
        with hold(
            context.environment.lake,
            f"{context.name}.fallbacks",
            None,
            context.run_id,
            what=f"the fallbacks of pipeline {context.name}",
        ):
            try:
                rows, newest = fallback_rows(context, open_session(), wanted.version)
            except ConfigError as error:
                told = "the predictions are published, and the former fallbacks stay as they are"
                raise ConfigError([*error.problems, told], error.hint) from error
            replace_fallbacks(context, rows, newest, wanted)
    except SliceHeld as held:
        return [f"{'; '.join(held.problems)}: the next run brings them up to date"]
    return []
