"""skops files that were bent by hand: whatever scikit-learn's C would follow out of bounds, and
whatever would call a function of the file's choice, is refused before it is used.

No input here reaches the code that it would harm: each is refused by a check of ours.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import skops.io
from artefacts import hostile_pickle
from sklearn.cluster import BisectingKMeans, KMeans
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
)
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.preprocessing import SplineTransformer
from sklearn.random_projection import SparseRandomProjection
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from batchinfer.errors import ModelError
from batchinfer.models.formats import archives
from batchinfer.models.formats.catalogue import needed_trust
from batchinfer.models.formats.skops_model import read_estimator

from .skops_files import nodes, packed, saved, unpacked

FAR = 10**6
X = np.random.default_rng(5).normal(size=(40, 3))
TARGET = np.digitize(X[:, 0] + X[:, 1], [-0.5, 0.5])


def tree_with(field: str, change: Callable[[np.ndarray], np.ndarray]) -> bytes:
    """A decision tree whose array `field` is another."""
    data = skops.io.dumps(DecisionTreeClassifier(random_state=1).fit(X, TARGET))
    members, schema = unpacked(data)
    (tree,) = nodes(schema, "TreeNode")
    arguments = tree["__reduce__"]["args"]["content"]
    name = (arguments[1] if field == "classes" else tree["content"]["content"][field])["file"]
    array = np.load(io.BytesIO(members[name]))
    return packed({**members, name: saved(change(array))}, schema)


def one_node(field: str, place: int, value: int) -> bytes:
    def change(array: np.ndarray) -> np.ndarray:
        array[field][place] = value
        return array

    return tree_with("nodes", change)


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (one_node("left_child", 0, FAR), "child 1000000"),
        (one_node("right_child", 0, -2), "child -2"),
        (one_node("right_child", 0, 0), "before its parent"),
        (one_node("right_child", 0, 1), "child of two parents"),
        (one_node("feature", 0, FAR), "feature 1000000"),
        (one_node("feature", 0, -2), "feature -2"),
        (tree_with("nodes", lambda nodes: nodes[:-1]), "nodes and has"),
        (tree_with("nodes", lambda nodes: nodes[["left_child", "feature"]]), "shape"),
        (tree_with("values", lambda values: values[:, :, :1]), "values of the shape"),
        (tree_with("values", lambda values: values.astype(np.float32)), "float32"),
        (tree_with("classes", lambda classes: np.repeat(classes, 9)), "1 outputs and classes"),
        (tree_with("classes", lambda classes: classes * FAR), "values of the shape"),
    ],
)
def test_a_tree_that_leads_out_of_its_arrays_is_refused(data: bytes, match: str) -> None:
    with pytest.raises(ModelError, match=match):
        read_estimator(data)


@pytest.mark.parametrize(("place", "said"), [(0, FAR), (2, FAR), (2, 0), (0, -1), (0, True)])
def test_a_tree_that_says_other_sizes_than_it_has_is_refused(place: int, said: Any) -> None:
    members, schema = unpacked(skops.io.dumps(DecisionTreeClassifier().fit(X, TARGET)))
    (tree,) = nodes(schema, "TreeNode")
    tree["__reduce__"]["args"]["content"][place]["content"] = json.dumps(said)
    with pytest.raises(ModelError, match="tree"):
        read_estimator(packed(members, schema))


@pytest.mark.parametrize(("field", "said"), [("node_count", FAR), ("max_depth", 0)])
def test_a_tree_that_says_another_depth_or_count_is_refused(field: str, said: int) -> None:
    members, schema = unpacked(skops.io.dumps(DecisionTreeClassifier().fit(X, TARGET)))
    nodes(schema, "TreeNode")[0]["content"]["content"][field]["content"] = str(said)
    with pytest.raises(ModelError, match=f"a (decision )?tree says .*{said}"):
        read_estimator(packed(members, schema))


def test_what_was_checked_is_what_is_loaded() -> None:
    # By its number a node stands for an earlier one: here the second tree's numbers for the
    # first's, which are sound too.
    forest = RandomForestClassifier(2, random_state=1).fit(X, TARGET)
    members, schema = unpacked(skops.io.dumps(forest))
    first, second = nodes(schema, "TreeNode")
    for field in ("nodes", "values", "node_count", "max_depth"):
        fields = second["content"]["content"]
        fields[field]["__id__"] = first["content"]["content"][field]["__id__"]
    said = read_estimator(packed(members, schema)).predict_proba(X)
    np.testing.assert_array_equal(said, forest.predict_proba(X))


def hidden_method() -> Any:
    model = DecisionTreeClassifier().fit(X, TARGET)
    model._validate_X_predict = np.add
    return model


def neighbours(place: int, value: Any) -> Any:
    model = KNeighborsClassifier(algorithm="kd_tree").fit(X, TARGET)
    state = list(model._tree.__getstate__())
    state[place] = value(state[place])
    model._tree.__setstate__(tuple(state))
    return model


def short_weights() -> Any:
    model = KNeighborsRegressor(
        algorithm="ball_tree", metric="seuclidean", metric_params={"V": np.ones(3)}
    ).fit(X, TARGET)
    model._tree.__getstate__()[11].__setstate__((2.0, np.ones(1), np.zeros((1, 1))))
    return model


def metric_alone() -> Any:
    model = KNeighborsClassifier(algorithm="kd_tree").fit(X, TARGET)
    model.metric = model._tree.__getstate__()[11]
    return model


def bent(estimator: Any, **attributes: Callable[[Any], Any]) -> Any:
    for name, change in attributes.items():
        setattr(estimator, name, change(getattr(estimator, name)))
    return estimator


def put_far(field: str | None = None) -> Callable[[np.ndarray], np.ndarray]:
    def change(array: np.ndarray) -> np.ndarray:
        array = array.copy()
        (array if field is None else array[field])[0] = FAR
        return array

    return change


def sparse_far() -> Any:
    model = SparseRandomProjection(2, random_state=1).fit(X)
    model.components_.indices[0] = FAR
    return model


def predictor(field: str) -> Any:
    model = HistGradientBoostingClassifier(max_iter=1, categorical_features=[0])
    model.fit(np.column_stack([TARGET, X]), TARGET)
    first = model._predictors[0][0]
    first.nodes = put_far(field)(first.nodes)
    first.nodes["is_categorical"][0] = field == "bitset_idx"
    return model


def narrow_tree() -> Any:
    model = RandomForestClassifier(2).fit(X, TARGET)
    model.estimators_[1] = DecisionTreeClassifier().fit(np.hstack([X, X]), TARGET)
    return model


def isolated() -> Any:
    model = IsolationForest(n_estimators=2, max_features=2, random_state=1).fit(X)
    model.estimators_features_[0] = model.estimators_features_[0][:1]
    return model


def spline() -> Any:
    model = SplineTransformer().fit(X)
    model.bsplines_[0].k = 40
    return model


def named_kernel() -> Any:
    kernel = RBF()
    kernel.__dict__["__name__"] = "function"
    kernel.__dict__["k1"] = spline().bsplines_[0]
    return GaussianProcessRegressor(kernel)


def twister() -> Any:
    random = np.random.RandomState(1)
    state = random.get_state(legacy=False)
    state["state"]["pos"] = FAR
    random.set_state(state)
    return DecisionTreeClassifier(random_state=random)


def bisecting() -> Any:
    model = BisectingKMeans(3, random_state=1).fit(X)
    model._bisecting_tree.left.center = np.zeros(1)
    return model


WORDS = CountVectorizer().fit(["a good day", "bad days"])
CASES: dict[str, tuple[Callable[[], Any], str]] = {
    "a method is hidden": (hidden_method, "_validate_X_predict, which hides a method"),
    "a point out of range": (lambda: neighbours(1, put_far()), "point 1000000"),
    "a leaf out of range": (lambda: neighbours(2, put_far("idx_end")), "last point 1000000"),
    "no leaf": (lambda: neighbours(2, lambda old: bent_leaf(old)), "child"),
    "other bounds": (lambda: neighbours(3, lambda old: old[:, :, :1].copy()), "bounds"),
    "a metric of another width": (short_weights, "SEuclideanDistance64"),
    "a metric outside of a tree": (metric_alone, "allowed: in a tree of neighbours"),
    "a sparse index out of range": (sparse_far, "damaged sparse array"),
    "a boosted child": (lambda: predictor("left"), "child 1000000"),
    "boosted categories": (lambda: predictor("bitset_idx"), "set of categories 1000000"),
    "a tree of more columns": (narrow_tree, "takes 3 features, a tree 6"),
    "an isolated tree of more columns": (isolated, "hands 1 of 3 features"),
    "a tree's owner of other columns": (
        lambda: bent(DecisionTreeClassifier().fit(X, TARGET), n_features_in_=lambda _: 2),
        "takes 2 features, its tree 3",
    ),
    "words out of range": (
        lambda: bent(WORDS, vocabulary_=lambda old: {**old, "day": FAR}), "places beyond",
    ),
    "texts from files": (lambda: CountVectorizer(input="filename"), "allowed: content"),
    "support vectors": (
        lambda: bent(SVC().fit(X, TARGET), _n_support=put_far()), "differ in number",
    ),
    "their weights": (
        lambda: bent(SVC().fit(X, TARGET), _dual_coef_=lambda old: old[:1].copy()),
        "differ in number",
    ),
    "centres": (
        lambda: bent(KMeans(2).fit(X), cluster_centers_=lambda old: old[:, :1].copy()),
        "its centres are",
    ),
    "threads": (
        lambda: bent(KMeans(2).fit(X), _n_threads=lambda _: FAR), "wants 1000000 threads",
    ),
    "a centre in a tree": (bisecting, r"a centre has \(1,\)"),
    "labels of neighbours": (
        lambda: bent(KNeighborsClassifier(algorithm="brute").fit(X, TARGET), _y=put_far()),
        "label 1000000 of 3 classes",
    ),
    "a metric of another width, brute": (
        lambda: bent(
            KNeighborsClassifier(algorithm="brute", metric="seuclidean",
                                 metric_params={"V": np.ones(3)}).fit(X, TARGET),
            effective_metric_params_=lambda _: {"V": np.ones(1)},
        ),
        "metric seuclidean does not fit its 3 columns",
    ),
    "a spline in a kernel with a name": (named_kernel, "Need at least 82 knots"),
    "a spline's degree": (spline, "Need at least 82 knots"),
    "a random generator's place": (twister, "place 1000000"),
}  # fmt: skip


def bent_leaf(nodes: np.ndarray) -> np.ndarray:
    nodes = nodes.copy()
    nodes["is_leaf"][-1] = 0
    return nodes


@pytest.mark.parametrize("case", CASES)
def test_numbers_that_would_lead_out_of_bounds_are_refused(case: str) -> None:
    make, match = CASES[case]
    data = skops.io.dumps(make())
    assert needed_trust("skops", data) == "none", "the numbers are refused, not the type"
    with pytest.raises(ModelError, match=match):
        read_estimator(data)


def test_a_random_generator_that_would_never_be_made_is_refused() -> None:
    model = DecisionTreeClassifier(random_state=np.random.default_rng(1))
    members, schema = unpacked(skops.io.dumps(model))
    (generator,) = nodes(schema, "RandomGeneratorNode")
    generator["content"]["seed_seq"]["content"]["pool_size"]["content"] = str(FAR)
    with pytest.raises(ModelError, match=r"a random generator .* a pool of 1000000"):
        read_estimator(packed(members, schema))


def test_a_boosted_tree_asks_how_many_columns_there_are() -> None:
    model = read_estimator(skops.io.dumps(predictor("feature_idx")))
    with pytest.raises(ModelError, match="reads 1000001 columns and gets 4"):
        model.predict(np.column_stack([TARGET, X]))


def test_boosting_asks_how_many_classes_it_starts_from() -> None:
    model = GradientBoostingClassifier(n_estimators=2).fit(X, TARGET)
    model.init_ = DummyClassifier().fit(X, TARGET > 0)
    with pytest.raises(ModelError, match=r"starts from \(2,\) columns for \(3,\)"):
        read_estimator(skops.io.dumps(model)).predict(X)


def test_a_pickle_inside_of_a_sparse_array_is_refused(tmp_path: Any) -> None:
    members, schema = unpacked(skops.io.dumps(SparseRandomProjection(2).fit(X)))
    (name,) = [name for name in members if name.endswith(".npz")]
    inner = {"data.npy": hostile_pickle(tmp_path / "marker")}
    with pytest.raises(ModelError, match=r"holds data\.npy, which is no array"):
        read_estimator(packed({**members, name: archives.write_archive(inner)}, schema))
    assert not (tmp_path / "marker").exists()
