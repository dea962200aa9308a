"""Sentiment of real reviews: text files become scores that are right far more often than chance, in
batch and in process.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession
from spark.projects import DAY, SmallProject

import batchinfer

ARCHIVE = Path(__file__).parents[3] / "shared/data/review_polarity.tar.gz"
pytestmark = pytest.mark.skipif(not ARCHIVE.is_file(), reason=f"no real reviews at {ARCHIVE}")

PIPELINE = """\
name: small
source:
  kind: texts
  path: in/txt_sentoken/*/*.txt
  options: {encoding: latin-1}
  slice: ingest_date
features:
  - FEATURES
train:
  target: {column: path, positive_pattern: "^pos/"}
  params: {hidden: [16], epochs: 12, learning_rate: 0.003, seed: 1, validation_share: 0.2}
postprocess:
  - calibrate: {method: temperature}
  - label_map: {values: {other: negative, "^pos/": positive}}
model: {uri: "models:/small@champion"}
sink: {table: predictions/small}
"""


@pytest.mark.parametrize(
    "features",
    [
        "tfidf: {columns: content, ngrams: 2, max_features: 4000}",
        "tokenize: {columns: content, max_tokens: 400}",
    ],
    ids=["tfidf", "tokenize"],
)
def test_reviews_are_told_apart(
    tmp_path: Path, spark: SparkSession, monkeypatch: pytest.MonkeyPatch, features: str
) -> None:
    project = SmallProject(tmp_path, lambda: spark)
    project.write("conf/pipelines/small.yaml", PIPELINE.replace("FEATURES", features))
    shutil.unpack_archive(ARCHIVE, tmp_path / "in")
    project.extract()
    trained = project.train()
    assert trained.metrics["auc_low"] > 0.75 and trained.metrics["log_loss_calibrated"] < 0.6
    report = project.score()
    assert report.rows_scored + report.rows_reused == 2000

    monkeypatch.chdir(tmp_path)
    rows = DeltaTable(str(tmp_path / "var/lake/landed/small")).to_pyarrow_table(
        columns=["path", "content"]
    )
    asked = rows.take(pa.array([5, 700, 1500])).to_pandas()
    stored = project.table("predictions")
    assert set(stored["label"].to_pylist()) == {"negative", "positive"}
    found = batchinfer.predict(asked, "models:/small@champion")
    for path, score, label in zip(asked["path"], found["score"], found["label"], strict=True):
        [row] = stored.filter(pc.field("path") == path).to_pylist()
        assert (score, label) == (pytest.approx(row["score"], rel=1e-5), row["label"])
    # Most reviews are right, those that the model learned from included; DAY is the one slice.
    right = [
        (row["label"] == "positive") == row["path"].startswith("pos/") for row in stored.to_pylist()
    ]
    assert sum(right) > 1500 and set(stored["slice"].to_pylist()) == {DAY}
