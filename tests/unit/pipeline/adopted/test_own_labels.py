"""`label` is what the model itself says, `score` its probability: nothing is derived again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from .landed_rows import LandedRows

Land = Callable[..., LandedRows]
ROWS = 200


def numbers() -> pa.Table:
    random = np.random.default_rng(3)
    return pa.table(
        {"id": np.arange(ROWS), "x": random.normal(size=ROWS), "y": random.normal(size=ROWS)}
    )


def target(frame: Any, words: tuple[Any, ...] = ("stay", "go")) -> list[Any]:
    noise = np.random.default_rng(4).normal(size=len(frame))
    places = np.digitize(frame["x"] + noise, np.linspace(-1, 1, len(words) + 1)[1:-1])
    return [words[place] for place in places]


def save(model: Any, path: Path) -> Path:
    import skops.io

    skops.io.dump(model, path)
    return path


def test_an_estimator_with_a_threshold_of_its_own_keeps_it(landed: Land, tmp_path: Path) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import FixedThresholdClassifier

    project = landed(numbers())
    frame = project.frame()[["x", "y"]]
    model = FixedThresholdClassifier(
        LogisticRegression(), threshold=0.2, pos_label="go", response_method="predict_proba"
    ).fit(frame, target(frame, ("go", "stay")))
    report = project.register(save(model, tmp_path / "m.skops"), "model.trust=pickle")
    [held] = report.held_against
    assert (held["labels_differ"], held["numbers_differ"], held["rows"]) == (0, 0, ROWS)
    found = project.scored("model.trust=pickle")
    said = model.predict(frame)
    assert found["label"].tolist() == said.tolist()
    # The threshold matters here: the likeliest class is another one in some rows.
    likeliest = model.classes_[model.predict_proba(frame).argmax(axis=1)]
    assert (said != likeliest).any()
    np.testing.assert_array_equal(found["score"], model.predict_proba(frame)[:, 1])


@pytest.mark.filterwarnings("ignore:The `probability` parameter was deprecated")
@pytest.mark.parametrize("words", [("stay", "go"), ("a", "b", "c"), (1, 2), (1.0, 2.0, 3.0)])
def test_a_support_vector_classifier_says_what_its_predict_says(
    landed: Land, tmp_path: Path, words: tuple[Any, ...]
) -> None:
    from sklearn.svm import SVC

    project = landed(numbers())
    frame = project.frame()[["x", "y"]]
    model = SVC(probability=True, random_state=1).fit(frame, target(frame, words))
    project.register(save(model, tmp_path / "m.skops"))
    found = project.scored()
    assert found["label"].tolist() == [str(one) for one in model.predict(frame)]
    scores = model.predict_proba(frame)
    if len(words) == 2:
        np.testing.assert_array_equal(found["score"], scores[:, 1])
    else:
        places = [[str(one) for one in words].index(label) for label in found["label"]]
        np.testing.assert_array_equal(found["score"], scores[np.arange(ROWS), places])


def test_the_label_of_an_onnx_model_is_its_own_output(landed: Land, tmp_path: Path) -> None:
    """A graph whose label is not the likeliest class: it says the first one from 0.1 up."""
    import onnx
    from onnx import TensorProto, helper

    project = landed(numbers())
    nodes = [
        helper.make_node("Concat", ["x", "y"], ["both"], axis=1),
        helper.make_node("Softmax", ["both"], ["probabilities"], axis=1),
        helper.make_node("Split", ["probabilities"], ["first", "second"], axis=1, num_outputs=2),
        helper.make_node("Less", ["first", "edge"], ["is_second"]),
        helper.make_node("Cast", ["is_second"], ["wide"], to=TensorProto.INT64),
        helper.make_node("Squeeze", ["wide", "axis"], ["label"]),
    ]
    float_, rows = TensorProto.FLOAT, "rows"
    graph = helper.make_graph(
        nodes, "own",
        [helper.make_tensor_value_info(name, float_, [rows, 1]) for name in "xy"],
        [helper.make_tensor_value_info("label", TensorProto.INT64, [rows]),
         helper.make_tensor_value_info("probabilities", float_, [rows, 2])],
        [onnx.numpy_helper.from_array(np.array(0.1, np.float32), "edge"),
         onnx.numpy_helper.from_array(np.array([1], np.int64), "axis")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, str(tmp_path / "m.onnx"))
    report = project.register(tmp_path / "m.onnx")
    assert report.outputs == {"label": "string", "prediction": "array<double>"}
    found = project.scored()
    first = np.stack(found["prediction"])[:, 0]
    assert found["label"].tolist() == [str(int(one < 0.1)) for one in first]


def test_rows_of_no_class_by_name_keep_a_label_and_no_invented_score(
    landed: Land, tmp_path: Path
) -> None:
    from sklearn.svm import LinearSVC

    project = landed(numbers())
    frame = project.frame()[["x", "y"]]
    model = LinearSVC().fit(frame, target(frame))
    assert project.register(save(model, tmp_path / "m.skops")).outputs == {"label": "string"}
    assert project.scored()["label"].tolist() == model.predict(frame).tolist()
