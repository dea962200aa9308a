"""`backfill --max-cost`: nothing begins with which all would cost more."""

from __future__ import annotations

import itertools

import pytest

from batchinfer.command_reports import RunReport
from batchinfer.errors import BatchInferError, ConfigError, ModelError
from batchinfer.pipeline.backfill import BackfillReport, backfill_slices
from batchinfer.pipeline.planning.budget import Budget
from batchinfer.pipeline.planning.span_plan import PlannedSlice
from batchinfer.spark.held_resources import HeldResources

from ..nights.conftest import NightProject
from ..one_process import OneProcess
from .conftest import DAYS, measure

SPAN = (DAYS[0], DAYS[2])


def backfill(project: NightProject, most: float, *, force: bool = False) -> BackfillReport:
    return backfill_slices(project.context(), *SPAN, OneProcess, force=force, max_cost=most)


def hint_of(caught: pytest.ExceptionInfo[BatchInferError]) -> str:
    return str(caught.value.hint)


def test_an_estimate_above_it_begins_nothing(priced: NightProject) -> None:
    measure(priced.context(), 80.0, cores=1)
    with pytest.raises(ConfigError, match=r"got 90; the backfill is estimated at 106") as caught:
        backfill(priced, 90)
    assert f"--from {DAYS[0]} --to {DAYS[1]} --max-cost 90 scores 2 of 3" in hint_of(caught)
    assert set(priced.states().values()) == {"missing"}


def test_the_command_of_the_hint_fits(priced: NightProject) -> None:
    measure(priced.context(), 0.8, cores=1)
    context = priced.context()
    report = backfill_slices(context, DAYS[0], DAYS[1], OneProcess, max_cost=5000.0)
    assert [one["status"] for one in report.slices] == ["published", "published"]
    assert report.exit_code == 0 and report.left == []


def test_not_even_one_slice_fits(priced: NightProject) -> None:
    measure(priced.context(), 80.0, cores=1)
    with pytest.raises(ConfigError) as caught:
        backfill(priced, 10)
    assert hint_of(caught) == "the first slice alone is estimated at 80"


def test_forced_slices_count(priced: NightProject) -> None:
    for day in DAYS:
        priced.score(day)
    measure(priced.context(), 800.0, cores=1)
    assert backfill(priced, 0.0).status == "done", "all is up to date: nothing costs anything"
    with pytest.raises(ConfigError) as caught:
        backfill(priced, 1e-9, force=True)
    assert "estimated at" in hint_of(caught)


def test_without_prices_the_line_to_write_is_told(priced: NightProject) -> None:
    priced.edit("prices: {cpu_hour: 3600}\n", "")
    with pytest.raises(ConfigError, match="has no prices") as caught:
        backfill(priced, 90)
    assert "small.yaml: prices: {cpu_hour: 0.05, gpu_hour: 2.5}" in hint_of(caught)


def test_without_an_estimate_it_is_refused(priced: NightProject) -> None:
    with pytest.raises(ConfigError, match="no earlier run of this model") as caught:
        backfill(priced, 90)
    assert f"score {priced.named} --slice {DAYS[0]} is measured" in hint_of(caught)


def test_a_model_that_is_missing_ends_as_in_score(priced: NightProject) -> None:
    context = priced.context("model.uri=models:/none@champion")
    with pytest.raises(BatchInferError, match="none") as caught:
        backfill_slices(context, *SPAN, OneProcess, max_cost=9)
    assert caught.value.exit_code == ModelError.exit_code


