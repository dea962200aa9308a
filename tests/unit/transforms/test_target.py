"""Steps that are fitted on the target: equal to scikit-learn, blind to a row's own label, refused
without a target.
"""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import feature_selection
from sklearn.preprocessing import TargetEncoder
from transform_cases import FIELDS, problems_of, steps_of

from batchinfer.errors import InputError
from batchinfer.transforms import (
    ROW_HASH,
    TARGET,
    StepProblem,
    TransformPipeline,
    accumulate_pass,
    check_steps,
    feature_columns,
    finish_pass,
    fit,
    fit_passes,
    merge_pass,
)

CATEGORY = st.sampled_from([*"abcde", ""]) | st.none()


def batch(target: list[Any], type_: pa.DataType, **columns: list[Any]) -> pa.RecordBatch:
    rows = len(target)
    arrays = {name: pa.array(values, FIELDS[name]) for name, values in columns.items()}
    hashes = np.random.default_rng(3).integers(0, 2**63, rows, dtype=np.uint64)
    return pa.RecordBatch.from_pydict(
        arrays | {TARGET: pa.array(target, type_), ROW_HASH: pa.array(hashes)}
    )


def fit_on(rows: pa.RecordBatch, *raw: dict[str, Any]) -> TransformPipeline:
    return fit(steps_of(*raw), {field.name: field.type for field in rows.schema}, lambda: [rows])


def text_array(values: list[Any]) -> np.ndarray:
    return np.array(values, dtype=object)[:, None]


@settings(max_examples=40, deadline=None)
@given(
    data=st.lists(
        st.tuples(CATEGORY, st.sampled_from([0.0, 1.0, 2.5, -7.0])), min_size=2, max_size=50
    ),
    binary=st.booleans(),
    smoothing=st.sampled_from(["auto", 0.0, 1.0, 20.0]),
)
def test_target_encode_equals_scikit_learn(data: Any, binary: bool, smoothing: Any) -> None:
    texts, target = (
        [text for text, _ in data],
        [float(value > 0) if binary else value for _, value in data],
    )
    if binary and len(set(target)) < 2:
        target[0] = 1 - target[0]
    rows = batch(target, pa.float64(), text=texts)
    ours = fit_on(rows, {"target_encode": {"columns": "text", "smoothing": smoothing}})
    theirs = TargetEncoder(smooth=smoothing, target_type="binary" if binary else "continuous")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs.fit(text_array(texts), np.array(target))
        asked = [*"abcdexyz", "", None]
        seen = set(texts)
        expected = theirs.transform(text_array(asked))[:, 0]
    # A category that scikit-learn never saw has the mean of all; so has missing, unless it was
    # seen.
    assert None in seen or expected[-1] == pytest.approx(theirs.target_mean_)
    got = ours.apply(pa.RecordBatch.from_pydict({"text": pa.array(asked, pa.string())}))["text"]
    np.testing.assert_allclose(got.to_numpy(), expected, rtol=1e-9, atol=1e-9)


@settings(max_examples=25, deadline=None)
@given(
    data=st.lists(
        st.tuples(CATEGORY, st.sampled_from(["low", "mid", "top"])), min_size=6, max_size=50
    )
)
def test_target_encode_of_several_classes_equals_scikit_learn(data: Any) -> None:
    texts, target = [text for text, _ in data], [label for _, label in data]
    target[:3] = ["top", "low", "mid"]
    ours = fit_on(batch(target, pa.string(), text=texts), {"target_encode": {"columns": "text"}})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = TargetEncoder(target_type="multiclass").fit(
            text_array(texts), np.array(target, dtype=object)
        )
        asked = [*"abcdexyz", "", None]
        expected = theirs.transform(text_array(asked))
    rows = pa.RecordBatch.from_pydict({"text": pa.array(asked, pa.string())})
    np.testing.assert_allclose(ours.matrix(rows), expected, rtol=1e-6, atol=1e-7)
    assert ours.feature_names() == ["text:low", "text:mid", "text:top"]


