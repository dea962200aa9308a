"""A handler of the user's own is registered by its class path, and a changed file is another
model.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import batchinfer
from batchinfer.errors import ModelError

PIPELINE = """\
name: own
source:
  kind: csv
  path: in/*.csv
  schema: {id: int, note: string, size: double}
  key: id
  slice: ingest_date
postprocess:
  - round: {columns: length, digits: 0}
model: {uri: "models:/own@champion"}
sink: {table: predictions/own}
"""
HANDLER = """\
import pyarrow as pa
import pyarrow.compute as pc
import batchinfer

class Lengths(batchinfer.Handler):
    output = {"length": "double", "loud": "boolean"}
    def encode(self, batch):
        return {"note": batch.column("note").to_pylist()}
    def forward(self, tensors):
        return [note and (len(note) + 0.2, note.isupper()) for note in tensors["note"]]
    def decode(self, output):
        lengths, loud = [one[0] for one in output], [one[1] for one in output]
        return {"length": pa.array(lengths), "loud": pa.array(loud)}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "conf/pipelines").mkdir(parents=True)
    (tmp_path / "conf/pipelines/own.yaml").write_text(PIPELINE)
    (tmp_path / "own_handlers.py").write_text(HANDLER)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BATCHINFER_HOME", raising=False)
    return tmp_path


def test_a_handler_is_registered_scores_and_counts_as_another_when_its_file_changes(
    project: Path,
) -> None:
    report = batchinfer.register("own", "own_handlers:Lengths")
    assert (report.status, report.format, report.alias) == ("registered", "handler", "champion")
    assert report.inputs == {"id": "int", "note": "string", "size": "double"}
    assert report.outputs == {"length": "double", "loud": "boolean"}
    rows = pd.DataFrame({"id": [1, 2, 3], "note": ["abc", None, "OH"], "size": [0.5, 1.0, 2.0]})
    found = batchinfer.predict(rows, "models:/own@champion")
    assert found["length"].dropna().to_list() == [3.0, 2.0] and found[
        "loud"
    ].dropna().to_list() == [False, True]
    assert (
        found["error"].isna().to_list() == [True, False, True] and "TypeError" in found["error"][1]
    )
    # The same bundle again is another version with the same digest; changed code is refused until
    # it is registered.
    assert batchinfer.register("own", "own_handlers:Lengths").bundle_digest == report.bundle_digest
    (project / "own_handlers.py").write_text(HANDLER.replace("0.2", "0.3"))
    from batchinfer.models.bundle import verify_bundle
    from batchinfer.pipeline.definition.context import Context

    registry = Context.open("own").registry
    with pytest.raises(ModelError, match="the code of own_handlers changed"):
        verify_bundle(registry.fetch(registry.resolve("models:/own/1"), project / "cache"))


@pytest.mark.parametrize(
    ("artifact", "words"),
    [
        ("nowhere_at_all:Lengths", "cannot be imported"),
        ("own_handlers:Length", "did you mean Lengths"),
        ("json:JSONEncoder", "subclass of"),
    ],
)
def test_a_class_that_is_none_is_told(project: Path, artifact: str, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        batchinfer.register("own", artifact)
    with pytest.raises(ModelError, match="no model 'own'"):
        batchinfer.predict(pd.DataFrame({"id": [1]}), "models:/own@champion")
