"""What a backfill would do is what it does, and its figures rest on what was measured."""

from __future__ import annotations

import pytest

from batchinfer.errors import ConfigError, InputError, ModelError
from batchinfer.machine import cores
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.plan import plan_backfill, plan_slice
from batchinfer.pipeline.planning.span_plan import SpanPlan

from ..nights.conftest import NightProject
from .conftest import DAYS, measure

SPAN = ("2026-11-17", "2026-11-20")


def whys(plan: SpanPlan) -> dict[str, str]:
    return {one.slice: one.why for one in plan.slices}


def test_the_slices_are_those_that_the_backfill_scores(priced: NightProject) -> None:
    priced.score(DAYS[0])
    plan = plan_backfill(priced.context(), *SPAN)
    assert whys(plan) == {DAYS[1]: "missing", DAYS[2]: "missing"}
    assert (plan.rows, plan.up_to_date, plan.no_data) == (13, 1, ("2026-11-17",))
    report = priced.backfill(*SPAN)
    done = [one["slice"] for one in report.slices if one["status"] == "published"]
    assert done == [one.slice for one in plan.slices]
    after = plan_backfill(priced.context(), *SPAN)
    assert (after.status, after.slices, after.up_to_date, after.rows) == ("nothing", (), 3, 0)
    assert (after.seconds, after.cost) == (0, 0)


def test_each_slice_says_why_it_is_scored(priced: NightProject) -> None:
    for day in DAYS:
        priced.score(day)
    priced.land(DAYS[1], range(5, 7))
    priced.extract(None)
    with pytest.raises(ModelError):
        priced.score(DAYS[2], "model.uri=models:/none@champion", force=True)
    assert whys(plan_backfill(priced.context(), *SPAN)) == {DAYS[1]: "stale"}
    forced = plan_backfill(priced.context(), *SPAN, force=True)
    assert whys(forced) == {DAYS[0]: "forced", DAYS[1]: "stale", DAYS[2]: "forced"}
    priced.train("train.params.epochs=1")
    found = whys(plan_backfill(priced.context(), *SPAN))
    assert found == {DAYS[0]: "stale", DAYS[1]: "stale", DAYS[2]: "failed"}


def test_nothing_is_made_up_where_nothing_was_measured(priced: NightProject) -> None:
    plan = plan_backfill(priced.context(), *SPAN)
    body = plan.to_json()
    assert (body["from"], body["to"], body.get("errors", [])) == (*SPAN, [])
    assert (body["seconds"], body["cost"], body["slices"][0]["cost"]) == (None, None, None)
    assert "no earlier run of this model" in plan.estimated_how
    assert plan.cost_how.startswith("not known: nothing tells how long")
    assert plan.hints == (
        f"batchinfer score {priced.named} --slice {DAYS[0]} is measured: plans then have an "
        "estimate",
    )


def test_the_cost_is_that_of_the_cores_that_were_held(priced: NightProject) -> None:
    context = priced.context()
    measure(context, 80.0, cores=16)
    plan = plan_backfill(context, *SPAN)
    assert [one.estimated_s for one in plan.slices] == [80.0, 10.0, 16.0]
    assert [one.cost for one in plan.slices] == [80.0 * 16, 10.0 * 16, 16.0 * 16]
    assert (plan.seconds, plan.cost, plan.cores) == (106.0, 106.0 * 16, 16)
    one = plan_slice(context, DAYS[1])
    assert (one["estimated_s"], one["cost"]) == (10.0, 160.0)


def test_where_no_run_tells_it_the_environment_says_what_is_held(priced: NightProject) -> None:
    context = priced.context()
    measure(context, 80.0)
    plan = plan_backfill(context, *SPAN)
    assert plan.cores == cores() and plan.cost == 106.0 * cores()


def test_only_the_first_slice_starts_spark(priced: NightProject) -> None:
    context = priced.context()
    measure(context, 60.0, stage_seconds={"inference": 40.0, "session": 20.0})
    plan = plan_backfill(context, *SPAN)
    assert [one.estimated_s for one in plan.slices] == [60.0, 5.0, 8.0]