@settings(max_examples=25, deadline=None)
@given(
    data=st.lists(st.tuples(CATEGORY, st.sampled_from([0.0, 1.0, 2.5])), min_size=8, max_size=60)
)
def test_rows_that_are_learned_from_are_encoded_by_the_other_folds(data: Any) -> None:
    texts, target = [text for text, _ in data], [value for _, value in data]
    rows = batch(target, pa.float64(), text=texts)
    ours = fit_on(rows, {"target_encode": {"columns": "text", "smoothing": 3, "folds": 4}})
    hashes = rows.column(ROW_HASH).to_numpy()
    got = ours.tensors(rows, hashes)["features"][:, 0]
    for fold in range(4):
        inside = hashes % 4 == fold
        outside = [
            (text, value) for (text, value), held in zip(data, inside, strict=True) if not held
        ]
        for place in np.flatnonzero(inside):
            of_category = [value for text, value in outside if text == texts[place]]
            prior = sum(value for _, value in outside) / len(outside) if outside else 0.0
            expected = (sum(of_category) + 3 * prior) / (len(of_category) + 3)
            assert got[place] == pytest.approx(expected, rel=1e-6, abs=1e-6)
    # Without a hash, as in scoring, there is one encoding of all; it is what goes into a bundle.
    np.testing.assert_array_equal(
        ours.tensors(rows)["features"], ours.released().tensors(rows, hashes)["features"]
    )
    assert ours.released().to_json()["steps"][0]["state"]["text"]["out_of_fold"] == []


def test_a_row_without_a_label_counts_nowhere_and_unknown_categories_have_the_mean_of_all() -> None:
    rows = batch([1.0, None, 0.0, float("nan")], pa.float64(), text=["a", "a", "b", "c"])
    ours = fit_on(rows, {"target_encode": {"columns": "text", "smoothing": 0}})
    asked = pa.RecordBatch.from_pydict({"text": pa.array(["a", "b", "c", "new", None, ""])})
    assert ours.apply(asked)["text"].to_pylist() == [1.0, 0.0, 0.5, 0.5, 0.5, 0.5]
    nothing = fit_on(
        batch([None], pa.float64(), text=["a"]), {"target_encode": {"columns": "text"}}
    )
    assert nothing.apply(asked)["text"].to_pylist() == [0.0] * 6


def test_later_steps_are_fitted_on_what_the_model_learns_from() -> None:
    rows = batch([1.0, 0.0, 1.0, 0.0] * 5, pa.float64(), text=["a", "b", "c", "a"] * 5)
    ours = fit_on(
        rows, {"target_encode": {"columns": "text"}}, {"standardize": {"columns": "text"}}
    )
    learned = ours.tensors(rows, rows.column(ROW_HASH).to_numpy())["features"]
    assert learned.mean() == pytest.approx(0, abs=1e-6) and learned.std() == pytest.approx(
        1, abs=1e-5
    )


def test_merging_classes_that_parts_lack() -> None:
    whole = batch(["x", "y", "z", "x"], pa.string(), text=["a", "b", "a", None])
    steps, states = steps_of({"target_encode": {"columns": "text"}}), {}
    fields = {field.name: field.type for field in whole.schema}
    for passed in fit_passes(steps):
        parts = [
            json.loads(
                json.dumps(accumulate_pass(steps, states, passed, [whole.slice(at, 1)], fields))
            )
            for at in range(4)
        ]
        states = finish_pass(steps, passed, merge_pass(parts), fields, states)
    assert states["0"] == fit(steps, fields, lambda: [whole]).states[0]


NON_NEGATIVE = st.floats(0, 100).map(lambda value: round(value, 2))


