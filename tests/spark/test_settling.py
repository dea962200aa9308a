"""A replay that is cut off at any of its steps: whichever command comes next, each row stands in
one table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from spark.projects import DAY, SmallProject
from spark.test_replay import again, aside, cut_off, refuse, rows, with_own_net

from batchinfer import errors
from batchinfer.lake import delta, quarantine
from batchinfer.pipeline.scoring import commits
from batchinfer.pipeline.status import pipeline_status

# What a replay has not done yet when it ends there.
STEPS = {
    "before its commits": (commits, "ensure_predictions"),
    "at the commit of the predictions": (delta, "commit"),
    "between its commits": (quarantine, "commit_replayed"),
}


@pytest.fixture
def refused(small: SmallProject) -> SmallProject:
    """A published slice of forty rows, three of which are in quarantine and would pass now."""
    with_own_net(small)
    small.extract()
    small.train()
    refuse(small, 1.5)
    assert small.score().rows_quarantined == 3
    refuse(small, 1e9)
    return small


def in_both(project: SmallProject) -> set[str]:
    keys = {f'{{"id":{row["id"]}}}' for row in rows(project).to_pylist()}
    return keys & {str(row["key"]) for row in aside(project) if row["published"]}


def score(project: SmallProject) -> list[str]:
    return project.score().warnings


def backfill(project: SmallProject) -> list[str]:
    return project.backfill(DAY, DAY).runs[0].warnings


def replay(project: SmallProject) -> list[str]:
    return again(project).warnings


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("command", [score, backfill, replay])
def test_whatever_comes_next_each_row_is_in_one_table(
    refused: SmallProject, step: str, command: Callable[[SmallProject], list[str]]
) -> None:
    with cut_off(*STEPS[step], errors.Interrupted("SIGTERM", exit_code=143)):
        again(refused)
    both = len(in_both(refused))
    assert both == (3 if step == "between its commits" else 0)
    warnings = command(refused)
    assert in_both(refused) == set()
    assert rows(refused).num_rows + len(aside(refused)) == 40
    told = "a replay was interrupted after it had published 3 rows" in " ".join(warnings)
    assert told is (both > 0)
    assert "warnings" not in pipeline_status(refused.context())
    # It is settled once: nothing is left to say or to do.
    assert refused.score().warnings == [] and refused.score().status == "unchanged"


def test_a_run_that_is_refused_leaves_the_two_tables_to_be_settled(
    refused: SmallProject,
) -> None:
    with cut_off(quarantine, "commit_replayed"):
        again(refused)
    refuse(refused, -9)
    with pytest.raises(errors.TooManyQuarantined):
        refused.score(force=True)
    assert "was cut off" in pipeline_status(refused.context())["warnings"][0]
    refuse(refused, 1e9)
    refused.score()
    assert in_both(refused) == set() and rows(refused).num_rows == 40


def test_two_pipelines_that_share_a_sink_publish_slices_of_their_own(
    small: SmallProject,
) -> None:
    small.edit("{table: predictions/small}", "{table: predictions/small, shared: true}")
    text = (small.root / "conf/pipelines/small.yaml").read_text()
    small.write("conf/pipelines/other.yaml", text.replace("name: small", "name: other"))
    small.extract()
    small.train()
    small.score()
    own = rows(small)
    other = replace(small, overrides=("name=other",))
    other.extract()
    assert other.states() == {DAY: "missing"}
    with pytest.raises(errors.InputError, match=f"slice {DAY} of .* published by pipeline small"):
        other.score(force=True)
    assert rows(small) == own
    other.extract("2026-11-22")
    assert other.score("2026-11-22").status == "published"
    assert small.states() == {DAY: "published"}
    assert rows(small).num_rows == 2 * own.num_rows


def test_a_slice_that_another_name_published_is_said(small: SmallProject) -> None:
    small.extract()
    small.train()
    small.score()
    # The pipeline gets another name, and keeps its sink and its model.
    renamed = replace(small, overrides=("name=renamed",))
    renamed.extract()
    assert renamed.score(force=True).warnings == [
        f"slice {DAY} of {small.root}/var/lake/predictions/small was published by pipeline small "
        "before, and its predictions give way to those of renamed"
    ]
