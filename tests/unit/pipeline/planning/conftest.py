"""Projects whose slices are days of their data, with prices, and runs that were measured."""

from __future__ import annotations

import datetime as dt
import json

import pytest

from batchinfer.lake.runs import append_run
from batchinfer.pipeline.definition.context import Context

from ..nights.conftest import NightProject, dated_and_learned, nights

__all__ = ["dated_and_learned", "nights", "priced"]
DAYS = ("2026-11-18", "2026-11-19", "2026-11-20")


@pytest.fixture
def priced(nights: NightProject) -> NightProject:
    """Three days have landed, of 40, 5 and 8 rows; none of them is scored."""
    nights.overrides = ("model.road=direct",)
    nights.edit("checks:", "prices: {cpu_hour: 3600}\nchecks:")
    nights.land(DAYS[1], range(5))
    nights.land(DAYS[2], range(8))
    nights.extract(None)
    return nights


def measure(
    context: Context,
    seconds: float,
    *,
    rows: int = 40,
    slice_: str = "2026-10-01",
    **report: object,
) -> None:
    """Records a run with the model that would score, which took so long; all of it inference."""
    append_run(
        context.runs,
        {
            "run_id": f"run-{slice_}",
            "pipeline": context.name,
            "command": "score",
            "slice": slice_,
            "exit_code": 0,
            "started_at": dt.datetime(2026, 10, 1, tzinfo=dt.timezone.utc),
            "seconds": seconds,
            "bundle_digest": context.registry.resolve(context.pipeline.model.uri).digest,
            "rows_in": rows,
            "report": json.dumps({"stage_seconds": {"inference": seconds}} | report),
        },
    )