@settings(max_examples=30, deadline=None)
@given(
    data=st.lists(
        st.tuples(NON_NEGATIVE, NON_NEGATIVE, st.sampled_from("abc"), st.sampled_from("xyz")),
        min_size=5,
        max_size=40,
    )
)
def test_chi2_and_variance_equal_scikit_learn(data: Any) -> None:
    columns = {
        "number": [row[0] for row in data],
        "other": [row[1] for row in data],
        "text": [row[2] for row in data],
    }
    labels = [
        "x",
        "y",
        *(row[3] for row in data[2:]),
    ]  # of one class only, scikit-learn divides 0 by 0
    rows = batch(labels, pa.string(), **columns)
    one_hot = {"one_hot": {"columns": "text"}}
    wide = (
        fit_on(rows, {"impute": {"columns": ["number", "other"], "strategy": "mean"}}, one_hot)
        .matrix(rows)
        .astype(np.float64)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        chi2, _ = feature_selection.chi2(wide, labels)
    names = ["number", "other", "text"]
    for method, expected in (("chi2", chi2), ("variance", wide.var(axis=0))):
        k = wide.shape[1]
        ours = fit_on(rows, one_hot, {"select": {"columns": names, "method": method, "k": k}})
        scores = [score for name in names for score in ours.states[1][name]["scores"]]
        np.testing.assert_allclose(scores, np.nan_to_num(expected, nan=-1.0), rtol=1e-5, atol=1e-6)
        best = fit_on(rows, one_hot, {"select": {"columns": names, "method": method, "k": 1}})
        assert best.width == 1
        kept = [
            place
            for name, start in (("number", 0), ("other", 1), ("text", 2))
            for place in (start + at for at in best.states[1][name]["kept"])
        ]
        assert np.nan_to_num(expected, nan=-1.0)[kept[0]] == pytest.approx(
            np.nan_to_num(expected, nan=-1.0).max(), rel=1e-5, abs=1e-6
        )


@pytest.mark.parametrize("classes", [True, False])
def test_mutual_information_equals_scikit_learn(classes: bool) -> None:
    random = np.random.default_rng(1)
    number, other, whole = (
        random.normal(size=300),
        random.normal(size=300),
        random.integers(0, 4, 300),
    )
    signal = number + 0.3 * random.normal(size=300)
    target: Any = np.where(signal > 0, "yes", "no").tolist() if classes else signal.tolist()
    rows = batch(
        target,
        pa.string() if classes else pa.float64(),
        number=number.tolist(),
        other=other.tolist(),
        whole=whole.tolist(),
    )
    ours = fit_on(
        rows,
        {
            "select": {
                "columns": ["other", "whole", "number"],
                "method": "mutual_information",
                "k": 3,
            }
        },
    )
    order = np.argsort(rows.column(ROW_HASH).to_numpy())
    estimate = (
        feature_selection.mutual_info_classif
        if classes
        else feature_selection.mutual_info_regression
    )
    matrix = np.stack([other, whole, number], axis=1)[order]
    expected = estimate(
        matrix,
        np.array(target)[order],
        discrete_features=np.array([False, True, False]),
        random_state=0,
    )
    np.testing.assert_allclose(
        [ours.states[0][name]["scores"][0] for name in ("other", "whole", "number")], expected
    )
    one = fit_on(
        rows,
        {
            "select": {
                "columns": ["other", "whole", "number"],
                "method": "mutual_information",
                "k": 1,
            }
        },
    )
    assert one.feature_names() == ["number"] and one.width == 1


def test_what_never_changes_says_nothing_of_the_target() -> None:
    random = np.random.default_rng(2)
    rows = batch(
        random.normal(size=300).tolist(),
        pa.float64(),
        number=[7.5] * 300,
        other=random.normal(size=300).tolist(),
    )
    ours = fit_on(
        rows, {"select": {"columns": ["number", "other"], "method": "mutual_information", "k": 2}}
    )
    assert ours.states[0]["number"]["scores"] == [0.0]


def test_select_keeps_names_of_places_and_drops_whole_columns() -> None:
    rows = batch(
        [0.0] * 6,
        pa.float64(),
        text=["a", "b", "a", "b", "a", "c"],
        number=[1.0, 1.0, 1.0, 1.0, 1.0, 1.0],
    )
    ours = fit_on(
        rows,
        {"one_hot": {"columns": "text"}},
        {"select": {"columns": ["number", "text"], "method": "variance", "k": 2}},
    )
    assert ours.feature_names() == ["text=a", "text=b"] and ours.width == 2
    np.testing.assert_array_equal(ours.matrix(rows)[:, 0], [1, 0, 1, 0, 1, 0])
    assert ours.apply(rows)["number"].type == pa.list_(pa.float32(), 0)
    varying = fit_on(
        rows,
        {"one_hot": {"columns": "text"}},
        {"select": {"columns": ["number", "text"], "method": "variance"}},
    )
    assert varying.feature_names() == ["text=a", "text=b", "text=c"]


def test_select_takes_the_first_of_columns_whose_scores_differ_in_the_last_digits() -> None:
    from batchinfer.transforms.steps.select import _first_digits

    scores = np.array([0.3, 0.1 + 0.2, 0.3 * (1 + 1e-8), 0.0, -1.0, 3e-300, np.inf])
    assert scores[0] != scores[1]
    kept = _first_digits(scores)
    assert kept[0] == kept[1] < kept[2] and kept[3:5].tolist() == [0.0, -1.0]
    np.testing.assert_allclose(kept, scores, rtol=1e-9)


def test_select_by_names_feeds_these_and_no_others() -> None:
    steps = steps_of(
        {"ratio": {"columns": ["number", "other"]}},
        {"embedding_index": {"columns": "text"}},
        {"standardize": {"columns": "whole"}},
        {"select": {"columns": ["number_per_other", "text", "flag"], "method": "names"}},
        {"log1p": {"columns": "other"}},
    )
    assert feature_columns(steps, FIELDS) == ["other", "number_per_other", "text", "flag"]
    rows = pa.RecordBatch.from_pydict(
        {"number": [4.0], "other": [2.0], "text": ["a"], "flag": [True], "whole": [1]}
    )
    ours = fit(steps, FIELDS, lambda: [rows])
    assert list(ours.inputs().integers) == ["text"] and ours.inputs().features == (
        "other",
        "number_per_other",
        "flag",
    )


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({"select": {"columns": "number", "method": "chi2"}}, "k is missing"),
        (
            {"select": {"columns": "number", "method": "names", "k": 2}},
            "k does not go with method: names",
        ),
        (
            {"select": {"columns": "number", "method": "anova", "k": 2}},
            "'variance', 'mutual_information', 'chi2' or 'names'",
        ),
        (
            {"select": {"columns": "number", "method": "variance", "k": 0}},
            "greater than or equal to 1",
        ),
        ({"target_encode": {"columns": "text", "smoothing": -1}}, "auto, or a number from 0 up"),
        ({"target_encode": {"columns": "text", "folds": 1}}, "greater than or equal to 2"),
    ],
)
def test_parameters_are_refused_in_words(raw: dict[str, Any], words: str) -> None:
    (problem,) = problems_of(raw)
    assert words in problem.message


def test_a_target_that_does_not_fit_is_told_before_any_data_is_read() -> None:
    chi2 = steps_of({"select": {"columns": "number", "method": "chi2", "k": 1}})
    encode = steps_of({"target_encode": {"columns": "text"}})
    assert "needs a target of classes" in check_steps(chi2, FIELDS, target="number")[0].message
    assert not check_steps(chi2, FIELDS, target="classes") and not check_steps(
        encode, FIELDS, target="number"
    )
    assert (
        "fitted on the target, and there is none"
        in check_steps(encode, FIELDS, target=None)[0].message
    )
    plain = {"text": pa.string()}
    with pytest.raises(StepProblem, match="hidden column"):
        fit(encode, plain, lambda: [pa.RecordBatch.from_pydict({"text": ["a"]})])


def test_chi2_refuses_what_is_below_zero() -> None:
    rows = batch([1.0, 0.0], pa.float64(), number=[1.0, -2.0])
    with pytest.raises(
        InputError,
        match=r"column 'number' has -2\.0, which chi2 cannot judge; allowed: finite numbers from 0 "
        r"up",
    ):
        fit_on(rows, {"select": {"columns": "number", "method": "chi2", "k": 1}})
