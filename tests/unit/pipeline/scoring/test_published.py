"""What the predictions table says of a slice: where its rows came from, and whether they would be
others now.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from spark.projects import DAY, SmallProject, csv_of

from batchinfer import contracts
from batchinfer.lake import delta
from batchinfer.lake.ledger import Publisher, replay_transactions, run_number, run_transactions
from batchinfer.lake.quarantine import commit_quarantine
from batchinfer.pipeline.scoring.published import Published, read_published
from batchinfer.pipeline.slices.landed import read_landed
from batchinfer.pipeline.slices.slice_data import LandedSlice

from ..conftest import HUGE

NOON = dt.datetime(2026, 11, 21, 12, tzinfo=dt.timezone.utc)


def one_of(project: SmallProject, *overrides: str) -> Published:
    return read_published(project.context(*overrides), DAY)[DAY]


def is_stale(project: SmallProject, *overrides: str) -> bool:
    context = project.context(*overrides)
    digest = context.registry.resolve(context.pipeline.model.uri).digest
    return one_of(project, *overrides).is_stale(read_landed(context)[DAY], digest)


def test_a_slice_says_of_which_data_and_model_it_is(ready: SmallProject) -> None:
    assert read_published(ready.context()) == {}
    report = ready.score()
    found = one_of(ready)
    assert (found.version, found.rows) == (report.version, 40)
    assert {name: found.lineage[name] for name in (
        contracts.MODEL_VERSION, contracts.BUNDLE_DIGEST, contracts.SOURCE_VERSION, contracts.RUN_ID
    )} == {
        contracts.MODEL_VERSION: "1",
        contracts.BUNDLE_DIGEST: report.bundle_digest,
        contracts.SOURCE_VERSION: report.source_version,
        contracts.RUN_ID: report.run_id,
    }  # fmt: skip
    assert found.publisher == Publisher(run_number(report.run_id))
    assert read_published(ready.context(), "2026-11-22") == {}


def test_a_slice_is_stale_once_anything_that_made_it_is_another(ready: SmallProject) -> None:
    ready.score()
    assert not is_stale(ready)
    found, landed = one_of(ready), read_landed(ready.context())[DAY]
    assert found.is_stale(landed, "another digest")
    assert not found.is_stale(landed, None), "a model that is not known says nothing"
    assert not found.is_stale(None, found.lineage[contracts.BUNDLE_DIGEST]), "nor unknown data"
    assert is_stale(ready, "model.precision=bf16")
    assert is_stale(ready, "prepare=[{filter: {rule: 'size > 1', name: large}}]")
    ready.write("in/b.csv", csv_of(range(40, 42)))
    ready.extract()
    assert is_stale(ready)
    ready.score()
    assert not is_stale(ready)


def test_a_slice_of_no_rows_says_nothing_of_its_inputs(ready: SmallProject) -> None:
    ready.write("in/a.csv", csv_of(range(0)))
    ready.extract("2026-11-22")
    ready.score("2026-11-22")
    found = read_published(ready.context())["2026-11-22"]
    assert (found.rows, found.lineage) == (0, {})
    assert found.is_stale(None, None)


@pytest.mark.parametrize(
    ("recorded", "stale"),
    [(NOON - dt.timedelta(seconds=1), False), (NOON + dt.timedelta(seconds=1), True)],
)
def test_versions_that_begin_anew_are_told_by_the_time_of_the_record(
    recorded: dt.datetime, stale: bool
) -> None:
    lineage = {
        contracts.BUNDLE_DIGEST: "a",
        contracts.SOURCE_VERSION: 7,
        contracts.SCORED_AT: NOON,
    }
    found = Published(1, 5, lineage)
    assert found.is_stale(LandedSlice(5, 2, recorded), "a") == stale


@pytest.fixture
def replayed(ready: SmallProject) -> tuple[SmallProject, int, int]:
    """A published slice with a row in quarantine; the number of its run, and of a replay."""
    ready.write("in/b.csv", f"id,color,size,big\n90,red,{HUGE},no\n")
    ready.extract()
    run = run_number(ready.score().run_id)
    return ready, run, run_number("a replay")


def publish(project: SmallProject, publisher: Publisher) -> None:
    transactions: dict[str, Any] = run_transactions(DAY, publisher.run)
    if publisher.before is not None:
        transactions |= replay_transactions(DAY, publisher)
    delta.commit(project.context().predictions, [], transactions=transactions)


def test_a_replay_that_was_cut_off_is_known_until_the_quarantine_follows(
    replayed: tuple[SmallProject, int, int],
) -> None:
    project, run, replay = replayed
    whole = one_of(project)
    assert whole.quarantine_run == run and not (whole.is_unsettled or whole.is_cut_off)
    publish(project, Publisher(replay, before=run))
    half = one_of(project)
    assert half.is_unsettled and not half.is_cut_off and not is_stale(project)
    delta.commit(project.context().quarantine, [], transactions=run_transactions(DAY, replay))
    assert not one_of(project).is_unsettled and not is_stale(project)


def test_rows_of_several_models_are_stale(replayed: tuple[SmallProject, int, int]) -> None:
    project, run, replay = replayed
    publish(project, Publisher(replay, before=run, mixed=True))
    delta.commit(project.context().quarantine, [], transactions=run_transactions(DAY, replay))
    assert one_of(project).publisher.mixed and is_stale(project)
    project.score()
    assert not is_stale(project), "the mark was the replay's"


def test_a_quarantine_of_another_run_makes_the_slice_stale(
    replayed: tuple[SmallProject, int, int],
) -> None:
    project, _, _ = replayed
    commit_quarantine(
        project.context().quarantine, [], slice=DAY, published=True, run_id="a run that died"
    )
    assert one_of(project).is_cut_off and is_stale(project)
