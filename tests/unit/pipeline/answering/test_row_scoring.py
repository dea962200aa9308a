"""A model that is held: resolved again now and then, loaded again where it is another."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import batchinfer
from batchinfer.errors import ModelError, StorageError
from batchinfer.pipeline.answering import row_scoring
from batchinfer.pipeline.answering.row_scoring import RowScorer
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.models import model_versions

PIPELINE = """\
name: own
source:
  kind: csv
  path: in/*.csv
  schema: {id: int, size: double}
  key: id
  slice: ingest_date
model: {uri: "models:/own@champion"}
sink: {table: predictions/own}
"""
HANDLER = """\
import pyarrow as pa
import batchinfer

class Halves(batchinfer.Handler):
    output = {"half": "double"}
    def encode(self, batch):
        return {"size": batch.column("size").to_pylist()}
    def forward(self, tensors):
        return [size / 2 for size in tensors["size"]]
    def decode(self, output):
        return {"half": pa.array(output, pa.float64())}
"""
ROW = {"id": 1, "size": 3}


@pytest.fixture
def scorer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RowScorer:
    (tmp_path / "conf/pipelines").mkdir(parents=True)
    (tmp_path / "conf/pipelines/own.yaml").write_text(PIPELINE)
    (tmp_path / "held_handlers.py").write_text(HANDLER)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BATCHINFER_HOME", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "held_handlers", raising=False)
    batchinfer.register("own", "held_handlers:Halves")
    return RowScorer(Context.open("own"))


def version(scorer: RowScorer) -> str:
    (told,) = scorer.score([ROW])
    assert told["prediction"]["half"] == 1.5
    return told["prediction"]["model_version"]


def test_a_promotion_is_taken_up_after_a_minute_and_not_before(
    scorer: RowScorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert version(scorer) == "1"
    bundle = scorer.model().bundle
    batchinfer.register("own", "held_handlers:Halves")
    model_versions(Context.open("own"), promote="2")
    assert version(scorer) == "1"
    clock = row_scoring.time.monotonic() + 61
    monkeypatch.setattr(row_scoring.time, "monotonic", lambda: clock)
    assert version(scorer) == "2"
    assert scorer.model().bundle is not bundle
    held = scorer.model()
    clock += 61
    assert scorer.model() is held, "the same version is loaded once"


def test_a_registry_that_does_not_answer_leaves_the_model_in_use(
    scorer: RowScorer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert version(scorer) == "1"
    (registry,) = Path("var").glob("**/*.db")
    registry.write_bytes(b"no database" * 1_000)
    clock = row_scoring.time.monotonic() + 61
    monkeypatch.setattr(row_scoring.time, "monotonic", lambda: clock)
    assert version(scorer) == "1"
    assert "own: version 1 stays in use: " in capsys.readouterr().err
    with pytest.raises((StorageError, ModelError)):
        RowScorer(Context.open("own")).model()
