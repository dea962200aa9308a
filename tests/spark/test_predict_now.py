"""A row now: the answer that the batch gave, for keys that landed and for rows that are given."""

from __future__ import annotations

import gc
import json
import shutil
import weakref
from pathlib import Path

import pytest
from spark.projects import DAY, SmallProject

from batchinfer.errors import ConfigError, InputMissing
from batchinfer.pipeline.answering.predicted_now import predict_keys, predict_rows
from batchinfer.pipeline.answering.row_scoring import RowScorer


@pytest.fixture
def landed(tmp_path: Path, trained: Path, monkeypatch: pytest.MonkeyPatch) -> SmallProject:
    """A project that has landed, trained and scored; no session is at hand."""
    monkeypatch.delenv("BATCHINFER_HOME", raising=False)
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)

    def no_session() -> None:
        raise AssertionError("a row needs no session")

    return SmallProject(tmp_path, no_session)


def test_a_key_that_landed_is_scored_as_the_batch_scored_it(landed: SmallProject) -> None:
    stored = landed.predictions(DAY)
    told = predict_keys(landed.context(), [f"id={number}" for number in stored])
    assert told.exit_code == 0 and len(told["results"]) == 40
    for number, one in zip(stored, told["results"], strict=True):
        score, label = stored[number]
        assert one["found"] and one["key"] == f"id={number}"
        assert one["prediction"]["score"] == pytest.approx(score, abs=1e-6)
        assert (one["prediction"]["label"], one["prediction"]["model_version"]) == (label, "1")
    single = predict_keys(landed.context(), ["id=3"])
    assert list(single)[:2] == ["found", "prediction"]
    assert single["prediction"]["label"] == stored[3][1]


def test_the_newest_landed_row_of_a_key_counts(landed: SmallProject, spark: object) -> None:
    before = predict_keys(landed.context(), ["id=3"])["prediction"]["score"]
    landed.open_session = lambda: spark
    (landed.root / "in/a.csv").unlink()
    landed.write("in/b.csv", "id,color,size,big\n3,green,99.5,yes\n")
    landed.extract("2026-11-22")
    after = predict_keys(landed.context(), ["id=3"])["prediction"]["score"]
    given = predict_rows(landed.context(), '{"color": "green", "size": 99.5}')
    assert after != pytest.approx(before, abs=1e-6)
    assert after == pytest.approx(given["prediction"]["score"], abs=1e-6)


def test_a_key_that_has_not_landed_is_exit_3_beside_the_others(landed: SmallProject) -> None:
    told = predict_keys(landed.context(), ["id=3", "id=999"])
    assert [one["found"] for one in told["results"]] == [True, False]
    assert (told.exit_code, told["errors"]) == (3, ["id=999 has not landed"])
    assert "batchinfer extract" in str(told.hint)


def test_rows_that_are_given_are_scored_and_told_one_by_one(landed: SmallProject) -> None:
    rows = [{"color": "red", "size": 0.37}, {"color": "red", "size": "wide"}]
    told = predict_rows(landed.context(), json.dumps(rows))
    good, bad = told["results"]
    assert good["prediction"]["label"] in ("yes", "no")
    assert bad["prediction"] is None and "size" in bad["error"]
    assert told.exit_code == 3 and told["errors"][0].startswith("row 1: ")
    assert told.hint is None, "what lands rows mends none that is given"


def test_a_model_that_is_let_go_leaves_memory_at_once(landed: SmallProject) -> None:
    scorer = RowScorer(landed.context())
    scorer.score([{"color": "red", "size": 0.37}])
    module = weakref.ref(scorer.model().bundle.handler.module)
    assert scorer.is_loaded and module() is not None
    gc.disable()
    try:
        del scorer
        assert module() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '["a"]', '{"size": NaN}'])
def test_text_that_is_no_row_is_refused(landed: SmallProject, text: str) -> None:
    with pytest.raises(ConfigError, match="--row: "):
        predict_rows(landed.context(), text)


def test_steps_that_need_other_rows_rule_keys_out(landed: SmallProject) -> None:
    landed.edit("features:\n", "prepare:\n  - deduplicate: {by: id}\nfeatures:\n")
    with pytest.raises(ConfigError, match=r"need other rows.*--row"):
        predict_keys(landed.context(), ["id=3"])


def test_nothing_landed_names_the_command_that_lands(landed: SmallProject) -> None:
    shutil.rmtree(landed.root / "var/lake/landed")
    with pytest.raises(InputMissing, match="nothing has landed") as told:
        predict_keys(landed.context(), ["id=3"])
    assert "batchinfer extract" in str(told.value.hint)
