"""An alias that moves to a version with other words in `label`: told by every command that moves
it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking.client import MlflowClient
from spark.projects import SmallProject

from batchinfer.pipeline.models import model_versions
from batchinfer.pipeline.register import register_model
from batchinfer.show import show_models

RENAMED = 'postprocess:\n  - label_map: {values: {"yes": big}}\n'
OWN = """\
import pyarrow as pa
import batchinfer

class Sizes(batchinfer.Handler):
    output = {"label": "string"}
    def encode(self, batch):
        return {"size": batch.column("size").to_pylist()}
    def forward(self, tensors):
        return tensors["size"]
    def decode(self, output):
        return {"label": pa.array([self.params["labels"][0] for _ in output])}
"""


def says(now: str, version: str, former: str) -> str:
    return (
        f"label says {now} now; version {version}, which held champion until now, said {former}: "
        "whoever filters on the words must follow"
    )


def words(warnings: list[str]) -> list[str]:
    return [one for one in warnings if one.startswith(("label says", "version "))]


@pytest.fixture
def two(ready: SmallProject) -> SmallProject:
    """Version 1 says no and yes, version 2 says no and big; the alias has moved to version 2."""
    ready.edit("model: {uri", f"{RENAMED}model: {{uri")
    report = ready.train()
    assert words(report.warnings) == [says('"big", "no"', "1", '"no", "yes"')]
    return ready


def moved(project: SmallProject, **how: Any) -> list[str]:
    body = show_models(model_versions(project.context(), **how))
    # It is JSON, and always there.
    return json.loads(json.dumps(body["warnings"]))


def test_training_promoting_and_going_back_tell_the_other_words(
    two: SmallProject, capsys: pytest.CaptureFixture[str]
) -> None:
    assert moved(two) == []
    assert moved(two, promote="2") == [], "it had the alias before"
    assert moved(two, rollback=True) == [says('"no", "yes"', "2", '"big", "no"')]
    assert "whoever filters" in " ".join(capsys.readouterr().err.split())
    assert moved(two, promote="2") == [says('"big", "no"', "1", '"no", "yes"')]


def test_equal_words_are_no_news(two: SmallProject) -> None:
    assert words(two.train().warnings) == []
    assert moved(two, promote="3") == moved(two, rollback=True) == []


def folder_of(project: SmallProject, version: str) -> Path:
    registry = project.context().registry
    ref = registry.resolve(f"models:/small/{version}")
    return Path(registry.fetch(ref, project.context().bundle_cache))


def test_a_former_version_that_is_damaged_stops_nothing_and_is_told(two: SmallProject) -> None:
    (folder_of(two, "2") / "signature.json").write_text("{}")
    (warning,) = moved(two, promote="1")
    assert warning.startswith(
        "version 2 cannot be read, so whether label says other words than before is not known: "
        "bundle "
    )
    assert "signature.json: got sha256" in warning and "\n" not in warning
    assert two.context().registry.holder("small", "champion") == "1"


def test_a_former_version_that_is_not_ours_stops_nothing_and_is_told(two: SmallProject) -> None:
    client = MlflowClient(two.context().environment.registry)
    made = client.create_model_version("small", str(two.root / "elsewhere"))
    client.set_registered_model_alias("small", "champion", made.version)
    (warning,) = moved(two, promote="1")
    assert warning.startswith(f"version {made.version} cannot be read, so whether label says")


def test_registering_in_place_of_a_version_tells_the_other_words(
    two: SmallProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(two.root)
    monkeypatch.syspath_prepend(two.root)
    two.write("own_sizes.py", OWN)
    two.edit(RENAMED, "")
    context = two.context('train.params={"labels": ["big", "small"]}')
    report = register_model(context, "own_sizes:Sizes", "champion")
    assert words(report.warnings) == [says('"big", "small"', "2", '"big", "no"')]
    # Beside the champion nobody reads other words.
    assert words(register_model(context, "own_sizes:Sizes", "trial").warnings) == []
