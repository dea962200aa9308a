"""An honest artefact of each kind, and a pipeline that a hostile one is offered to."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from artefacts import a_net, save_linear_onnx, save_program, save_script

from batchinfer.pipeline.definition.context import Context

PIPELINE = """\
name: three
source:
  kind: csv
  path: in/*.csv
  schema: {id: int, a: double, b: double, c: double, kind: string}
  key: id
  slice: ingest_date
model: {uri: "models:/three@champion"}
sink: {table: predictions/three}
"""


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("honest")
    save_program(folder / "net.pt2", a_net(), torch.randn(4, 3))
    save_script(folder / "net.pt", a_net())
    save_linear_onnx(folder / "sum.onnx", {"x": 3})
    return folder


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    monkeypatch.setenv("BATCHINFER_HOME", str(tmp_path / "var"))
    file = tmp_path / "conf" / "pipelines" / "three.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(PIPELINE)
    context = Context.open(str(file))
    # What is refused is refused before the registry is touched; this one would take seconds to
    # make.
    monkeypatch.setattr(context.registry, "prepare", lambda: None)
    monkeypatch.setattr(
        context.registry, "register", lambda *_, **__: pytest.fail("a hostile model was registered")
    )
    return context
