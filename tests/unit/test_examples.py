"""Every public function has an example, and it does what it says: those that need no JVM, here."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from artefacts import save_program
from docstrings import ON_SPARK, WITHOUT_SPARK, example_of, run_example

import batchinfer

FLOWERS = """\
name: flowers
source:
  kind: csv
  path: flowers.csv
  schema: {id: int, width: double, length: double}
  key: id
  slice: ingest_date
model: {uri: "models:/flowers@champion"}
sink: {table: predictions/flowers}
"""


class Sum(torch.nn.Module):
    """What a flower's measures add up to."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features.sum(dim=1, keepdim=True)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("BATCHINFER_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf/pipelines").mkdir(parents=True)
    (tmp_path / "conf/pipelines/flowers.yaml").write_text(FLOWERS)
    blooms = [f"{n},{n / 4},{('rose', 'tulip')[n % 2]}" for n in range(40)]
    (tmp_path / "blooms.csv").write_text("\n".join(["id,width,kind", *blooms]) + "\n")
    save_program(tmp_path / "net.pt2", Sum(), torch.randn(4, 2))
    return tmp_path


def test_every_public_function_has_an_example_that_is_run() -> None:
    functions = set(batchinfer.__all__) - {"Handler", "UnfitRows"}
    assert {*ON_SPARK, *WITHOUT_SPARK} == functions
    for name in functions:
        lines = [line.source for line in example_of(name).examples]
        assert any(f"batchinfer.{name}(" in line for line in lines), name
        assert not any(line.options for line in example_of(name).examples), name


def test_a_model_is_registered_and_predicts(project: Path) -> None:
    for name in WITHOUT_SPARK:
        run_example(name)


def test_an_example_that_prints_something_else_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong() -> None:
        """Nothing.

        Example:
            >>> 1 + 1
            3
        """

    monkeypatch.setattr(batchinfer, "predict", wrong)
    with pytest.raises(AssertionError, match=r"Expected:\n +3\nGot:\n +2"):
        run_example("predict")
