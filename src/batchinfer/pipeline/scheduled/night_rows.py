"""The rows that nights leave in the runs table: one for each attempt that had loaded its pipeline.

Owns the command's name there, and since when nights have failed.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from typing import TYPE_CHECKING

from batchinfer.pipeline.definition.context import Context

if TYPE_CHECKING:
    from batchinfer.lake.runs import LatestRun

NIGHTLY = "nightly"
_LOOKS_BACK = 200


def newest_nights(context: Context, count: int) -> list[LatestRun]:
    """The attempts at a night of the pipeline that started last, the newest first.

    Runs on: driver, without Spark.
    """
    from batchinfer.lake.runs import newest_attempts

    return newest_attempts(context.runs, context.name, NIGHTLY, count)


def failing_since(context: Context, code: int | None = None) -> dt.datetime | None:
    """When the first attempt started of those that have failed since the last success; None where
    the latest one was a success, or where there was none.

    Args:
        code: only attempts that ended so, without another between them.

    Runs on: driver, without Spark.
    """
    since = None
    for night in newest_nights(context, _LOOKS_BACK):
        if not night.exit_code or code not in (None, night.exit_code):
            break
        since = night.started_at
    return since


def leaving_since(context: Context, left: Collection[str]) -> dt.datetime | None:
    """When the first night started of those in a row that have left some of these slices; None
    where the latest one has left none of them to the next.

    Runs on: driver, without Spark.
    """
    since = None
    for night in newest_nights(context, _LOOKS_BACK):
        # A night that did not come so far has left what the one before it has.
        if "left" in night.report and not set(left) & set(night.report["left"]):
            break
        since = night.started_at
    return since
