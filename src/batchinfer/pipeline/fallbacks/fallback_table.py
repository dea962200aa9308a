"""The table of a pipeline's fallbacks: its columns, what it was made of, the commit that replaces
it.

Runs on: driver, without Spark.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from batchinfer.contracts import KEY_PROPERTY, RUN_ID, SLICE, commented
from batchinfer.json_values import to_json
from batchinfer.lookups.fallback_chain import ANSWERS, BY, KEY, LEVEL, ROW

if TYPE_CHECKING:
    import pyarrow as pa

    from batchinfer.config.shapes.fallback_levels import Fallback
    from batchinfer.pipeline.definition.context import Context

_OF_VERSION, _OF_LEVELS = "fallbacks:predictions", "fallbacks:levels"


@dataclass(frozen=True)
class MadeFrom:
    """What a table of fallbacks was made from: a version of the predictions, and the levels."""

    version: int
    levels: int


def levels_number(fallback: Fallback) -> int:
    """A number that tells levels apart that give other rows."""
    digest = hashlib.sha256(to_json(list(fallback.levels)).encode()).digest()
    return int.from_bytes(digest[:6], "big")


def made_from(context: Context) -> MadeFrom | None:
    """What the table is made from now; None: there is none.

    Raises:
        StorageError: its log cannot be read.
    """
    from batchinfer.lake.log import read_transactions
    from batchinfer.lake.snapshots import exists

    if not exists(context.fallbacks):
        return None
    known = read_transactions(context.fallbacks)
    if _OF_VERSION not in known:
        return None
    return MadeFrom(known[_OF_VERSION], known[_OF_LEVELS])


def fallback_schema() -> pa.Schema:
    """Schema of the table."""
    import pyarrow as pa

    return pa.schema(
        [
            commented(LEVEL, pa.string(), "The level; = for what was found for one key."),
            commented(BY, pa.string(), "The values that the level's rows are told apart by."),
            commented(SLICE, pa.string(), "The newest slice it was computed from."),
            commented(ANSWERS, pa.string(), "The level whose row this is."),
            commented(ROW, pa.string(), "The answer, as JSON."),
            commented("predictions_version", pa.int64(), "Version of the predictions table."),
            commented(RUN_ID, pa.string(), "The run that computed the row."),
            commented("computed_at", pa.timestamp("us", tz="UTC"), "When it did, UTC."),
        ]
    )


def replace_fallbacks(
    context: Context, rows: Sequence[Mapping[str, Any]], slice_: str, made: MadeFrom
) -> int:
    """Puts rows in place of all that the table has; returns the version.

    Args:
        slice_: the newest that they were computed from.

    Raises:
        StorageError: the lake cannot be written.
    """
    from batchinfer.lake.delta import ensure_table
    from batchinfer.lake.small_tables import replace_all_rows

    place, schema = context.fallbacks, fallback_schema()
    ensure_table(
        place,
        schema,
        [SLICE],
        f"What answers for keys of pipeline {context.name} that have no fresh prediction.",
        stats_columns=list(KEY),
        configuration={KEY_PROPERTY: ",".join(KEY)},
    )
    return replace_all_rows(
        place,
        schema,
        rows,
        partition={SLICE: slice_},
        stats_columns=list(KEY),
        transactions={_OF_VERSION: made.version, _OF_LEVELS: made.levels},
        run_id=context.run_id,
        command="score",
    )
