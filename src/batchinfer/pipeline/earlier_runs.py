"""What earlier runs of a bundle tell about the next one: its batch size and how long it will take.

Read from the runs table, so that it holds for every machine that shares the lake. Advice only: without it a run does the same
work, and finds its batch size by itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from batchinfer.contracts import BUNDLE_DIGEST
from batchinfer.errors import StorageError
from batchinfer.pipeline.context import Context


def runs_of_bundle(context: Context, digest: str) -> list[dict[str, Any]]:
    """The last published run of each slice with this bundle, as rows of the runs table, oldest first.

    Runs on: driver, without Spark.
    """
    from batchinfer.sinks.runs import latest_runs

    try:
        runs = latest_runs(context.runs, context.name, "score").values()
    except StorageError:  # whoever needs the lake for more than advice will say so
        return []
    found = [run for run in runs if run[BUNDLE_DIGEST] == digest and run["exit_code"] == 0 and run["rows_in"]]
    return sorted(found, key=lambda run: run["started_at"])


def known_rates(context: Context, digest: str) -> dict[str, dict[str, float]]:
    """Rows per second by batch size, by device; of several runs the latest that measured a size counts.

    Runs on: driver, without Spark.
    """
    found: dict[str, dict[str, float]] = {}
    for run in runs_of_bundle(context, digest):
        for device, rates in json.loads(run["report"] or "{}").get("batch_rates", {}).items():
            found.setdefault(device, {}).update(rates)
    return found


def best_rows(rates: Mapping[str, float]) -> int | None:
    """The batch size of the greatest rate; None where none was measured."""
    return int(max(rates, key=lambda rows: rates[rows])) if rates else None


def estimated_seconds(context: Context, rows: int, digest: str) -> float | None:
    """Seconds that a run of so many rows will take, from the rate of earlier runs of this bundle; None before the first.

    Runs on: driver, without Spark.
    """
    runs = runs_of_bundle(context, digest)
    if not runs:
        return None
    # A run has a fixed part and a part a row; the quickest rate seen is nearest to the latter.
    return round(min(run["seconds"] for run in runs) * max(1.0, rows / max(run["rows_in"] for run in runs)), 1)
