"""A handler of the user's own is registered by its class path, and a changed file is another
model.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import pytest

import batchinfer
from batchinfer.errors import ConfigError, ModelError
from batchinfer.models.bundle import verify_bundle
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.models import model_versions
from batchinfer.pipeline.scoring.resolved_inputs import resolve_model
from batchinfer.pipeline.slices.table_columns import TableColumns
from batchinfer.show import show_register

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
    # Each test has a module of this name; the one before it is no longer meant.
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_handlers", raising=False)
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
    registry = Context.open("own").registry
    with pytest.raises(ModelError, match="the code of own_handlers changed"):
        verify_bundle(registry.fetch(registry.resolve("models:/own/1"), project / "cache"))


def test_every_step_after_an_edit_names_the_next_one(project: Path) -> None:
    assert batchinfer.register("own", "own_handlers:Lengths").in_use
    (project / "own_handlers.py").write_text(HANDLER.replace("0.2", "0.3"))
    command = "batchinfer register -p own --artifact own_handlers:Lengths --alias champion"
    context = Context.open("own")
    with pytest.raises(ModelError, match="the code of own_handlers changed") as caught:
        resolve_model(TableColumns(context))
    assert command in str(caught.value.hint) and "train" not in str(caught.value.hint)
    with pytest.raises(ConfigError, match="no train section") as refused:
        batchinfer.train("own")
    assert "batchinfer register -p own --artifact" in str(refused.value.hint)
    beside = batchinfer.register("own", "own_handlers:Lengths")
    assert (beside.model_version, beside.alias, beside.in_use) == ("2", "", False)
    assert beside.warnings == [
        "version 2 is registered, and champion stays with version 1: batchinfer models -p own "
        "--promote 2 gives it to this one"
    ]
    # No column `label`: that the former version's code is gone is of no interest here.
    assert model_versions(context, promote="2")["warnings"] == []
    assert resolve_model(TableColumns(context)).ref.version == "2"
    # As the first hint had it.
    (project / "own_handlers.py").write_text(HANDLER.replace("0.2", "0.4"))
    again = batchinfer.register("own", "own_handlers:Lengths", "champion")
    assert (again.in_use, again.warnings) == (True, [])
    assert resolve_model(TableColumns(context)).ref.version == "3"


@pytest.mark.parametrize(
    ("uri", "alias", "said"),
    [
        (
            "models:/own@best",
            "trial",
            "no version has best: batchinfer models -p own --set 'model.uri=\"models:/own@best\"' "
            "--promote 1 gives it to this one",
        ),
        (
            "models:/own/7",
            None,
            "the pipeline stays with model.uri models:/own/7: put models:/own/1 there",
        ),
        ("models:/own@best", "best", ""),
        ("models:/own@best", None, ""),
        ("models:/own/1", None, ""),
    ],
)
def test_a_report_says_whether_the_pipeline_scores_with_the_version(
    project: Path, uri: str, alias: str | None, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    report = show_register(
        batchinfer.register("own", "own_handlers:Lengths", alias, overrides={"model.uri": uri})
    )
    assert report.in_use == (not said) == report.to_json()["in_use"]
    assert report.warnings == ([f"version 1 is registered, and {said}"] if said else [])
    shown = " ".join(capsys.readouterr().err.split())
    assert f"in_use {'no' if said else 'yes'}" in shown


@pytest.mark.parametrize(
    ("alias", "train", "hint"),
    [
        ("champion", "", "--artifact own_handlers:Lengths --alias champion makes a version of"),
        ("best", "", "--artifact own_handlers:Lengths --alias best makes a version of what"),
        ("best", "train: {target: {column: size}}\n", "own_handlers:Lengths --alias best makes"),
    ],
)
def test_steps_that_changed_ask_for_the_command_that_made_the_model(
    project: Path, alias: str, train: str, hint: str
) -> None:
    file = project / "conf/pipelines/own.yaml"
    file.write_text(train + PIPELINE.replace("@champion", f"@{alias}"))
    batchinfer.register("own", "own_handlers:Lengths")
    file.write_text(file.read_text().replace("digits: 0", "digits: 1"))
    with pytest.raises(ModelError, match="postprocess, step 1") as caught:
        resolve_model(TableColumns(Context.open("own")))
    assert hint in str(caught.value.hint)


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
