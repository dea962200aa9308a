"""The plan of a run travels with the work, once, and not with each task."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import pytest

from batchinfer.inference.split_reading import Part, Split
from batchinfer.pipeline.scoring import scoring_task
from batchinfer.pipeline.scoring.scoring_task import ScoreSplits
from batchinfer.pipeline.scoring.task_plan import ScoringPlan
from batchinfer.pipeline.slices.reading import SliceSplit

TEXT = (
    "pipeline",
    "slice",
    "run_id",
    "predictions",
    "quarantine",
    "model_name",
    "model_version",
    "bundle_digest",
    "archive",
)
PLAN = ScoringPlan(
    **dict.fromkeys(TEXT, "x"), columns=("key", "f0"), key={"key": "bigint"}, inputs=("f0",),
    outputs={"score": "double"},
    source_table="t", source_version=3, scored_at_us=1, device="cpu", batch_rows=8, max_bytes=9,
    max_weight=9, timeout_s=1.0,
    threads=1, max_failures=1, modules="",
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
