"""Targets, metrics, parameters and decoders, each against what was worked out in another way."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference

from batchinfer.config.pipeline import Target
from batchinfer.errors import ConfigError, InputError, ModelError
from batchinfer.models.class_names import positive_label
from batchinfer.models.handler import BinaryClassifier, MultiClassifier, RawOutput, Regressor
from batchinfer.models.metrics import binary_metrics, multiclass_metrics, regression_metrics
from batchinfer.models.mlp import build_module, load_class
from batchinfer.models.parameters import check_params
from batchinfer.models.targets import MAX_CLASSES, Classes, target_array


def listed(array: np.ndarray) -> list[float | None]:
    return [None if math.isnan(value) else value for value in array.tolist()]


def test_listed_values_are_positive() -> None:
    target = Target(column="income", positive=(">50K", ">50K."))
    column = pa.array([">50K", "<=50K", None, ">50K.", ">50K "])
    assert listed(target_array(column, target)) == [1, 0, None, 1, 0]
    assert listed(target_array(column.dictionary_encode(), target)) == [1, 0, None, 1, 0]
    assert listed(target_array(column[:0], target)) == []
    assert positive_label(target) == ">50K"


@pytest.mark.parametrize("pattern", ["(?i)bot|crawl", r"(?i)(?=b)bot|crawl"])
def test_a_pattern_is_searched_for(pattern: str) -> None:
    target = Target(column="agent", positive_pattern=pattern)
    column = pa.array(["Googlebot/2.1", "Mozilla", None, "", "a CRAWLer"])
    assert listed(target_array(column, target)) == [1, 0, None, 0, 1]
    assert positive_label(target) == "positive"


def test_with_both_either_makes_a_value_positive_and_the_list_names_it() -> None:
    target = Target(column="agent", positive=("curl",), positive_pattern="bot")
    assert listed(target_array(pa.array(["curl", "robot", "curly", None]), target)) == [
        1,
        1,
        0,
        None,
    ]
    assert positive_label(target) == "curl"


def test_a_broken_pattern_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match="positive_pattern: got '\\(bot'"):
        target_array(pa.array(["x"]), Target(column="agent", positive_pattern="(bot"))


def test_numbers_may_be_listed_as_positive() -> None:
    assert listed(target_array(pa.array([1, 0, None]), Target(column="y", positive=("1",)))) == [
        1,
        0,
        None,
    ]


@given(st.lists(st.lists(st.sampled_from(["b", "a", "10", "9", None]), max_size=6), max_size=5))
def test_codes_lead_back_to_the_values(batches: list[list[str | None]]) -> None:
    classes = Classes("y")
    codes = [classes.codes(pa.array(batch, pa.string())) for batch in batches]
    labels, order, counts = classes.order()
    values = [value for batch in batches for value in batch]
    back = [
        None if math.isnan(code) else labels[order[int(code)]] for part in codes for code in part
    ]
    assert back == values
    assert labels == [label for label in ("9", "10", "a", "b") if label in values]
    assert counts.tolist() == [values.count(label) for label in labels]


def test_a_column_of_names_is_no_set_of_classes() -> None:
    with pytest.raises(InputError, match="distinct values"):
        Classes("name").codes(pa.array([str(number) for number in range(MAX_CLASSES + 1)]))


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=2, max_size=50))
def test_the_area_under_the_curve_counts_pairs(rows: list[tuple[bool, int]]) -> None:
    positive, score = np.array([row[0] for row in rows]), np.array([row[1] / 6 for row in rows])
    metrics = binary_metrics(positive.astype(float), score)
    if positive.all() or not positive.any():
        assert "auc" not in metrics
        return
    pairs = [(a > b) + (a == b) / 2 for a in score[positive] for b in score[~positive]]
    assert metrics["auc"] == pytest.approx(np.mean(pairs))
    assert 0 <= metrics["auc_low"] <= metrics["auc"] <= metrics["auc_high"] <= 1
    assert (
        0 <= metrics["accuracy_low"] <= metrics["accuracy"] + 1e-12
        and metrics["accuracy"] - 1e-12 <= metrics["accuracy_high"] <= 1
    )


def test_metrics_are_those_of_scikit_learn() -> None:
    generator = np.random.default_rng(2)
    target, score = generator.integers(0, 2, 200), generator.uniform(0.01, 0.99, 200)
    metrics = binary_metrics(target.astype(float), score)
    assert metrics["log_loss"] == pytest.approx(reference.log_loss(target, score))
    assert metrics["auc"] == pytest.approx(reference.roc_auc_score(target, score))
    assert metrics["accuracy"] == pytest.approx(reference.accuracy_score(target, score >= 0.5))
    classes, scores = generator.integers(0, 3, 200), generator.dirichlet([1, 1, 1], 200)
    metrics = multiclass_metrics(classes, scores)
    assert metrics["log_loss"] == pytest.approx(reference.log_loss(classes, scores))
    assert metrics["auc"] == pytest.approx(
        reference.roc_auc_score(classes, scores, multi_class="ovr")
    )
    value, predicted = generator.normal(size=200), generator.normal(size=200)
    metrics = regression_metrics(value, predicted, 0.5)
    # Of the mean that was learned from; scikit-learn takes that of the rows themselves.
    trivial = np.mean((value - 0.5) ** 2)
    saved = 1 - reference.r2_score(value, predicted)
    assert metrics["r2"] == pytest.approx(1 - saved * np.var(value) / trivial)
    assert metrics["rmse"] == pytest.approx(reference.root_mean_squared_error(value, predicted))
    assert metrics["mae"] == pytest.approx(reference.mean_absolute_error(value, predicted))
    assert metrics["baseline"] == pytest.approx(np.sqrt(np.mean((value - 0.5) ** 2)))


@pytest.mark.parametrize(
    ("model", "params", "place", "says"),
    [
        ("mlp_classifier", {"hiden": [1]}, ("params", "hiden"), "did you mean hidden"),
        ("mlp_clasifier", {}, ("model",), "did you mean mlp_classifier"),
        (7, {}, ("model",), "mlp_regressor"),
        ({"python": "net.Net"}, {}, ("model", "python"), "package.module:Class"),
        ({"python": None}, {}, ("model", "python"), "package.module:Class"),
        ("mlp_regressor", {"epochs": 0}, ("params", "epochs"), "from 1 up"),
        ("mlp_regressor", {"epochs": True}, ("params", "epochs"), "from 1 up"),
        ("mlp_regressor", {"dropout": 1.0}, ("params", "dropout"), "below 1"),
        ("mlp_regressor", {"hidden": [3, 0]}, ("params", "hidden"), "from 1 up"),
        ("mlp_regressor", {"learning_rate": float("nan")}, ("params", "learning_rate"), "above 0"),
        ({"python": "net:Net"}, {"batch_size": "big"}, ("params", "batch_size"), "from 1 up"),
    ],
)
def test_each_wrong_parameter_is_told_with_its_place(
    model: object, params: dict[str, object], place: tuple[str, ...], says: str
) -> None:
    ((got, message),) = check_params(model, params)
    assert got == place and says in message


def test_right_parameters_pass() -> None:
    params = {
        "hidden": [128, 64],
        "epochs": 5,
        "seed": 7,
        "dropout": 0,
        "learning_rate": 1e-3,
        "patience": 2,
        "batch_size": 32,
    }
    assert check_params("mlp_classifier", params) == []
    assert check_params({"python": "net:Net"}, {"anything": object(), "epochs": 3}) == []


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("batchinfer.models.mlp:Mpl", "did you mean Mlp"),
        ("json:dumps", "got <function"),
        ("no_such:Thing", "cannot be imported"),
        ("x", "got 'x'"),
    ],
)
def test_a_class_that_cannot_be_loaded_says_why(path: str, says: str) -> None:
    with pytest.raises(ModelError, match=says):
        load_class(path, torch.nn.Module)


def test_a_module_of_unknown_arguments_is_not_built() -> None:
    with pytest.raises(ConfigError, match="did you mean hidden"):
        build_module("batchinfer.models.mlp:Mlp", {"features": 1, "outputs": 1, "hiden": []})


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_decoders_give_what_they_declare_one_value_a_row(rows: int) -> None:
    logits = torch.linspace(-2, 2, rows * 2).reshape(rows, 2)
    assert BinaryClassifier().decode(logits[:, 0])["score"].to_pylist() == pytest.approx(
        torch.sigmoid(logits[:, 0].double()).tolist()
    )
    assert (
        RawOutput(params={"width": 2}).decode(logits)["prediction"].to_pylist()
        == logits.double().tolist()
    )
    assert Regressor(params={"mean": 10.0, "scale": 2.0}).decode(logits[:, :1])[
        "prediction"
    ].to_pylist() == pytest.approx((logits[:, 0].double() * 2 + 10).tolist())
    decoded = MultiClassifier(params={"labels": ["a", "b"]}).decode(logits)
    assert [len(array) for array in decoded.values()] == [rows] * 3
    assert RawOutput().output == {"prediction": "double"} and RawOutput(
        params={"width": 2}
    ).output == {"prediction": "array<double>"}


def test_the_threshold_belongs_to_the_positive_class() -> None:
    labels = BinaryClassifier(params={"positive": "p"}).decode(
        torch.tensor([[-1e-7], [0.0], [1e-7]])
    )["label"]
    assert labels.to_pylist() == ["other", "p", "p"]


def test_an_output_of_another_width_is_refused() -> None:
    with pytest.raises(ModelError, match="2 values a row"):
        BinaryClassifier().decode(torch.zeros(3, 2))


def test_without_transforms_the_signatures_columns_are_the_features() -> None:
    handler = Regressor(columns=("v", "b", "a"))
    vectors = pa.FixedSizeListArray.from_arrays(pa.array([1.0, 2.0, 3.0, 4.0]), 2)
    batch = pa.record_batch(
        {
            "a": pa.array([5, 6]),
            "b": pa.array([True, False]),
            "v": vectors,
            "unused": pa.array(["x", "y"]),
        }
    )
    assert handler.encode(batch)["features"].tolist() == [[1, 2, 1, 5], [3, 4, 0, 6]]


@pytest.mark.parametrize(
    ("vectors", "said"),
    [
        ([[1.0, 2.0, 3.0], [4.0]], "v: vectors of different lengths, from 1 to 3"),
        ([[1.0, 2.0], None, [3.0, 4.0, 5.0, 6.0]], "v: got null; the model takes vectors"),
    ],
)
def test_vectors_that_would_shift_into_other_rows_are_refused(
    vectors: list[list[float] | None], said: str
) -> None:
    batch = pa.record_batch({"v": pa.array(vectors, pa.list_(pa.float32()))})
    with pytest.raises(InputError, match=said):
        Regressor(columns=("v",)).encode(batch)
    alone = [
        Regressor(columns=("v",)).encode(batch.slice(row, 1))["features"].tolist()
        for row in (0, len(vectors) - 1)
    ]
    assert alone == [[vectors[0]], [vectors[-1]]]


def test_a_fixed_size_vector_may_be_null_in_no_row() -> None:
    batch = pa.record_batch(
        {
            "v": pa.array([[1.0, 2.0], None], pa.list_(pa.float32(), 2)),
            "a": pa.array([2**24 + 1, None]),
        }
    )
    with pytest.raises(InputError, match="v: got null"):
        Regressor(columns=("v",)).encode(batch)
    features = Regressor(columns=("a",)).encode(batch)["features"]
    assert features[0].tolist() == [2**24]
    assert torch.isnan(features[1])
