"""Boosted trees on rows that have landed: held against their library at registration, trained, and
scored by Spark.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from registrations import state_below

import batchinfer

from .fitted import a_table, saved_lightgbm, saved_xgboost, x_of, y_of

PIPELINE = """\
name: trees
source:
  kind: csv
  path: in/*.csv
  schema: {id: int, more: double, kind: string, a: double, b: float, whole: bigint, y: string}
  key: id
  slice: ingest_date
FEATURES
train:
  target: {column: y, positive: ["1"]}
  model: MODEL
  params: {rounds: 30, depth: 3, learning_rate: 0.3}
model: {uri: "models:/trees@champion"}
checks: {max_quarantine_rate: 1}
sink: {table: predictions/trees}
"""
KEEP = "features:\n  - one_hot: {columns: kind}\n  - keep: {columns: [a, b, whole]}\n"


class Landed:
    """A project whose rows have landed."""

    def __init__(self, root: Path) -> None:
        self.root, self.file = root, root / "conf/pipelines/trees.yaml"
        self.table = a_table(seed=7, strange=True).assign(more=1.0)
        self.table["y"] = y_of(self.table).astype(str)
        self.file.parent.mkdir(parents=True)
        self.write()
        (root / "in").mkdir()
        self.table.to_csv(root / "in/a.csv", index=False)
        batchinfer.extract(str(self.file), slice="2026-11-21")

    def write(self, features: str = "", model: str = "xgboost_classifier") -> None:
        self.file.write_text(PIPELINE.replace("FEATURES\n", features).replace("MODEL", model))

    def scored(self) -> pd.DataFrame:
        import deltalake

        report = batchinfer.score(str(self.file), "2026-11-21", force=True)
        assert report.status == "published"
        found = deltalake.DeltaTable(str(self.root / "var/lake/predictions/trees")).to_pandas()
        return found.sort_values("id").reset_index(drop=True)


@pytest.fixture(scope="module")
def landed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Landed]:
    root = tmp_path_factory.mktemp("landed")
    with state_below(root):
        yield Landed(root)


@pytest.mark.parametrize("unseen", ["own", "null", "fail"])
@pytest.mark.parametrize("kind", ["xgboost", "lightgbm"])
def test_what_is_scored_is_what_the_library_says(
    landed: Landed, tmp_path: Path, kind: str, unseen: str
) -> None:
    import lightgbm
    import xgboost

    landed.write()
    if kind == "xgboost":
        file = tmp_path / "model.ubj"
        model: Any = saved_xgboost(file, xgboost.XGBClassifier)
    else:
        file = tmp_path / "model.txt"
        model = saved_lightgbm(file, lightgbm.LGBMClassifier)
    how = {"overrides": {"model.unseen": unseen}}
    report = batchinfer.register(str(landed.file), str(file), alias="champion", **how)
    (held,) = report.held_against
    assert held["against"].lower().startswith(kind) and held["rows"] > 1000
    assert (held["labels_differ"], held["largest_difference"]) == (0, 0.0)
    table = landed.table
    strange = table["kind"].isin(["fire", "water"])
    if unseen == "null":
        table = table.assign(kind=table["kind"].where(~strange, None))
    if unseen == "fail":
        table = table[~strange]
    found, frame = landed.scored(), x_of(table)
    assert found["id"].tolist() == table["id"].tolist()
    assert found["score"].tolist() == model.predict_proba(frame)[:, 1].tolist()
    assert found["label"].tolist() == list(map(str, model.predict(frame)))


@pytest.mark.parametrize("model", ["xgboost_classifier", "lightgbm_classifier"])
def test_trained_trees_are_scored_as_their_file_says(landed: Landed, model: str) -> None:
    landed.write(KEEP, model)
    report = batchinfer.train(str(landed.file))
    assert report.metrics["auc"] > 0.8 and report.rows_validation > 100
    found = landed.scored()
    assert set(found["label"]) == {"0", "1"} and len(found) == len(landed.table)
    right = (found["label"].to_numpy() == landed.table["y"].to_numpy()).mean()
    assert right > 0.7
    again = batchinfer.train(str(landed.file))
    assert again.bundle_digest == report.bundle_digest
    # A missing number is missing: where it is 0 instead, something else is said.
    few = landed.table.drop(columns="y").head(300)
    uri = f"models:/trees/{again.model_version}"
    said = batchinfer.predict(few, uri)["score"]
    np.testing.assert_array_equal(said, found["score"].head(300))
    zeros = few.assign(b=few["b"].fillna(0), a=few["a"].fillna(0))
    other = batchinfer.predict(zeros, uri)["score"]
    gaps = few[["a", "b"]].isna().any(axis=1)
    assert (said != other)[gaps].mean() > 0.5 and not (said != other)[~gaps].any()
