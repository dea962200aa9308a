"""Training end to end on a session: steps fitted on the target, integer inputs, the split by time,
the same weights again.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from spark.projects import DAY, SmallProject

import batchinfer
from batchinfer.errors import ModelError
from batchinfer.models.bundle import read_bundle

FEATURES = """\
name: small
source:
  kind: csv
  path: in/*.csv
  schema: {id: int, color: string, note: string, note_kind: string, size: double, at: timestamp,
           big: string}
  key: id
  slice: ingest_date
features:
  - standardize: {columns: size}
  - target_encode: {columns: note_kind}
  - embedding_index: {columns: color}
  - tokenize: {columns: note, vocabulary_size: 20, max_tokens: 4}
  - select: {columns: [size], method: mutual_information, k: 1}
train:
  target: {column: big, positive: ["yes"]}
  params: {hidden: [8], epochs: 15, learning_rate: 0.01, seed: 1}
model: {uri: "models:/small@champion"}
sink: {table: predictions/small}
"""
URI = "models:/small@champion"
WORDS = ("fine", "good", "bad", "poor", "so-so")


def rows(count: int, seed: int = 3) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    first = random.integers(0, len(WORDS), count)
    frame = pd.DataFrame(
        {
            "id": np.arange(count),
            "color": random.choice(["red", "blue", "green", ""], count),
            "note": [
                f"{WORDS[place]} thing {'indeed' if place % 2 else ''}".strip() for place in first
            ],
            "note_kind": random.choice(list("abcdefgh"), count),
            "size": random.normal(size=count).round(3),
            "at": pd.date_range("2026-01-01", periods=count, freq="h").strftime(
                "%Y-%m-%d %H:%M:%S"
            ),
        }
    )
    score = frame["size"] + np.where(frame["color"] == "red", 1.5, 0) + np.where(first < 2, 2, -2)
    return frame.assign(big=np.where(score > 0, "yes", "no"))


@pytest.fixture
def project(small: SmallProject) -> SmallProject:
    small.write("conf/pipelines/small.yaml", FEATURES)
    (small.root / "in/a.csv").unlink()
    frame = rows(1200)
    small.write("in/a.csv", frame.iloc[:700].to_csv(index=False))
    small.write("in/b.csv", frame.iloc[700:].to_csv(index=False))
    small.extract()
    return small


def bundle_of(project: SmallProject, version: str) -> Any:
    registry = project.context().registry
    ref = registry.resolve(f"models:/small/{version}")
    return read_bundle(registry.fetch(ref, project.context().bundle_cache))


def test_all_kinds_of_input_are_learned_and_scored_and_one_row_equals_its_prediction(
    project: SmallProject,
) -> None:
    first, again = project.train(), project.train()
    assert first.metrics["accuracy"] > 0.9 > first.metrics["baseline"]
    # The same table version and seed: the same state, the same weights, so the same bundle.
    assert first.bundle_digest == again.bundle_digest and first.model_version != again.model_version
    bundle = bundle_of(project, first.model_version)
    assert list(bundle.handler.transforms.inputs().integers) == ["color", "note"]
    assert not bundle.handler.transforms.states[1]["note_kind"]["out_of_fold"]
    report = project.score()
    assert report.rows_scored == 1200
    stored = project.table("predictions").to_pandas().set_index("id")
    asked = (
        rows(1200)
        .drop(columns="big")
        .assign(at=lambda frame: pd.to_datetime(frame["at"], utc=True))
    )
    for place in (0, 1, 700, 1199):
        found = batchinfer.predict(asked.iloc[[place]], URI)
        assert found["error"].isna().all()
        assert found["score"].iloc[0] == pytest.approx(stored.loc[place, "score"], rel=1e-5)
        assert found["label"].iloc[0] == stored.loc[place, "label"]
    assert set(stored["label"]) == {"yes", "no"}, "the class that is not positive has its own name"
    whole = batchinfer.predict(asked, URI)
    np.testing.assert_allclose(whole["score"], stored.loc[asked["id"], "score"], rtol=1e-5)


def _uri(project: SmallProject) -> str:
    return "models:/small@champion"


@pytest.fixture(autouse=True)
def _in_project(project: SmallProject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.root)


def test_rows_to_validate_on_are_the_latest_where_the_pipeline_says_so(
    project: SmallProject,
) -> None:
    project.edit("seed: 1}", "seed: 1, batch_size: 16, validation_by: at, validation_share: 0.25}")
    report = project.train()
    assert (report.rows_train, report.rows_validation) == (900, 300)
    # Labels of the latest quarter turned round: what was learned before them ranks them the wrong
    # way.
    frame = rows(1200)
    frame.loc[900:, "big"] = np.where(frame.loc[900:, "big"] == "yes", "no", "yes")
    project.write("in/a.csv", frame.iloc[:700].to_csv(index=False))
    project.write("in/b.csv", frame.iloc[700:].to_csv(index=False))
    project.extract(DAY, "source.on_changed=replace")
    turned = project.train()
    encodings = [
        bundle_of(project, version.model_version).handler.transforms.states[1]["note_kind"][
            "encoding"
        ]["values"]
        for version in (report, turned)
    ]
    # Equal but for the order in which the files come: the labels of rows to validate on were not
    # looked at.
    np.testing.assert_allclose(*encodings, rtol=1e-12)
    assert turned.metrics["auc"] < 0.4 and report.metrics["auc"] > 0.9


def test_rows_without_a_label_are_left_out_and_need_none_to_be_scored(
    project: SmallProject,
) -> None:
    frame = rows(1300)
    frame.loc[1200:, "big"] = ""
    project.write("in/c.csv", frame.iloc[1200:].to_csv(index=False))
    project.extract()
    report = project.train()
    assert (report.rows_train + report.rows_validation, report.rows_without_label) == (1200, 100)
    assert project.score().rows_scored == 1300


def test_several_classes_give_a_vector_of_shares(project: SmallProject) -> None:
    project.edit('target: {column: big, positive: ["yes"]}', "target: {column: color}")
    project.edit("  - embedding_index: {columns: color}\n", "")
    report = project.train()
    bundle = bundle_of(project, report.model_version)
    assert [
        name for name in bundle.handler.transforms.feature_names() if name.startswith("note_kind")
    ] == [f"note_kind:{color}" for color in ("blue", "green", "red")]


def test_the_fitted_state_is_readable_json(project: SmallProject) -> None:
    report = project.train()
    registry = project.context().registry
    folder = Path(
        registry.fetch(
            registry.resolve(f"models:/small/{report.model_version}"),
            project.context().bundle_cache,
        )
    )
    state = json.loads((folder / "transforms.json").read_text())
    assert state["steps"][1]["state"]["note_kind"]["categories"] == list("abcdefgh")
    assert state["steps"][4]["state"]["size"]["kept"] == [0]


def test_steps_after_the_model_are_part_of_the_bundle_and_of_one_row(project: SmallProject) -> None:
    project.edit(
        "model: {uri",
        "postprocess:\n  - calibrate: {method: sigmoid}\n  - threshold: {value: 0.8}\n"
        "  - label_map: {values: {other: small}}\n  - round: {columns: score, digits: 3}\nmodel: "
        "{uri",
    )
    report = project.train()
    assert 0 < report.metrics["log_loss_calibrated"] < report.metrics["log_loss"] * 1.2
    project.score()
    stored = project.table("predictions").to_pandas().set_index("id")
    assert (
        set(stored["label"]) == {"small", "yes"}
        and (stored["score"].round(3) == stored["score"]).all()
    )
    clear = stored[(stored["score"] - 0.8).abs() > 0.001]
    assert ((clear["score"] >= 0.8) == (clear["label"] == "yes")).all() and len(clear) > 1000
    asked = (
        rows(1200)
        .iloc[:50]
        .drop(columns="big")
        .assign(at=lambda frame: pd.to_datetime(frame["at"], utc=True))
    )
    found = batchinfer.predict(asked, URI)
    np.testing.assert_allclose(found["score"], stored.loc[asked["id"], "score"], atol=0.0011)
    # Other steps than those of the bundle: told before any data is read, and nothing changes.
    project.edit("threshold: {value: 0.8}", "threshold: {value: 0.7}")
    with pytest.raises(
        ModelError, match=r"postprocess, step 2: got .*0\.7.*; the bundle has .*0\.8"
    ) as caught:
        project.score(force=True)
    assert caught.value.exit_code == 7 and f"train {project.named}" in str(caught.value.hint)


def test_features_that_changed_since_the_training_are_told_before_any_data_is_read(
    project: SmallProject,
) -> None:
    project.train()
    project.edit("vocabulary_size: 20", "vocabulary_size: 21")
    with pytest.raises(ModelError, match=r"features, step 4: got .*21.*; the bundle has .*20"):
        project.score()
    assert (
        project.states() == {DAY: "failed"} and not (project.root / "var/lake/predictions").exists()
    )


def test_the_registry_has_a_card_and_curves(project: SmallProject) -> None:
    from mlflow.tracking.client import MlflowClient

    report = project.train()
    client = MlflowClient(project.context().environment.registry)
    version = client.get_model_version("small", report.model_version)
    assert "## How well it does" in version.description and "| accuracy |" in version.description
    names = {artifact.path for artifact in client.list_artifacts(version.run_id)}
    assert names == {"bundle", "learning_curve.png", "model_card.md"}
    assert len(client.get_metric_history(version.run_id, "valid_loss")) >= 2
