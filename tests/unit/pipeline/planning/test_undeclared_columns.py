"""A pipeline file without a schema: its columns are known once something has landed, and `plan`
then finds what `score` finds in it.
"""

from __future__ import annotations

import pytest
from spark.projects import DAY, SmallProject

from batchinfer.errors import ConfigError, ModelError
from batchinfer.pipeline.plan import plan_backfill, plan_slice

WRONG = (
    ("derive.half=sise / 2", "no such column: got 'sise' (did you mean size?)"),
    ("derive.half=upper(size) / 2", "derive.half"),
    ("features[0].standardize.columns=[sise]", "no column 'sise'; did you mean 'size'?"),
)


@pytest.fixture
def undeclared(ready: SmallProject) -> SmallProject:
    """The slice has landed, a model has learned from it, and the file says nothing of columns."""
    ready.edit("kind: csv", "kind: parquet")
    ready.edit("  schema: {id: int, color: string, size: double, big: string}\n", "")
    return ready


@pytest.mark.parametrize(("wrong", "told"), WRONG)
def test_a_plan_ends_as_the_run_would(undeclared: SmallProject, wrong: str, told: str) -> None:
    plan = plan_slice(undeclared.context(wrong), DAY)
    with pytest.raises(ConfigError) as caught:
        undeclared.score(DAY, wrong)
    assert plan["problems"] == list(caught.value.problems)
    assert told in caught.value.problems[0]
    assert plan.exit_code == caught.value.exit_code == 2
    assert plan["hints"] == [], "no model of such a file can be made"
    span = plan_backfill(undeclared.context(wrong), DAY, DAY)
    assert (list(span.problems), span.exit_code) == (plan["problems"], 2)


def test_a_model_that_is_missing_too_is_told_after_it(undeclared: SmallProject) -> None:
    missing = "model.uri=models:/none@champion"
    plan = plan_slice(undeclared.context(WRONG[0][0], missing), DAY)
    assert [WRONG[0][1] in problem for problem in plan["problems"]] == [True, False]
    assert "no model 'none'" in plan["problems"][1]


def test_a_file_that_is_right_still_needs_a_model_of_it(undeclared: SmallProject) -> None:
    right = "derive.half=size / 2"
    plan = plan_slice(undeclared.context(right), DAY)
    with pytest.raises(ModelError) as caught:
        undeclared.score(DAY, right)
    assert plan["problems"] == list(caught.value.problems) and plan.exit_code == 7
    assert not plan_slice(undeclared.context(), DAY)["problems"]


def test_where_nothing_has_landed_that_alone_is_told(undeclared: SmallProject) -> None:
    undeclared.edit("name: small", "name: other")
    plan = plan_slice(undeclared.context("model.uri=models:/none@champion"), DAY)
    assert len(plan["problems"]) == 2 and plan.exit_code == 3
    assert "never landed" in plan["problems"][0] and "no model 'none'" in plan["problems"][1]
