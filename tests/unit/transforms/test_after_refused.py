"""Steps after the model that do not fit the predictions are refused in words."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from after_cases import FIELDS, LABELS, post, steps_of

from batchinfer.errors import ModelError
from batchinfer.transforms import (
    PostProcess,
    StepProblem,
    check_after,
    fit_after,
    parse_after,
)


@pytest.mark.parametrize(
    ("raw", "fields", "labels", "words"),
    [
        (
            {"threshold": {"value": 1}},
            {"prediction": pa.float64()},
            (),
            "labels are missing, and the model has no classes",
        ),
        (
            {"threshold": {"columns": "scroe", "value": 1}},
            {"score": pa.float64()},
            LABELS,
            "did you mean 'score'",
        ),
        (
            {"softmax": {}},
            {"prediction": pa.float64()},
            (),
            "'prediction' is double; allowed: numbers",
        ),
        (
            {"top_k": {"k": 1}},
            {"label": pa.string()},
            (),
            "none of its usual columns (scores, prediction) is there",
        ),
        (
            {"calibrate": {"method": "sigmoid"}},
            {"prediction": pa.float64(), "score": pa.float64()},
            (),
            "the model is no classifier",
        ),
        (
            {"calibrate": {"method": "isotonic"}},
            {"score": pa.float64(), "scores": FIELDS["scores"]},
            ("a", "b", "c"),
            "for two classes, and the model has several",
        ),
        (
            {"label_map": {"columns": "score", "values": {"a": "b"}}},
            {"score": pa.float64()},
            LABELS,
            "allowed: text, shares",
        ),
        (
            {"inverse": {"of": "price"}},
            {"prediction": pa.float64()},
            (),
            "no features of this project's to undo",
        ),
    ],
)
def test_what_does_not_fit_the_predictions_is_told(
    raw: Any, fields: Any, labels: Any, words: str
) -> None:
    with pytest.raises(StepProblem) as caught:
        fit_after(steps_of([raw]), fields, labels, None)
    assert words in str(caught.value)
    if "inverse" not in raw:
        (problem,) = check_after(steps_of([raw]), fields, labels)
        assert problem.path[:2] == ("postprocess", 0) and words in problem.message


def test_calibrate_stands_once() -> None:
    twice = steps_of(
        [{"calibrate": {"method": "sigmoid"}}, {"calibrate": {"method": "temperature"}}]
    )
    (problem,) = check_after(twice, {"score": pa.float64(), "label": pa.string()}, LABELS)
    assert problem.path[:2] == ("postprocess", 1) and "twice" in problem.message


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({"treshold": {"value": 1}}, "did you mean 'threshold'"),
        ({"threshold": {}}, "'value' is missing"),
        ({"inverse": {}}, "give either of"),
        ({"clip": {}}, "no bound given"),
        ({"clip": {"lower": 3, "upper": 1}}, "lies above"),
        ({"softmax": {"labels": ["a", "a"]}}, "each label once"),
        ({"calibrate": {"method": "beta"}}, "'sigmoid', 'isotonic' or 'temperature'"),
        ({"top_k": {"k": 0}}, "greater than or equal to 1"),
        ({"top_k": {"k": True}}, "no true or false"),
        ({"inverse": {"step": "log10"}}, "'log1p'"),
    ],
)
def test_parameters_are_refused_in_words(raw: dict[str, Any], words: str) -> None:
    (problem,) = parse_after([raw])[1]
    assert problem.path[0] == "postprocess" and words in problem.message


def test_a_state_of_another_version_is_refused() -> None:
    value = post([{"round": {"digits": 1}}], {"prediction": pa.float64()}).to_json()
    value["steps"][0]["version"] = 2
    with pytest.raises(
        ModelError, match="round has version 1 in this release, and 2 in the bundle"
    ):
        PostProcess.from_json(value)
