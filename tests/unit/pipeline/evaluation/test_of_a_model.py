"""Predictions of real models are judged by what their bundles say: a trained one, and one that was
registered.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from registrations import FRAME, Project
from spark.projects import DAY, SmallProject, csv_of

from batchinfer.errors import InputError
from batchinfer.models.metrics import binary_metrics, regression_metrics
from batchinfer.pipeline.evaluate import evaluate_predictions
from batchinfer.pipeline.models import model_versions
from batchinfer.show import show_models

from ..registered import a_classifier
from .published_tables import BINARY, Told

OUTCOMES = "outcomes: {table: landed/small, value: big, at: slice}\nsink:"


def test_a_trained_classifier_is_judged_by_its_own_rows(ready: SmallProject) -> None:
    ready.score()
    ready.edit("sink:", OUTCOMES)
    found = evaluate_predictions(ready.context(), DAY)
    landed = {row["source_line"]: row["big"] for row in ready.table("landed").to_pylist()}
    rows = ready.table("predictions").to_pylist()
    target = np.array([landed[row["source_line"]] == "yes" for row in rows], dtype=float)
    assert found.metrics == binary_metrics(target, np.array([row["score"] for row in rows]))
    assert [one.model_version for one in found.models] == ["1"]
    assert not any("bundle" in text for text in found.warnings)


def test_without_a_target_the_bundle_says_which_class_is_positive(ready: SmallProject) -> None:
    ready.score()
    ready.edit("sink:", OUTCOMES)
    before = evaluate_predictions(ready.context(), DAY).metrics
    text = (ready.root / "conf/pipelines/small.yaml").read_text()
    start, end = text.index("train:"), text.index("\nmodel:") + 1
    ready.write("conf/pipelines/small.yaml", text[:start] + text[end:])
    assert evaluate_predictions(ready.context(), DAY).metrics == before


def test_a_number_is_held_against_the_mean_that_was_learned(local: SmallProject) -> None:
    local.overrides = ("model.road=direct",)
    local.edit(
        'target: {column: big, positive: ["yes"]}',
        "target: {column: size}\n  model: mlp_regressor",
    )
    local.edit("  - standardize: {columns: size}\n", "")
    local.edit("sink:", "outcomes: {table: landed/small, value: size}\nsink:")
    local.write("in/a.csv", csv_of(range(40)))
    local.extract()
    local.train()
    local.score()
    found = evaluate_predictions(local.context(), DAY).metrics
    sizes = {row["source_line"]: row["size"] for row in local.table("landed").to_pylist()}
    rows = local.table("predictions").to_pylist()
    target = np.array([sizes[row["source_line"]] for row in rows])
    prediction = np.array([row["prediction"] for row in rows])
    context = local.context()
    ref = context.registry.resolve("models:/small@champion")
    folder = context.registry.fetch(ref, context.bundle_cache)
    mean = json.loads((folder / "manifest.json").read_text())["handler"]["params"]["mean"]
    assert found == pytest.approx(regression_metrics(target, prediction, mean))
    assert "r2" in found


def test_a_registered_model_is_judged_and_models_tells_it(project: Project, tmp_path: Path) -> None:
    import skops.io

    words = ["good" if one > 0 else "bad" for one in FRAME["a"]]
    skops.io.dump(a_classifier(words, handle_unknown="ignore"), tmp_path / "model.skops")
    made = project.register("told", tmp_path / "model.skops", "train.target.positive=bad")
    told = Told(project.root, train="")
    assert [one["evaluated"] for one in model_versions(told.context())["versions"]] == [None]
    rows = [
        {"id": 1, "score": 0.9, "label": "bad"},
        {"id": 2, "score": 0.6, "label": "bad"},
        {"id": 3, "score": 0.2, "label": "good"},
    ]
    of = {"model_version": made.model_version, "bundle_digest": made.bundle_digest}
    told.predict([{**row, **of} for row in rows], BINARY)
    told.came({"id": [1, 2, 3], "came": ["bad", "good", "good"]})
    found = told.evaluate()
    expected = binary_metrics(np.array([1, 0, 0]), np.array([0.9, 0.6, 0.2]))
    assert found.metrics == pytest.approx(expected)
    [version] = model_versions(told.context())["versions"]
    assert version["metrics"] == {} and version["evaluated"]["metrics"] == found.metrics
    assert (version["evaluated"]["slices"], version["evaluated"]["rows"]) == ([DAY], 3)
    assert version["evaluated"]["run_id"] == found.run_id
    show_models(model_versions(told.context()))
    told.came({"id": [1], "came": ["awful"]}, "outcomes/other")
    told.outcomes = "table: outcomes/other, value: came"
    with pytest.raises(InputError, match=r"'awful' \(1 rows\); its classes are good, bad; allowed"):
        told.evaluate()


def test_evaluate_starts_neither_spark_nor_torch(ready: SmallProject) -> None:
    ready.score()
    ready.edit("sink:", OUTCOMES)
    script = (
        "import sys, batchinfer\n"
        f"file = {str(ready.root / 'conf/pipelines/small.yaml')!r}\n"
        f"found = batchinfer.evaluate(file, slice={DAY!r})\n"
        "names = ('pyspark', 'py4j', 'torch', 'great_expectations', 'mlflow')\n"
        "print(found.rows_with_outcome, *[name for name in names if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ready.root,
        env=dict(os.environ), check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["40"]