def test_it_stops_before_the_slice_that_does_not_fit_any_more(
    priced: NightProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure(priced.context(), 80.0, cores=1)
    # The first slice takes 100 seconds in place of 80.
    ticks = iter([0.0, 0.0, 100.0, 100.0, 100.0])
    monkeypatch.setattr(Budget, "now", lambda _: next(ticks))
    monkeypatch.setattr("batchinfer.spark.held_resources.cores", lambda: 1)
    report = backfill(priced, 108)
    assert [(one["slice"], one["status"]) for one in report.slices] == [(DAYS[0], "published")]
    assert report.left == [DAYS[1], DAYS[2]]
    assert (report.exit_code, report.status) == (9, "failed")
    assert "with slice 2026-11-19 the backfill would have cost about 110" in report.errors[0]
    assert f"--from {DAYS[1]} --to {DAYS[2]} --max-cost 108 goes on" in str(report.hint)
    assert priced.states() == {DAYS[0]: "published", DAYS[1]: "missing", DAYS[2]: "missing"}


def test_what_executors_really_hold_is_what_was_spent(
    priced: NightProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure(priced.context(), 80.0, cores=1)
    # Two cores in place of the one that earlier runs had: 55 seconds cost 110.
    ticks = iter([0.0, 0.0, 40.0, 55.0])
    monkeypatch.setattr(Budget, "now", lambda _: next(ticks))
    monkeypatch.setattr("batchinfer.spark.held_resources.cores", lambda: 2)
    report = backfill(priced, 107)
    assert [one["slice"] for one in report.slices] == list(DAYS[:2]) and report.left == [DAYS[2]]


def test_runs_and_backfills_tell_their_cost(
    priced: NightProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchinfer.spark.held_resources.cores", lambda: 2)
    run = priced.score(DAYS[0])
    assert (run.cores, run.gpus, run.cost) == (2, 0.0, round(run.seconds * 2, 6))
    assert priced.score(DAYS[0]).cost == 0, "nothing was scored"
    report = priced.backfill(*SPAN)
    assert report.cost == round(report.seconds * 2, 6)
    assert [one["cost"] for one in report.slices] == [one.cost for one in report.runs]
    priced.edit("prices: {cpu_hour: 3600}\n", "")
    assert priced.score(DAYS[0], force=True).cost is None
    assert priced.backfill(*SPAN).cost is None


def made(most: float, costs: dict[str, float], clock: itertools.count[int]) -> Budget:
    class Counted(Budget):
        def now(self) -> float:
            return float(next(clock))

        def _cost(self, seconds: float) -> float:
            return seconds

    planned = {name: PlannedSlice(name, "missing", 1, cost, cost) for name, cost in costs.items()}
    return Counted(None, most, planned, HeldResources(1))  # type: ignore[arg-type]


def test_what_is_at_work_is_counted_until_it_ends() -> None:
    budget = made(25, {"a": 10, "b": 10, "c": 10}, itertools.count())
    assert budget.admits("a") and budget.admits("b")
    assert not budget.admits("c"), "3 s have passed, and a and b need 17 more"
    assert budget.left == ["c"]
    later = made(25, {"a": 10, "b": 10, "c": 10}, itertools.count())
    assert later.admits("a") and later.admits("b")
    later.ended("a", RunReport("r", "p", "published"))
    later.ended("b", RunReport("r", "p", "published"))
    assert later.admits("c")


def test_slices_that_are_up_to_date_need_nothing() -> None:
    budget = made(5, {"a": 10}, itertools.count())
    assert budget.admits("other") and not budget.admits("a") and not budget.admits("later")
    assert budget.left == ["a"], "what is up to date is not left"


@pytest.mark.parametrize("most", [float("nan"), float("inf"), -1.0])
def test_a_limit_that_limits_nothing_is_refused(priced: NightProject, most: float) -> None:
    measure(priced.context(), 0.001, cores=1)
    with pytest.raises(ConfigError, match=f"got {most:g}; allowed: a finite amount"):
        backfill(priced, most)
    assert set(priced.states().values()) == {"missing"}


def test_a_slice_that_went_beyond_it_is_told(
    priced: NightProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure(priced.context(), 1e-6, cores=1)
    # As when each was begun in time.
    monkeypatch.setattr(Budget, "admits", lambda *_: True)
    report = backfill(priced, 0.001)
    assert report.cost is not None and report.cost > 0.001
    assert [one for one in report.warnings if "more than --max-cost 0.001" in one]
