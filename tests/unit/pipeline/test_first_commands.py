"""The first `train` and `score` of a pipeline, when nobody has named a slice yet: by the public
functions, as the command line calls them.
"""

from __future__ import annotations

import datetime as dt

import pytest
from spark.projects import DAY, SmallProject, csv_of

import batchinfer
from batchinfer.errors import ConfigError, InputMissing, ModelError
from batchinfer.hints import commands_of
from batchinfer.pipeline.lookup import answer_lookup

LABELLED = "  source: {path: labelled/*.csv}\n"


@pytest.fixture
def first(local: SmallProject, monkeypatch: pytest.MonkeyPatch) -> SmallProject:
    local.write("in/a.csv", csv_of(range(40)))
    monkeypatch.setattr("batchinfer.api.session_of", lambda _, scores=False: local.open_session)
    return local


def _file(project: SmallProject) -> str:
    return str(project.root / "conf/pipelines/small.yaml")


def _today() -> str:
    return dt.datetime.now(dt.timezone.utc).date().isoformat()


def test_the_first_training_lands_the_source_as_of_today_and_says_so(
    first: SmallProject, capsys: pytest.CaptureFixture[str]
) -> None:
    before = _today()
    report = batchinfer.train(_file(first))
    landed = report.landed_first
    assert landed is not None
    assert landed.slices in ([before], [_today()]), "midnight may have passed"
    assert (landed.rows_landed, report.rows_train + report.rows_validation) == (40, 40)
    assert report.to_json()["landed_first"]["rows_landed"] == 40
    assert landed.run_id != report.run_id, "each is an attempt of its own"
    assert f"it lands first, as slice {landed.slices[0]}" in capsys.readouterr().err


def test_what_has_landed_is_learned_from_as_it_is(
    first: SmallProject, capsys: pytest.CaptureFixture[str]
) -> None:
    first.extract()
    first.write("in/b.csv", csv_of(range(40, 60)))
    report = batchinfer.train(_file(first))
    assert (report.landed_first, report.rows_train + report.rows_validation) == (None, 40)
    assert list(first.states()) == [DAY]
    assert "lands first" not in capsys.readouterr().err


def test_nothing_lands_where_slices_are_named_or_labelled_data_have_a_source_of_their_own(
    first: SmallProject,
) -> None:
    with pytest.raises(InputMissing, match=f"slice {DAY} of pipeline small has never landed"):
        batchinfer.train(_file(first), slices=[DAY])
    assert first.states() == {}
    first.write("labelled/c.csv", csv_of(range(40)))
    first.edit("train:\n", "train:\n" + LABELLED)
    assert batchinfer.train(_file(first)).landed_first is None
    assert first.states() == {}


def test_what_cannot_be_learned_is_told_before_anything_lands(first: SmallProject) -> None:
    with pytest.raises(ConfigError, match="alias"):
        batchinfer.train(_file(first), alias="no alias")
    assert not (first.root / "var/lake/landed").exists()


def test_the_newest_slice_is_scored_where_none_is_named(
    first: SmallProject, capsys: pytest.CaptureFixture[str]
) -> None:
    for day in (DAY, "2026-11-23", "2026-11-22"):
        first.write(f"in/{day}.csv", csv_of(range(20)))
        first.extract(day)
    batchinfer.train(_file(first))
    report = batchinfer.score(_file(first))
    assert (report.slice, report.status) == ("2026-11-23", "published")
    assert "takes slice 2026-11-23, the newest" in capsys.readouterr().err
    absent = answer_lookup(first.context(), ["source_file=none.csv,source_line=2"], None, None)
    assert (absent["status"], absent["exit_code"], absent.exit_code) == ("absent", 3, 3)
    assert "exit_code" not in answer_lookup(
        first.context(), ["source_file=2026-11-23.csv,source_line=2"], None, None
    )


def test_a_score_too_early_says_the_next_step(first: SmallProject) -> None:
    with pytest.raises(InputMissing, match="nothing of pipeline small has landed") as told:
        batchinfer.score(_file(first))
    train = f"batchinfer train {first.named}"
    assert (str(told.value.hint), commands_of(told.value.hint)) == (
        f"{train} lands the source and learns from it",
        [train],
    )
    first.extract()
    with pytest.raises(ModelError, match="no model 'small' in the registry") as no_model:
        batchinfer.score(_file(first))
    assert (no_model.value.exit_code, "batchinfer train -p" in str(no_model.value.hint)) == (
        7,
        True,
    )


def test_slices_of_a_column_have_to_be_named(first: SmallProject) -> None:
    first.edit("slice: ingest_date", "slice: color")
    with pytest.raises(ConfigError, match="as none has landed"):
        batchinfer.score(_file(first))
    first.extract(None)
    with pytest.raises(ConfigError, match="allowed: --slice with one of blue, green, red"):
        batchinfer.score(_file(first))