def test_a_few_rows_start_no_spark(priced: NightProject) -> None:
    priced.overrides = ()
    context = priced.context()
    measure(context, 60.0, stage_seconds={"inference": 40.0, "session": 20.0})
    assert [one.estimated_s for one in plan_backfill(context, *SPAN).slices] == [40.0, 5.0, 8.0]


def test_how_sure_it_is_is_told(priced: NightProject) -> None:
    context = priced.context()
    measure(context, 8.0)
    assert "one run tells nothing" in plan_backfill(context, *SPAN).estimated_how
    measure(context, 12.0, slice_="2026-10-02")
    told = plan_backfill(context, *SPAN).estimated_how
    assert "2 earlier runs" in told and "0.8 to 1.2 times" in told


def test_a_slice_of_far_more_rows_is_told(priced: NightProject) -> None:
    context = priced.context()
    measure(context, 2.0, rows=3)
    [warning] = plan_backfill(context, *SPAN).warnings
    assert warning.startswith(f"slices {DAYS[0]} have more than ten times the rows")


def test_without_prices_it_is_said_how_to_have_a_cost(priced: NightProject) -> None:
    priced.edit("prices: {cpu_hour: 3600}\n", "")
    context = priced.context()
    measure(context, 80.0)
    plan = plan_backfill(context, *SPAN)
    assert (plan.seconds, plan.cost) == (106.0, None)
    assert "prices: {cpu_hour: 0.05, gpu_hour: 2.5}" in plan.cost_how


def test_a_gpu_without_a_price_has_no_cost(priced: NightProject) -> None:
    context = priced.context()
    measure(context, 80.0, cores=4, gpus=0.5)
    plan = plan_backfill(context, *SPAN)
    assert plan.cost is None and "prices.gpu_hour is not set" in plan.cost_how
    dear = priced.context("prices.gpu_hour=7200")
    assert plan_backfill(dear, *SPAN).cost == 106.0 * (4 + 0.5 * 2)


def test_a_cluster_that_does_not_say_its_cores_has_no_cost(priced: NightProject) -> None:
    priced.write("conf/environments/far.yaml", "spark: {master: 'spark://host:7077'}\n")
    pipeline = str(priced.root / "conf/pipelines/small.yaml")
    context = Context.open(pipeline, "far", priced.overrides)
    measure(context, 80.0)
    plan = plan_backfill(context, *SPAN)
    assert plan.cost is None and "spark.executor.instances" in plan.cost_how
    conf = "spark: {master: 'spark://host:7077', conf: {spark.executor.cores: 4, "
    priced.write("conf/environments/far.yaml", conf + "spark.executor.instances: 3}}\n")
    said = Context.open(pipeline, "far", priced.overrides)
    assert plan_backfill(said, *SPAN).cost == 106.0 * 12


def test_problems_are_those_of_score_each_once(priced: NightProject) -> None:
    wrong = "model.uri=models:/none@champion"
    plan = plan_backfill(priced.context(wrong), *SPAN)
    with pytest.raises(ModelError) as caught:
        priced.score(DAYS[0], wrong)
    assert plan.problems == caught.value.problems and plan.exit_code == 7
    assert plan.status == "problems" and plan.hints[0] == caught.value.hint
    assert [one.slice for one in plan.slices] == list(DAYS), "a backfill would try them all"
    assert plan.to_json()["errors"] == list(plan.problems)


def test_a_problem_of_one_slice_is_found(priced: NightProject) -> None:
    for day in DAYS:
        priced.score(day)
    priced.edit("predictions/small}", "predictions/small, shared: true}")
    priced.edit("name: small", "name: other")
    priced.extract(None)
    plan = plan_backfill(priced.context(), *SPAN, force=True)
    with pytest.raises(InputError) as caught:
        priced.score(DAYS[1], force=True)
    assert caught.value.problems[0] in plan.problems and plan.exit_code == 3


def test_what_all_slices_have_in_common_is_told_once(priced: NightProject) -> None:
    priced.score(DAYS[0])
    priced.edit("predictions/small}", "predictions/small, carry: [color]}")
    [problem] = plan_backfill(priced.context(), *SPAN).problems
    assert "color" in problem


def test_bounds_are_judged(priced: NightProject) -> None:
    with pytest.raises(ConfigError, match="--from no later than --to"):
        plan_backfill(priced.context(), SPAN[1], SPAN[0])
