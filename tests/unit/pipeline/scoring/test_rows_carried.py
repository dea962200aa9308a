"""Rows that are carried over, without a session: beside the driver, and by tasks that build the
index; what is left of an index, and what the plan says.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from spark.projects import DAY, SmallProject, csv_of

from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.plan import plan_slice
from batchinfer.pipeline.reuse.carried_rows import open_index
from batchinfer.pipeline.reuse.known_index import (
    AnsweringModel,
    BuildParts,
    BuiltPart,
    IndexPlan,
    KnownIndex,
    PartFiles,
    answering_files,
    build_part,
)
from batchinfer.pipeline.reuse.reuse_choice import AnsweredSlice
from batchinfer.pipeline.scoring.opened_model import OpenedModel
from batchinfer.pipeline.scoring.published import read_published
from batchinfer.pipeline.scoring.task_result import Rates
from batchinfer.spark.tasks import Work, run_tasks

HOLDS = """
import sys, time
from batchinfer.lake.leases import hold
lake, run = sys.argv[1:]
with hold(lake, "small", "2026-11-20", run):
    print("held", flush=True)
    time.sleep(60)
"""
ALONE = "model.deduplicate=never"


def add_rows(project: SmallProject) -> None:
    """Two more rows, in a file of their own: the slice is stale."""
    project.write("in/b.csv", csv_of(range(40, 42)))
    project.extract()


def scores(project: SmallProject) -> dict[tuple[str, int], float]:
    rows = project.table("predictions").to_pylist()
    return {(row["source_file"], row["source_line"]): row["score"] for row in rows}


def test_few_rows_beside_the_driver_are_carried_over(ready: SmallProject) -> None:
    """In a process that loads the model, without a session."""
    beside = SmallProject(ready.root, ready.open_session)
    first = beside.score(DAY, ALONE)
    assert first.road_reason.startswith("40 rows are few") and first.rows_carried == 0
    assert first.reuse == "no: nothing is published that this model has scored"
    add_rows(beside)
    before = scores(beside)
    run = beside.score(DAY, ALONE)
    assert run.road_reason.startswith("42 rows are few")
    assert (run.rows_in, run.rows_scored, run.rows_carried, run.rows_reused) == (42, 2, 40, 40)
    assert run.reuse.endswith("to look them up costs next to nothing")
    rows = beside.table("predictions").to_pylist()
    assert sorted(row["run_id"] for row in rows) == [first.run_id] * 40 + [run.run_id] * 2
    assert before.items() <= scores(beside).items()
    assert (beside.states(), beside.score().status) == ({DAY: "published"}, "unchanged")


def test_the_plan_says_what_the_run_then_says(ready: SmallProject) -> None:
    assert plan_slice(ready.context(), DAY)["reuse"].startswith("no: nothing is published")
    ready.score()
    assert "reuse" not in plan_slice(ready.context(), DAY), "nothing would be scored"
    add_rows(ready)
    for way in ("auto", "always", "never"):
        asked = f"model.reuse={way}"
        plan = plan_slice(ready.context(asked), DAY)
        assert plan["reuse"].startswith("no: " if way == "never" else "yes")
    assert plan_slice(ready.context(), DAY)["reuse"] == ready.score(DAY).reuse


def plan_of(context: Context, digest: str) -> tuple[IndexPlan, list[str]]:
    """What tasks share, and the published files."""
    table = Path(context.predictions)
    files = [str(path.relative_to(table)) for path in sorted(table.rglob("*.parquet"))]
    Path(context.looked_up).mkdir(parents=True, exist_ok=True)
    model = AnsweringModel(digest, {"score": "double", "label": "string"})
    return IndexPlan(str(table), model, context.looked_up, context.run_id), files


def test_tasks_that_build_a_part_each_have_all_rows_together(ready: SmallProject) -> None:
    """As for many rows, which this process does not read itself."""
    first = ready.score(DAY, ALONE)
    add_rows(ready)
    ready.score(DAY, ALONE, "model.reuse=never")
    plan, files = plan_of(ready.context(), first.bundle_digest)
    assert len(files) == 2
    work = Work(BuildParts(plan), PartFiles, BuiltPart)
    parts = [PartFiles((file,)) for file in files]
    found = run_tasks(ready.open_session(), work, parts, "indexing")
    built = [one for of_task in found for one in of_task]
    index = KnownIndex(plan.place, tuple(one.file for one in built), sum(one.rows for one in built))
    assert index.rows == 40 + 42
    prints = ready.table("predictions")["input_fingerprint"].combine_chunks()
    assert len(prints) == 42
    assert (open_index(index).find(prints) >= 0).all()


def test_the_index_of_a_run_that_was_killed_goes_with_the_next_one(ready: SmallProject) -> None:
    digest = ready.score().bundle_digest
    dead = ready.context()
    plan, files = plan_of(dead, digest)
    list(build_part(plan, PartFiles(tuple(files))))
    place = Path(dead.looked_up)
    assert len(list(place.iterdir())) == 1
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDS, dead.environment.lake, dead.run_id],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    add_rows(ready)
    assert not list(place.iterdir())


def test_a_disk_that_takes_no_index_costs_no_run(ready: SmallProject) -> None:
    ready.score()
    add_rows(ready)
    place = Path(ready.context().looked_up)
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.is_dir():
        place.rmdir()
    place.write_text("a file where a folder should be")
    run = ready.score(DAY, ALONE)
    # The file of the rows that did not change stays, without an index.
    assert (run.status, run.rows_scored, run.rows_carried) == ("published", 2, 0)
    assert run.rows_kept == 40
    assert len([warning for warning in run.warnings if "nothing is carried over" in warning]) == 1


def test_a_slice_that_was_published_anew_since_it_was_chosen_is_left_out(
    ready: SmallProject,
) -> None:
    """It may be of another precision by now."""
    ready.score()
    context = ready.context()
    published = read_published(context)[DAY]
    chosen = AnsweredSlice(DAY, published.version, published.rows, published.size)
    files = answering_files
    assert len(files(context.predictions, [chosen])) == 1
    assert files(context.predictions, [replace(chosen, version=chosen.version - 1)]) == []


@pytest.mark.parametrize("way", ["direct", "few"])
def test_values_of_sensitive_columns_are_in_no_message_of_rows_that_fail(
    ready: SmallProject, way: str
) -> None:
    ready.overrides = ("model.road=direct",) if way == "direct" else ()
    ready.score()
    ready.write("in/b.csv", "id,color,size,big\n90,red,987654321,no\n")
    ready.extract()
    run = ready.score(DAY, ALONE, "sensitive=[size]")
    assert (run.rows_carried, run.rows_quarantined) == (40, 1)
    [record] = [row for row in ready.table("quarantine").to_pylist() if row["stage"] == "score"]
    assert "987654321" not in record["message"]


def test_batches_of_what_is_left_of_a_window_say_nothing_of_batch_sizes() -> None:
    """What earlier runs measured is handed on; a run of all rows would go on from it."""
    opened = OpenedModel.__new__(OpenedModel)
    opened.device, opened.child, opened.known = "cpu, 1 thread", None, None
    told = Rates({opened.device: {16_384: 400_000.0}})
    opened.plan = cast("Any", SimpleNamespace(known_rates=told))
    measured = SimpleNamespace(curve={256: 900_000.0})
    opened.scorer = cast("Any", SimpleNamespace(size=measured))
    assert opened.rates() == Rates({opened.device: measured.curve})
    opened.known = cast("Any", "some rows")
    assert opened.rates() == told
    opened.child = cast("Any", "a process")
    assert opened.rates() == Rates()
