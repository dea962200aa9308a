"""What the predictions table says of a slice: where its rows came from, and whether they would be
others now.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from spark.earlier_build import MADE_OF, forget_what_it_was_made_of
from spark.projects import DAY, SmallProject, csv_of

from batchinfer.lake import delta
from batchinfer.lake.ledger import (
    MadeOf,
    Publisher,
    made_of,
    model_number,
    replay_transactions,
    run_number,
    run_transactions,
)
from batchinfer.lake.log import read_transactions
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
    made_of = found.made_of
    assert made_of is not None and found.is_by(report.bundle_digest)
    assert (made_of.model_version, made_of.data_version) == ("1", report.source_version)
    assert made_of.run_id == report.run_id
    rows = ready.table("predictions")
    assert rows.column("scored_at").unique().to_pylist() == [made_of.scored_at]
    assert found.publisher == Publisher(run_number(report.run_id))
    assert read_published(ready.context(), "2026-11-22") == {}


def test_a_slice_is_stale_once_anything_that_made_it_is_another(ready: SmallProject) -> None:
    ready.score()
    assert not is_stale(ready)
    found, landed = one_of(ready), read_landed(ready.context())[DAY]
    assert found.is_stale(landed, "another digest")
    assert not found.is_stale(landed, None), "a model that is not known says nothing"
    context = ready.context()
    digest = context.registry.resolve(context.pipeline.model.uri).digest
    assert not found.is_stale(None, digest), "nor unknown data"
    assert is_stale(ready, "model.precision=bf16")
    assert is_stale(ready, "model.quantize=int8")
    assert is_stale(ready, "prepare=[{filter: {rule: 'size > 1', name: large}}]")
    ready.write("in/b.csv", csv_of(range(40, 42)))
    ready.extract()
    assert is_stale(ready)
    ready.score()
    assert not is_stale(ready)


EMPTY = "2026-11-22"


@pytest.fixture
def empty(ready: SmallProject) -> SmallProject:
    """A slice that was published without a row."""
    ready.write("in/a.csv", csv_of(range(0)))
    ready.extract(EMPTY)
    ready.score(EMPTY)
    return ready


def test_a_slice_of_no_rows_says_what_it_was_made_of_too(empty: SmallProject) -> None:
    found = read_published(empty.context())[EMPTY]
    assert found.rows == 0 and found.made_of is not None
    assert found.is_stale(None, "another digest") and not found.is_stale(None, None)
    assert empty.score(EMPTY).status == "unchanged"


def test_a_slice_of_an_earlier_build_is_read_by_its_first_row(ready: SmallProject) -> None:
    report = ready.score()
    now = one_of(ready)
    forget_what_it_was_made_of(report.table)
    assert made_of(read_transactions(report.table), DAY) is None
    assert one_of(ready) == now and not is_stale(ready)
    assert ready.score().status == "unchanged"


def test_an_earlier_build_that_scores_again_is_believed(ready: SmallProject) -> None:
    """It leaves what a newer build has recorded of another run."""
    first = ready.score()
    assert ready.score(force=True).version is not None
    by_newer = read_transactions(first.table)
    forget_what_it_was_made_of(first.table)
    again = ready.score(force=True)
    forget_what_it_was_made_of(first.table)
    left = {id_: at for id_, at in by_newer.items() if id_.startswith(MADE_OF)}
    delta.commit(first.table, [], transactions=left)
    found = one_of(ready).made_of
    assert found is not None and found.run_id == again.run_id


def test_a_slice_without_rows_of_an_earlier_build_says_nothing(empty: SmallProject) -> None:
    forget_what_it_was_made_of(empty.context().predictions)
    found = read_published(empty.context())[EMPTY]
    assert (found.rows, found.made_of) == (0, None) and found.is_stale(None, None)
    assert empty.states()[EMPTY] == "published"


@pytest.mark.parametrize(
    ("recorded", "stale"),
    [(NOON - dt.timedelta(seconds=1), False), (NOON + dt.timedelta(seconds=1), True)],
)
def test_versions_that_begin_anew_are_told_by_the_time_of_the_record(
    recorded: dt.datetime, stale: bool
) -> None:
    found = Published(1, 5, MadeOf(7, model_number("a"), "1", "run", NOON))
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
