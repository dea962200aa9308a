"""A project in a temporary folder, and a way to see what loading one of its pipelines says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from batchinfer.config.loader import load_pipeline
from batchinfer.errors import ConfigError

GOOD = """\
name: good
source:
  kind: csv
  path: data/*.csv
  options: {header: true}
  schema: {id: bigint, age: int, job: string, day: date, at: timestamp, income: string}
  key: id
  slice: day
features:
  - standardize: {columns: [age]}
train:
  target: {column: income, positive: yes please}
model:
  uri: models:/good@champion
sink: {table: predictions/good}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with `conf/pipelines/good.yaml`; it is the working folder, and no variable of ours
    is set.
    """
    folder = tmp_path / "project"
    (folder / "conf" / "pipelines").mkdir(parents=True)
    (folder / "conf" / "pipelines" / "good.yaml").write_text(GOOD)
    monkeypatch.chdir(folder)
    for name in ("BATCHINFER_HOME", "BATCHINFER_ENV", "DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.fixture
def problems(project: Path) -> Callable[..., list[str]]:
    """Sentences that loading a YAML text as a pipeline gives; none where it loads."""

    def load(text: str, *arguments: object, **keywords: object) -> list[str]:
        folder = project / "conf" / "pipelines"
        (folder / "tried.yaml").write_text(text)
        # It may have the name and the sink of the good one.
        (folder / "good.yaml").write_text("name: untouched\n")
        try:
            load_pipeline("tried", *arguments, **keywords)  # type: ignore[arg-type]
        except ConfigError as error:
            return [
                sentence.removeprefix("conf/pipelines/tried.yaml:") for sentence in error.problems
            ]
        return []

    return load
