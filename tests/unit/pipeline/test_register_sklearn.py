"""`register` of classifiers of scikit-learn: their own classes, scores and text columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from registrations import FRAME, Project

import batchinfer
from batchinfer.errors import ModelError

from .registered import a_classifier


@pytest.mark.parametrize("classes", [("no", "yes"), ("yes", "zzz"), (0, 1), (1.0, 2.0)])
def test_a_classifier_of_scikit_learn_has_its_own_classes(
    project: Project, tmp_path: Path, classes: tuple[Any, Any]
) -> None:
    import skops.io

    model = a_classifier([classes[one > 0] for one in FRAME["a"]], handle_unknown="ignore")
    skops.io.dump(model, tmp_path / "model.skops")
    name = f"classes{classes[0]}{classes[1]}".replace(".", "")
    report = project.register(name, tmp_path / "model.skops")
    assert report.outputs == {"score": "double", "label": "string"} and list(report.inputs) == [
        "a",
        "b",
        "c",
        "kind",
    ]
    found = batchinfer.predict(FRAME, f"models:/{name}@champion")
    positive = classes.index("yes") if "yes" in classes else classes.index(1)
    np.testing.assert_allclose(found["score"], model.predict_proba(FRAME)[:, positive], rtol=1e-12)
    assert list(found["label"]) == [str(one) for one in model.predict(FRAME)]


def test_a_positive_class_that_the_model_does_not_have_is_refused(
    project: Project, tmp_path: Path
) -> None:
    import skops.io

    model = a_classifier(["Yes" if one > 0 else "u" for one in FRAME["a"]], handle_unknown="ignore")
    skops.io.dump(model, tmp_path / "model.skops")
    with pytest.raises(ModelError, match=r"got .*yes.*classes are .*Yes"):
        project.register("noclass", tmp_path / "model.skops")


def test_several_classes_and_a_classifier_without_probabilities(
    project: Project, tmp_path: Path
) -> None:
    import skops.io
    from sklearn.svm import LinearSVC

    target = [str(row % 3) for row in range(9)]
    model = a_classifier(target, handle_unknown="ignore")
    skops.io.dump(model, tmp_path / "model.skops")
    assert (
        project.register("three", tmp_path / "model.skops").outputs["scores"]
        == "map<string,double>"
    )
    found = batchinfer.predict(FRAME, "models:/three@champion")
    scores = model.predict_proba(FRAME)
    np.testing.assert_allclose(found["score"], scores.max(axis=1))
    assert dict(found["scores"][0]) == dict(zip("012", scores[0], strict=True))
    svc = LinearSVC().fit(FRAME[["a", "b"]], target)
    skops.io.dump(svc, tmp_path / "svc.skops")
    assert project.register("labels", tmp_path / "svc.skops").outputs == {"label": "string"}
    assert list(batchinfer.predict(FRAME, "models:/labels@champion")["label"]) == list(
        svc.predict(FRAME[["a", "b"]])
    )


def test_an_imputer_and_boosted_trees_by_skops_need_no_trust(
    project: Project, tmp_path: Path
) -> None:
    import skops.io
    from sklearn.ensemble import GradientBoostingClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline

    gaps = FRAME[["a", "b"]].mask(FRAME[["a", "b"]] > FRAME["b"].median())
    model = make_pipeline(SimpleImputer(), GradientBoostingClassifier(n_estimators=3))
    model.fit(gaps, ["yes" if one > 0 else "no" for one in FRAME["a"]])
    skops.io.dump(model, tmp_path / "model.skops")
    assert project.register("imputed", tmp_path / "model.skops").trust == "none"
    found = batchinfer.predict(FRAME.assign(a=gaps["a"], b=gaps["b"]), "models:/imputed@champion")
    np.testing.assert_allclose(found["score"], model.predict_proba(gaps)[:, 1], rtol=1e-12)


def test_a_converted_pipeline_takes_text_and_null_text_is_one_bad_row(
    project: Project, tmp_path: Path
) -> None:
    from skl2onnx import to_onnx

    model = a_classifier(
        ["yes" if one > 0 else "no" for one in FRAME["a"]], handle_unknown="ignore"
    )
    converted = to_onnx(model, FRAME[:1], options={"zipmap": False}, target_opset=18)
    (tmp_path / "model.onnx").write_bytes(converted.SerializeToString())
    report = project.register("text", tmp_path / "model.onnx")
    assert report.inputs["kind"] == "string"
    frame = FRAME.copy()
    frame.loc[3, "kind"] = None
    found = batchinfer.predict(frame, "models:/text@champion")
    assert "null; the model takes text" in found["error"][3] and found["error"].drop(3).isna().all()
    np.testing.assert_allclose(
        found["score"].drop(3), model.predict_proba(FRAME)[:, 1][np.arange(9) != 3], rtol=1e-4
    )
