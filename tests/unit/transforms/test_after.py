"""Steps after the model: any batch gives what its rows give, values equal scikit-learn's, and what
does not fit is told.
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import preprocessing
from sklearn.calibration import _SigmoidCalibration, _TemperatureScaling
from sklearn.isotonic import IsotonicRegression
from transform_cases import column_batch, fitted

from batchinfer.errors import ModelError
from batchinfer.transforms import (
    AFTER_STEPS,
    PostProcess,
    StepProblem,
    check_after,
    fit_after,
    parse_after,
)

NUMBER = st.floats(-50, 50) | st.sampled_from([0.0, float("nan"), float("inf")])
LABELS = ("no", "yes")
FIELDS: dict[str, pa.DataType] = {
    "score": pa.float64(),
    "label": pa.string(),
    "prediction": pa.float64(),
    "many": pa.list_(pa.float64()),
    "scores": pa.map_(pa.string(), pa.float64()),
}
CASES: list[tuple[list[dict[str, Any]], list[str]]] = [
    ([{"threshold": {"value": 0.3}}], ["score", "label"]),
    (
        [{"threshold": {"columns": "prediction", "value": 5, "labels": ["low", "high"]}}],
        ["prediction"],
    ),
    ([{"label_map": {"values": {"no": "poor", "yes": "rich"}}}], ["score", "label"]),
    ([{"label_map": {"values": {"a": "x", "b": "x"}, "default": "rest"}}], ["label", "scores"]),
    ([{"softmax": {"columns": "many"}}, {"top_k": {"columns": "many", "k": 2}}], ["many"]),
    ([{"top_k": {"k": 2}}], ["scores", "label"]),
    (
        [{"round": {"columns": ["prediction", "many", "scores"], "digits": 1}}],
        ["prediction", "many", "scores"],
    ),
    ([{"clip": {"lower": 0, "upper": 10}}, {"round": {}}], ["prediction"]),
    ([{"inverse": {"step": "log1p"}}], ["prediction"]),
]
every_case = pytest.mark.parametrize(
    ("raw", "columns"),
    CASES,
    ids=["+".join(key for step in raw for key in step) for raw, _ in CASES],
)


def steps_of(raw: list[dict[str, Any]]) -> Any:
    steps, problems = parse_after(raw)
    assert problems == []
    return steps


def post(
    raw: list[dict[str, Any]], fields: dict[str, pa.DataType], labels: tuple[str, ...] = LABELS
) -> PostProcess:
    return fit_after(steps_of(raw), fields, labels, None)


def rows(columns: list[str]) -> st.SearchStrategy[list[dict[str, Any]]]:
    value = {
        "score": st.floats(0, 1),
        "label": st.sampled_from(["no", "yes", "a", "b", "other"]),
        "prediction": NUMBER,
        "many": st.lists(NUMBER, max_size=4),
        "scores": st.lists(
            st.tuples(st.sampled_from("abcd"), st.floats(0, 1)),
            max_size=4,
            unique_by=lambda pair: pair[0],
        ),
    }
    return st.lists(st.fixed_dictionaries({name: value[name] for name in columns}), max_size=9)


def frame_of(data: list[dict[str, Any]], columns: list[str]) -> dict[str, pa.Array]:
    return {name: pa.array([row[name] for row in data], FIELDS[name]) for name in columns}


@every_case
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_batch_gives_what_its_rows_give_in_the_declared_types(
    raw: Any, columns: list[str], data: st.DataObject
) -> None:
    steps = post(raw, {name: FIELDS[name] for name in columns})
    steps = PostProcess.from_json(json.loads(json.dumps(steps.to_json())))
    values = data.draw(rows(columns))
    whole = steps.apply(frame_of(values, columns))
    assert {name: array.type for name, array in whole.items()} == steps.fields
    cut = data.draw(st.integers(0, len(values)))
    sliced = {name: array.slice(cut) for name, array in frame_of(values, columns).items()}
    for first, part in (
        (cut, steps.apply(sliced)),
        *((at, steps.apply(frame_of([row], columns))) for at, row in enumerate(values)),
    ):
        for name, array in part.items():
            expected = whole[name].slice(first, len(array))
            assert repr(array.to_pylist()) == repr(expected.to_pylist())


def test_every_step_after_the_model_has_a_case() -> None:
    assert {name for raw, _ in CASES for step in raw for name in step} | {"calibrate"} == set(
        AFTER_STEPS
    )


def test_threshold_names_the_positive_label_from_its_value_up() -> None:
    frame = {"score": pa.array([0.69, 0.7, 1.0]), "label": pa.array(["yes"] * 3)}
    got = post(
        [{"threshold": {"value": 0.7}}], {name: array.type for name, array in frame.items()}
    ).apply(frame)
    assert got["label"].to_pylist() == ["no", "yes", "yes"] and list(got) == ["score", "label"]
    high = post(
        [{"threshold": {"value": 5, "labels": ["low", "high"]}}], {"prediction": pa.float64()}, ()
    )
    assert high.apply({"prediction": pa.array([4.9, 5.0])})["label"].to_pylist() == ["low", "high"]


def test_shares_whose_names_become_one_are_added_up() -> None:
    shares = pa.array([[("a", 0.2), ("b", 0.5), ("c", 0.3)], []], FIELDS["scores"])
    steps = post(
        [{"label_map": {"columns": "scores", "values": {"a": "x", "c": "x"}}}],
        {"scores": FIELDS["scores"]},
    )
    assert steps.apply({"scores": shares})["scores"].to_pylist() == [[("x", 0.5), ("b", 0.5)], []]


def test_where_label_map_merges_shares_the_label_is_the_greatest_and_the_score_is_its_share() -> (
    None
):
    names = ["label", "score", "scores"]
    data = [
        {"label": "low", "score": 0.4, "scores": [("low", 0.4), ("mid", 0.3), ("high", 0.3)]},
        {"label": "high", "score": 0.5, "scores": [("low", 0.3), ("mid", 0.2), ("high", 0.5)]},
        {
            "label": "low",
            "score": 0.9,
            "scores": [("low", 0.9), ("other", 0.1)],
        },  # nothing merged: as the model said
    ]
    steps = post(
        [{"label_map": {"values": {"mid": "top", "high": "top"}}}],
        {name: FIELDS[name] for name in names},
    )
    got = steps.apply(frame_of(data, names))
    assert got["label"].to_pylist() == ["top", "top", "low"]
    assert got["score"].to_pylist() == pytest.approx([0.6, 0.7, 0.9])
    assert steps.apply(frame_of([], names))["label"].to_pylist() == []
    alone = post(
        [{"label_map": {"columns": "label", "values": {"high": "top"}}}],
        {name: FIELDS[name] for name in names},
    )
    assert alone.apply(frame_of(data, names))["score"].to_pylist() == [0.4, 0.5, 0.9]


def test_softmax_with_labels_gives_what_a_classifier_gives() -> None:
    many = pa.array([[1.0, 3.0, 2.0], [0.0, 0.0, -1.0]], pa.list_(pa.float64()))
    steps = post(
        [{"softmax": {"columns": "many", "labels": ["a", "b", "c"]}}], {"many": many.type}, ()
    )
    got = steps.apply({"many": many})
    e = [math.exp(value) for value in (1, 3, 2)]
    assert got["label"].to_pylist() == ["b", "a"] and got["score"][0].as_py() == pytest.approx(
        e[1] / sum(e)
    )
    assert dict(got["scores"][0].as_py()) == pytest.approx(
        dict(zip("abc", (value / sum(e) for value in e), strict=True))
    )
    with pytest.raises(ValueError, match="got 2 numbers; allowed: one for each of 3 labels"):
        steps.apply({"many": pa.array([[1.0, 2.0]], many.type)})
    # Large numbers do not overflow, and equal ones share.
    huge = post([{"softmax": {"columns": "many"}}], {"many": many.type}).apply(
        {"many": pa.array([[1e300, 1e300]], many.type)}
    )
    assert huge["many"].to_pylist() == [[0.5, 0.5]]


def test_top_k_orders_items_and_shows_what_is_no_number() -> None:
    many = pa.array(
        [[1.0, 3.0, 3.0, 2.0], [5.0], [], [1.0, float("nan"), 2.0]], pa.list_(pa.float64())
    )
    got = (
        post([{"top_k": {"columns": "many", "k": 2}}], {"many": many.type})
        .apply({"many": many})["items"]
        .to_pylist()
    )
    assert got[:3] == [
        [{"item": "1", "score": 3.0}, {"item": "2", "score": 3.0}],
        [{"item": "0", "score": 5.0}],
        [],
    ]
    assert got[3][0]["item"] == "1" and math.isnan(got[3][0]["score"])
    named = post(
        [{"top_k": {"columns": "many", "k": 1, "labels": ["a", "b"]}}], {"many": many.type}
    )
    assert named.apply({"many": pa.array([[1.0, 2.0]], many.type)})["items"].to_pylist() == [
        [{"item": "b", "score": 2.0}]
    ]
    with pytest.raises(
        ValueError, match="got at least 3 numbers; allowed: one for each of 2 labels"
    ):
        named.apply({"many": pa.array([[1.0, 2.0, 3.0]], many.type)})


@pytest.mark.parametrize(
    ("raw", "counterpart"),
    [
        ({"standardize": {"columns": "number"}}, preprocessing.StandardScaler()),
        ({"min_max": {"columns": "number"}}, preprocessing.MinMaxScaler()),
        ({"robust": {"columns": "number"}}, preprocessing.RobustScaler()),
    ],
)
def test_inverse_equals_scikit_learn(raw: dict[str, Any], counterpart: Any) -> None:
    values = np.random.default_rng(0).normal(5, 3, 50)
    transforms = fitted([raw], column_batch("number", values.tolist()))
    steps = fit_after(
        steps_of([{"inverse": {"of": "number"}}]), {"prediction": pa.float64()}, (), transforms
    )
    counterpart.fit(values[:, None])
    asked = np.array([-2.0, 0.0, 0.5, 3.0])
    got = steps.apply({"prediction": pa.array(asked)})["prediction"].to_numpy()
    np.testing.assert_allclose(got, counterpart.inverse_transform(asked[:, None])[:, 0], rtol=1e-6)


@settings(max_examples=25, deadline=None)
@given(values=st.lists(st.floats(-0.9, 100), min_size=3, max_size=20, unique=True))
def test_inverse_brings_a_column_back_through_all_its_steps(values: list[float]) -> None:
    raw = [
        {"impute": {"columns": "number", "strategy": "mean"}},
        {"log1p": {"columns": "number"}},
        {"yeo_johnson": {"columns": "number"}},
        {"standardize": {"columns": "number"}},
    ]
    batch = column_batch("number", values)
    transforms = fitted(raw, batch)
    forth = transforms.apply(batch)["number"]
    steps = fit_after(
        steps_of([{"inverse": {"of": "number"}}]), {"prediction": pa.float64()}, (), transforms
    )
    np.testing.assert_allclose(
        steps.apply({"prediction": forth})["prediction"].to_numpy(), values, rtol=1e-6, atol=1e-6
    )


def scored(count: int = 400) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(2)
    odds = random.normal(0, 2, count)
    return odds, (random.random(count) < 1 / (1 + np.exp(-(0.5 * odds - 0.7)))).astype(int)


def calibrated(method: str, odds: np.ndarray, target: np.ndarray) -> PostProcess:
    score = 1 / (1 + np.exp(-odds))
    predictions = {"score": pa.array(score), "label": pa.array(np.where(score >= 0.5, "yes", "no"))}
    return fit_after(
        steps_of([{"calibrate": {"method": method}}]), predictions, LABELS, None, target
    )


@pytest.mark.parametrize("method", ["sigmoid", "isotonic", "temperature"])
def test_calibrate_equals_scikit_learn(method: str) -> None:
    odds, target = scored()
    steps = calibrated(method, odds, target)
    asked = np.linspace(-6, 6, 41)
    score = 1 / (1 + np.exp(-asked))
    got = steps.apply({"score": pa.array(score), "label": pa.array(["no"] * 41)})
    if method == "sigmoid":
        expected = _SigmoidCalibration().fit(odds, target).predict(asked)
    elif method == "isotonic":
        expected = (
            IsotonicRegression(out_of_bounds="clip")
            .fit(1 / (1 + np.exp(-odds)), target)
            .predict(score)
        )
    else:
        expected = _TemperatureScaling().fit(odds, target).predict(asked)[:, 1]
    np.testing.assert_allclose(got["score"].to_numpy(), expected, rtol=1e-4, atol=1e-5)
    assert (
        got["label"].to_pylist() == np.where(got["score"].to_numpy() >= 0.5, "yes", "no").tolist()
    )


def test_temperature_of_several_classes_softens_what_is_too_sure() -> None:
    random = np.random.default_rng(4)
    truth = random.normal(size=(600, 3))
    target = (truth + random.gumbel(size=(600, 3))).argmax(axis=1)
    shares = np.exp(3 * truth)
    shares /= shares.sum(axis=1, keepdims=True)
    maps = pa.array(
        [list(zip("abc", row, strict=True)) for row in shares.tolist()], FIELDS["scores"]
    )
    predictions = {
        "label": pa.array(["abc"[at] for at in shares.argmax(axis=1)]),
        "score": pa.array(shares.max(axis=1)),
        "scores": maps,
    }
    steps = fit_after(
        steps_of([{"calibrate": {"method": "temperature"}}]),
        predictions,
        ("a", "b", "c"),
        None,
        target,
    )
    assert steps.states[0]["temperature"] == pytest.approx(3, rel=0.15)
    got = steps.apply(predictions)
    assert all(
        dict(row)[label] == pytest.approx(score)
        for row, label, score in zip(
            got["scores"].to_pylist(),
            got["label"].to_pylist(),
            got["score"].to_pylist(),
            strict=True,
        )
    )
    assert got["score"].to_numpy().mean() < shares.max(axis=1).mean() - 0.05


def test_calibrate_without_rows_of_both_classes_changes_nothing() -> None:
    odds, _ = scored(10)
    steps = calibrated("sigmoid", odds, np.ones(10, int))
    frame = {"score": pa.array([0.2, float("nan")]), "label": pa.array(["no", "yes"])}
    assert repr(steps.apply(frame)["score"].to_pylist()) == "[0.2, nan]"


@pytest.mark.parametrize("method", ["sigmoid", "isotonic", "temperature"])
def test_a_score_that_is_no_number_stays_none(method: str) -> None:
    steps = calibrated(method, *scored())
    got = steps.apply({"score": pa.array([float("nan"), 0.5]), "label": pa.array(["no", "no"])})
    assert math.isnan(got["score"][0].as_py()) and not math.isnan(got["score"][1].as_py())


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


def test_a_column_that_cannot_be_undone_is_told() -> None:
    transforms = fitted([{"one_hot": {"columns": "text"}}], column_batch("text", ["a"]))
    with pytest.raises(StepProblem, match="one_hot cannot be undone"):
        transforms.undo("text")
    with pytest.raises(StepProblem, match="no step changes a column 'number'; allowed: text"):
        transforms.undo("number")


def test_a_state_of_another_version_is_refused() -> None:
    value = post([{"round": {"digits": 1}}], {"prediction": pa.float64()}).to_json()
    value["steps"][0]["version"] = 2
    with pytest.raises(
        ModelError, match="round has version 1 in this release, and 2 in the bundle"
    ):
        PostProcess.from_json(value)
