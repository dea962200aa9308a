"""Every public function has an example, and it does what it says: those that need no JVM, here."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
import torch
from artefacts import save_program
from docstrings import ON_SPARK, WITHOUT_SPARK, example_of, run_example

import batchinfer
from batchinfer.errors import ConfigError, InputError, ModelError

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


@pytest.fixture
def other(
    project: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """An empty folder outside of the project; it is the working folder."""
    folder = tmp_path_factory.mktemp("other")
    monkeypatch.chdir(folder)
    return folder


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


def test_every_public_function_takes_a_folder(project: Path, other: Path) -> None:
    for name in set(batchinfer.__all__) - {"Handler", "UnfitRows", "init"}:
        assert "project" in inspect.signature(getattr(batchinfer, name)).parameters, name
    nothing = batchinfer.status("flowers", project=project)
    assert nothing["state"]["home"] == str(project / "var")
    with pytest.raises(ConfigError, match=r"project: got .*/none', which is no folder; allowed"):
        batchinfer.status("flowers", project=other / "none")
    with pytest.raises(InputError, match=str(project / "var")):
        batchinfer.lookup("flowers", {"id": 1}, project=str(project))
    assert not (other / "var").exists()


def test_the_registry_that_is_asked_is_told_and_another_can_be_named(
    project: Path, other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, uri = [{"width": 0.25, "length": 1.5, "color": "red"}], "models:/flowers@champion"
    monkeypatch.chdir(project)
    run_example("register")
    monkeypatch.chdir(other)
    with pytest.raises(ModelError) as caught:
        batchinfer.predict(rows, uri)
    assert f"no model 'flowers' in the registry sqlite:///{other}/var/mlflow.db" in str(
        caught.value
    )
    assert "project=FOLDER in Python, or by BATCHINFER_HOME=" in str(caught.value)
    assert not (other / "var").exists(), "a question leaves nothing behind"
    for named in (project, str(project / "conf")):
        assert batchinfer.predict(rows, uri, project=named)["prediction"].tolist() == [1.75]
    monkeypatch.setenv("BATCHINFER_HOME", str(project / "var"))
    assert batchinfer.predict(rows, uri)["prediction"].tolist() == [1.75]


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
