"""The plan of a run travels with the work, once, and not with each task."""

from __future__ import annotations

import datetime as dt
import pickle
from collections.abc import Iterator
from typing import Any

import pytest
from spark.projects import DAY

from batchinfer.inference.split_reading import Part, Split
from batchinfer.pipeline.scoring import scoring_task
from batchinfer.pipeline.scoring.scoring_task import ScoreSplits
from batchinfer.pipeline.scoring.task_plan import ModelPlan, ScoringPlan
from batchinfer.pipeline.slices.reading import SliceSplit

MODEL = ModelPlan(
    "m", "1", "digest", "archive", inputs=("f0",), outputs={"score": "double"}, device="cpu",
    batch_rows=8, max_bytes=9, max_weight=9, timeout_s=1.0, max_failures=1,
)  # fmt: skip
PLAN = ScoringPlan(
    "pipeline", DAY, "run", "predictions", "quarantine", columns=("key", "f0"),
    key={"key": "bigint"}, source_table="t", source_version=3,
    scored_at=dt.datetime(2026, 11, 21, tzinfo=dt.timezone.utc), model=MODEL, threads=1, modules="",
)  # fmt: skip


class FakeTask:
    def __init__(self, plan: ScoringPlan) -> None:
        self.plan = plan

    def run(self, batches: Any) -> dict[str, Any]:
        return {"plan": self.plan, "rows": list(batches)}


def test_a_task_is_the_split_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(split: SliceSplit, columns: Any) -> Iterator[Any]:
        yield split, columns

    monkeypatch.setattr(scoring_task, "ScoringTask", FakeTask)
    monkeypatch.setattr(scoring_task, "read_rows", read)
    work = pickle.loads(pickle.dumps(ScoreSplits(PLAN)))
    split = SliceSplit(Split((Part("a"),), 1, 1))
    assert list(work(split)) == [{"plan": PLAN, "rows": [(split, ("key", "f0"))]}]
