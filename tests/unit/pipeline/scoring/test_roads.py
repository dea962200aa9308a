"""The roads: what all tasks of a run share, how many they are, and that rows scored beside the
driver are as those that tasks scored.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from spark.projects import DAY, SmallProject, csv_of

from batchinfer.inference.road_choice import Road
from batchinfer.json_values import from_json, to_json
from batchinfer.pipeline.reuse.done_before import DoneBefore
from batchinfer.pipeline.scoring.resolved_inputs import ResolvedInputs, resolve_inputs
from batchinfer.pipeline.scoring.roads import _tasks, run_road, scoring_plan
from batchinfer.pipeline.scoring.task_plan import ScoringPlan
from batchinfer.pipeline.scoring.task_result import Rates

from ..one_process import OneProcess

RATES = Rates({"cpu, 1 thread": {256: 10.0}})


def inputs_of(project: SmallProject, *overrides: str) -> ResolvedInputs:
    return resolve_inputs(project.context(*overrides), DAY)


def plan_of(inputs: ResolvedInputs, **changed: Any) -> ScoringPlan:
    data = dataclasses.replace(inputs.data, **changed)
    return scoring_plan(dataclasses.replace(inputs, data=data), 1, "archive", RATES, "")


@pytest.mark.parametrize(
    ("rows", "workers", "tasks"),
    [
        (0, 8, 1), (1, 8, 1), (2_000, 8, 1), (2_001, 8, 2), (1_000_000, 8, 8),
        (2_000_000, 8, 8), (2_000_001, 8, 9), (25_000_000, 8, 100), (10_000, 1, 1),
    ],
)  # fmt: skip
def test_few_rows_are_few_tasks_and_many_are_more_than_workers(
    rows: int, workers: int, tasks: int
) -> None:
    assert _tasks(rows, workers) == tasks


def test_a_plan_reads_the_key_and_what_the_model_needs_and_nothing_else(
    ready: SmallProject,
) -> None:
    inputs = inputs_of(ready)
    plan = plan_of(inputs)
    assert plan.columns == ("color", "size", "source_file", "source_line")
    assert plan.key == {"source_file": "string", "source_line": "bigint"}
    assert set(plan.model.inputs) == {"color", "size"}
    assert plan.model.outputs == {"score": "double", "label": "string"}
    assert (plan.model.digest, plan.source_version, plan.slice) == (
        inputs.model.ref.digest,
        inputs.data.version,
        DAY,
    )
    assert from_json(ScoringPlan, to_json(plan)) == plan


def test_a_task_looks_for_rows_that_fail_as_far_as_the_run_could_pass(
    ready: SmallProject,
) -> None:
    inputs = inputs_of(ready, "checks.max_quarantine_rate=0.01")
    assert plan_of(inputs).model.max_failures == 1000, "of few rows all are looked for"
    assert plan_of(inputs, rows=10_000_000).model.max_failures == 100_001


def test_earlier_rates_count_only_where_the_size_is_to_be_found(ready: SmallProject) -> None:
    assert plan_of(inputs_of(ready)).model.known_rates == RATES
    fixed = plan_of(inputs_of(ready, "model.batch.rows=64", "model.deduplicate=never")).model
    assert (fixed.batch_rows, fixed.known_rates, fixed.deduplicate) == (64, Rates(), False)


def test_a_slice_of_no_files_is_sent_nowhere(ready: SmallProject) -> None:
    ready.write("in/a.csv", csv_of(range(0)))
    ready.extract("2026-11-22")
    inputs = resolve_inputs(ready.context(), "2026-11-22")
    spark: Any = None  # whatever is asked of it fails
    done = run_road(spark, dataclasses.replace(inputs, road=Road("direct", "")), [], DoneBefore())
    assert done.results == []


def test_a_bundle_is_sent_once_a_session(ready: SmallProject) -> None:
    spark, inputs = OneProcess(), inputs_of(ready)
    for _ in range(2):
        done = run_road(spark, inputs, [], DoneBefore())  # type: ignore[arg-type]
        assert sum(result.rows_in for result in done.results) == 40
    assert len(spark.sparkContext.listArchives) == 1
    assert done.equal_rows.startswith("only inside batches: no earlier run tells")


def test_rows_scored_beside_the_driver_are_those_that_tasks_score(ready: SmallProject) -> None:
    def scored() -> list[tuple[int, float, str]]:
        rows = ready.table("predictions").to_pylist()
        return sorted((row["source_line"], row["score"], row["label"]) for row in rows)

    ready.score()
    by_tasks = scored()
    ready.overrides = ()

    def no_session() -> None:
        raise AssertionError("a session was opened")

    ready.open_session = no_session
    report = ready.score(force=True)
    assert "rows are few" in report.road_reason and report.workers == 1
    here = scored()
    assert [(line, label) for line, _, label in here] == [
        (line, label) for line, _, label in by_tasks
    ]
    assert [score for _, score, _ in here] == pytest.approx([score for _, score, _ in by_tasks])
