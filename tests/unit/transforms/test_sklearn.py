"""Values equal scikit-learn's where it has a counterpart."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn import preprocessing
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from transform_cases import column_batch, fitted

NUMBERS = st.lists(
    st.floats(-1e5, 1e5).map(lambda value: round(value, 4)) | st.none(), min_size=2, max_size=40
)


def pair(
    counterpart: Any, step: dict[str, Any], values: list[float | None]
) -> tuple[np.ndarray, np.ndarray]:
    """(ours, theirs) as float64, NaN for missing."""
    assume(any(value is not None for value in values))
    array = np.array([np.nan if value is None else value for value in values], np.float64)
    batch = column_batch("number", values)
    ours = fitted([step], batch).apply(batch)["number"].to_numpy(zero_copy_only=False)
    return ours, counterpart.fit_transform(array[:, None])[:, 0]


@pytest.mark.parametrize(
    ("step", "counterpart"),
    [
        ({"standardize": {"columns": "number"}}, preprocessing.StandardScaler()),
        ({"min_max": {"columns": "number"}}, preprocessing.MinMaxScaler()),
        ({"robust": {"columns": "number"}}, preprocessing.RobustScaler()),
        ({"impute": {"columns": "number", "strategy": "mean"}}, SimpleImputer(strategy="mean")),
        ({"impute": {"columns": "number", "strategy": "median"}}, SimpleImputer(strategy="median")),
        (
            {"impute": {"columns": "number", "strategy": "most_frequent"}},
            SimpleImputer(strategy="most_frequent"),
        ),
        (
            {"impute": {"columns": "number", "strategy": "constant", "value": 7.5}},
            SimpleImputer(strategy="constant", fill_value=7.5),
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@settings(max_examples=25, deadline=None)
@given(values=NUMBERS)
def test_numbers_equal_scikit_learn(step: Any, counterpart: Any, values: Any) -> None:
    # scikit-learn calls spreads near rounding "constant" by a rule of its own, and its imputers
    # skip empty columns.
    known = [value for value in values if value is not None]
    assume(len(set(known)) != 2 or max(known) - min(known) > 1e-3)
    ours, theirs = pair(counterpart, step, values)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(
    fit_on=st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=40),
    values=st.lists(st.sampled_from("abcdefghxyz"), min_size=1, max_size=20),
    min_count=st.none() | st.integers(1, 4),
)
def test_one_hot_equals_scikit_learn(fit_on: Any, values: Any, min_count: Any) -> None:
    counts = {value: fit_on.count(value) for value in fit_on}
    kept = sorted(value for value, count in counts.items() if count >= (min_count or 1))
    theirs = (
        preprocessing.OneHotEncoder(handle_unknown="ignore", sparse_output=False) if kept else None
    )
    step = {"one_hot": {"columns": "text", **({"min_count": min_count} if min_count else {})}}
    ours = fitted([step], column_batch("text", fit_on)).matrix(column_batch("text", values))
    if theirs is None:
        assert ours.shape == (len(values), 0)
    else:
        theirs.fit(np.array(kept, dtype=object)[:, None])
        np.testing.assert_array_equal(
            ours, theirs.transform(np.array(values, dtype=object)[:, None])
        )


@settings(max_examples=25, deadline=None)
@given(
    fit_on=st.lists(st.sampled_from("abcdef"), min_size=1),
    values=st.lists(st.sampled_from("abcdefxyz"), min_size=1),
)
def test_ordinal_equals_scikit_learn(fit_on: Any, values: Any) -> None:
    theirs = preprocessing.OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    theirs.fit(np.array(fit_on, dtype=object)[:, None])
    batch = column_batch("text", values)
    ours = fitted([{"ordinal": {"columns": "text"}}], column_batch("text", fit_on)).apply(batch)[
        "text"
    ]
    np.testing.assert_array_equal(
        ours.to_numpy(), theirs.transform(np.array(values, dtype=object)[:, None])[:, 0]
    )


@settings(max_examples=20, deadline=None)
@given(
    values=st.lists(st.tuples(st.floats(-50, 50), st.floats(-50, 50)), min_size=1, max_size=20),
    degree=st.integers(2, 4),
)
def test_polynomial_equals_scikit_learn(values: Any, degree: Any) -> None:
    array = np.array(values)
    batch = pa.RecordBatch.from_arrays(
        [pa.array(array[:, 0]), pa.array(array[:, 1])], ["number", "other"]
    )
    transforms = fitted([{"polynomial": {"columns": ["number", "other"], "degree": degree}}], batch)
    theirs = preprocessing.PolynomialFeatures(degree, include_bias=False)
    expected = theirs.fit_transform(array)[:, 2:]
    names = [
        name.replace(" ", "*") for name in theirs.get_feature_names_out(["number", "other"])[2:]
    ]
    assert transforms.feature_names() == names
    applied = transforms.apply(batch)
    ours = np.stack([applied[name].to_numpy() for name in transforms.feature_names()], axis=1)
    np.testing.assert_allclose(ours, expected, rtol=1e-6, atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(
    values=st.lists(st.integers(-1000, 1000).map(float), min_size=8, max_size=60, unique=True),
    buckets=st.integers(2, 5),
)
def test_bucketize_equals_scikit_learn(values: Any, buckets: Any) -> None:
    theirs = preprocessing.KBinsDiscretizer(
        buckets, encode="ordinal", strategy="quantile", quantile_method="linear"
    )
    expected = theirs.fit_transform(np.array(values)[:, None])[:, 0]
    batch = column_batch("number", values)
    ours = fitted([{"bucketize": {"columns": "number", "quantiles": buckets}}], batch).apply(batch)[
        "number"
    ]
    edges = theirs.bin_edges_[0][1:-1]
    # A value that is an edge but for the last bit may fall to either side.
    near = np.abs(np.array(values)[:, None] - edges).min(axis=1) < 1e-9
    np.testing.assert_array_equal(ours.to_numpy()[~near], expected[~near])


@settings(max_examples=30, deadline=None)
@given(
    values=st.lists(
        st.floats(-20, 200).map(lambda value: round(value, 3)), min_size=5, max_size=60, unique=True
    )
)
def test_yeo_johnson_equals_scikit_learn(values: Any) -> None:
    theirs = preprocessing.PowerTransformer(standardize=False)
    expected = np.asarray(theirs.fit_transform(np.array(values)[:, None]))[:, 0]
    power = float(theirs.lambdas_[0])
    assume(abs(power) < 5.9)
    batch = column_batch("number", values)
    transforms = fitted([{"yeo_johnson": {"columns": "number"}}], batch)
    # Both searches stop where float64 no longer tells likelihoods apart, about 1e-8 of the power.
    assert transforms.to_json()["steps"][0]["state"]["number"]["power"] == pytest.approx(
        power, abs=1e-5
    )
    np.testing.assert_allclose(transforms.apply(batch)["number"].to_numpy(), expected, rtol=1e-4)


WORDS = st.lists(
    st.sampled_from(["cat", "dog", "The", "a", "é2", "x_y", "bird-song"]), max_size=8
).map(" ,".join)


@settings(max_examples=40, deadline=None)
@given(
    fit_on=st.lists(WORDS, min_size=1, max_size=10),
    values=st.lists(WORDS, min_size=1, max_size=5),
    ngrams=st.integers(1, 3),
)
def test_tfidf_equals_scikit_learn(fit_on: Any, values: Any, ngrams: Any) -> None:
    assume(any(len(word) > 1 for text in fit_on for word in text.split(" ,")))
    theirs = TfidfVectorizer(ngram_range=(1, ngrams))
    theirs.fit(fit_on)
    transforms = fitted(
        [{"tfidf": {"columns": "text", "ngrams": ngrams}}], column_batch("text", fit_on)
    )
    assert transforms.feature_names() == [f"text:{term}" for term in theirs.get_feature_names_out()]
    expected = theirs.transform(values).toarray()
    np.testing.assert_allclose(
        transforms.matrix(column_batch("text", values)), expected, rtol=1e-6, atol=1e-6
    )
