"""The examples of public functions, one after the other on one project, as somebody would try
them.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from docstrings import ON_SPARK, run_example
from pyspark.sql import SparkSession

CHURN = """\
name: churn
source:
  kind: csv
  path: customers.csv
  schema: {id: long, plan: string, months: int, spend: double, churned: string}
  key: id
  slice: ingest_date
features:
  - impute: {columns: [months, spend], strategy: median}
  - standardize: {columns: [months, spend]}
  - one_hot: {columns: plan}
train:
  target: {column: churned, positive: ["yes"]}
  params: {hidden: [4], epochs: 100, learning_rate: 0.1, seed: 1}
model: {uri: "models:/churn@champion"}
checks: {max_quarantine_rate: 0.1}
sink: {table: predictions/churn}
outcomes: {table: landed/churn, value: churned}
"""


@pytest.fixture
def churn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Forty customers, of whom those on the basic plan stay, and a line that is no record."""
    monkeypatch.delenv("BATCHINFER_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf/pipelines").mkdir(parents=True)
    (tmp_path / "conf/pipelines/churn.yaml").write_text(CHURN)
    rows = [
        f"{n},{'plus' if n % 4 == 0 else 'basic'},{n % 9},{n * 1.5},{'yes' if n % 4 == 0 else 'no'}"
        for n in range(40)
    ]
    lines = ["id,plan,months,spend,churned", *rows, "forty-one"]
    (tmp_path / "customers.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_the_examples_tell_one_story(churn: Path, spark: SparkSession) -> None:
    for name in ON_SPARK:
        run_example(name, {"spark": spark})
