"""A pipeline file that names another class as positive than the model that scores: told by all that
ask the model, and no error, since the model scores as it did.
"""

from __future__ import annotations

from pathlib import Path

from artefacts import a_net, save_script
from registrations import Project
from spark.projects import DAY, SmallProject

from batchinfer.pipeline.plan import plan_backfill, plan_slice
from batchinfer.pipeline.scoring.resolved_inputs import resolve_model
from batchinfer.pipeline.slices.table_columns import TableColumns

TURNED = 'train.target.positive=["no"]'
TOLD = "train.target.positive: got [\"no\"], but the positive class of the model is 'yes'"


def test_every_command_that_asks_the_model_tells_it(ready: SmallProject) -> None:
    turned = ready.context(TURNED)
    plan = plan_slice(turned, DAY)
    assert plan.exit_code == 0
    span, scored = plan_backfill(turned, DAY, DAY), ready.score(DAY, TURNED)
    again, backfilled = ready.score(DAY, TURNED), ready.backfill(DAY, DAY, TURNED)
    told = [plan["warnings"], span.warnings, scored.warnings, again.warnings, backfilled.warnings]
    for [warning] in told:
        assert warning.startswith(TOLD) and "score is as the model has it" in warning
        assert "batchinfer train -p " in warning and "makes a version" in warning
    assert (scored.status, again.status) == ("published", "unchanged")


def test_a_file_that_means_what_the_model_learned_is_not_doubted(ready: SmallProject) -> None:
    assert ready.score().warnings == []
    for same in ('train.target.positive=["yes", "YES"]', "train.target.positive_pattern=^y"):
        assert plan_slice(ready.context(same), DAY)["warnings"] == []


def test_where_each_class_has_its_share_none_of_them_is_positive(
    project: Project, tmp_path: Path
) -> None:
    """What `evaluate` judges as several classes, of which `score` is that of the label."""
    path = save_script(tmp_path / "net.pt", a_net(2))
    how = {"more": 'postprocess: [{softmax: {labels: [u, "yes"]}}]\n'}
    report = project.register("shares", path, **how)
    assert report.outputs == {"label": "string", "score": "double", "scores": "map<string,double>"}
    turned = project.context("shares", 'train.target.positive=["u"]', **how)
    assert resolve_model(TableColumns(turned)).warnings == ()
