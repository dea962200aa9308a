"""Boosted trees on rows that have landed: held against their library at registration, trained, and
scored by Spark.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from registrations import state_below

import batchinfer
from batchinfer.errors import ConfigError, ModelError

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


def zeros(landed: Landed, path: Path) -> tuple[Any, pd.DataFrame]:
    """A saved wrapper that took 0 for a missing number, and the rows as its user has them."""
    import xgboost

    frame = x_of(landed.table, categories=False)
    model = xgboost.XGBClassifier(n_estimators=20, max_depth=3, missing=0, n_jobs=1)
    model.fit(frame, landed.table["y"].astype(int)).save_model(path)
    return model, frame


def test_a_number_that_was_missing_to_a_wrapper_of_xgboost(landed: Landed, tmp_path: Path) -> None:
    landed.write()
    model, frame = zeros(landed, tmp_path / "m.json")
    how = {"overrides": {"model.missing": 0}}
    report = batchinfer.register(
        str(landed.file), str(tmp_path / "m.json"), alias="champion", **how
    )
    assert report.held_against[0]["largest_difference"] == 0.0
    expected = model.predict_proba(frame)[:, 1].tolist()
    assert landed.scored()["score"].tolist() == expected
    assert model.set_params(missing=np.nan).predict_proba(frame)[:, 1].tolist() != expected


def test_the_pickled_wrapper_tells_that_the_file_lost_its_missing(
    landed: Landed, tmp_path: Path
) -> None:
    landed.write()
    model, _ = zeros(landed, tmp_path / "m.json")
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(model))
    how = {"model.trust": "pickle"}
    arguments = (str(landed.file), str(tmp_path / "m.json"))
    reference = str(tmp_path / "m.pkl")
    with pytest.raises(ModelError, match="held against"):
        batchinfer.register(*arguments, reference=reference, overrides=how)
    how |= {"model.missing": 0}
    report = batchinfer.register(*arguments, reference=reference, overrides=how)
    assert len(report.held_against) == 2


def test_a_missing_number_is_refused_where_there_are_categories(
    landed: Landed, tmp_path: Path
) -> None:
    import xgboost

    landed.write()
    file = tmp_path / "m.json"
    saved_xgboost(file, xgboost.XGBClassifier)
    with pytest.raises(ConfigError, match=r"model\.missing: got 0, which is for boosted trees"):
        batchinfer.register(str(landed.file), str(file), overrides={"model.missing": 0})


def test_several_targets_have_a_probability_each(landed: Landed, tmp_path: Path) -> None:
    import xgboost

    landed.write()
    frame = x_of(landed.table, categories=False)
    targets = np.stack([landed.table["y"].astype(int), frame["a"] > 0], axis=1)
    model = xgboost.XGBClassifier(n_estimators=9, max_depth=3, n_jobs=1).fit(frame, targets)
    model.save_model(tmp_path / "m.json")
    report = batchinfer.register(str(landed.file), str(tmp_path / "m.json"), alias="champion")
    assert report.outputs == {"prediction": "array<double>"}
    assert any("has 2 targets" in warning for warning in report.warnings)
    said = batchinfer.predict(
        landed.table.drop(columns="y"), f"models:/trees/{report.model_version}"
    )
    np.testing.assert_array_equal(np.stack(said["prediction"]), model.predict_proba(frame))
